"""Errors and warnings of onnxlrp, in the user's words.

```python
try:
    onnxlrp.convert("model.onnx", output="probabilities")
except onnxlrp.errors.OnnxLrpError as error:  # any of them
    print(error)
```
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

from onnxlrp.printable import escaped_lines

__all__ = [
    "DefectError",
    "ExplanationWarning",
    "InputError",
    "InvalidModelError",
    "NothingToExplainError",
    "OnnxLrpError",
    "OutputsChangedError",
    "TargetError",
    "UnsupportedOperatorError",
    "own_errors",
]

P = ParamSpec("P")
T = TypeVar("T")


class OnnxLrpError(Exception):
    """Base of every error that onnxlrp raises on purpose.

    A message may quote names from files and text of other libraries, so its control characters are escaped.
    `onnxlrp help WORD` says more, with the error's `word`.
    """

    word: ClassVar[str] = "missing"
    """Section of the page of messages that is about this class of errors."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(escaped_lines(arg) if isinstance(arg, str) else arg for arg in args))


class InvalidModelError(OnnxLrpError):
    """Raised if a file or graph cannot be read as a model, contradicts itself, or is explained already."""

    word = "model"


class UnsupportedOperatorError(OnnxLrpError):
    """Raised for operators on the path of relevance that have no rule; `nodes` names every such node."""

    word = "operator"

    def __init__(self, message: str, nodes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nodes = nodes


class NothingToExplainError(OnnxLrpError):
    """Raised if relevance stops before it reaches any input; the message says where and why."""

    word = "nothing"


class TargetError(OnnxLrpError):
    """Raised if a target does not exist, or if the explained output needs another kind of target."""

    word = "target"


class InputError(OnnxLrpError):
    """Raised for an option, an array or a file that does not fit."""

    word = "input"


class OutputsChangedError(OnnxLrpError):
    """Raised if the explained model does not give its source's outputs: a defect of onnxlrp; do not deploy such a
    model."""

    word = "outputs"


class DefectError(OnnxLrpError):
    """Raised for an exception that onnxlrp did not foresee: a defect of onnxlrp; the message says what to report.

    The exception itself is its `__cause__`.
    """

    word = "defect"

    def __init__(self, error: BaseException) -> None:
        words = " ".join(str(error).split())[:600]
        super().__init__(
            f"unexpected {type(error).__name__}: {words}\n"
            "This is a defect of onnxlrp. Please report it with the call, the versions of onnxlrp, onnx, onnxruntime, "
            "and the model (its graph without the weights is enough); the traceback (on the command line: --debug) "
            "shows where."
        )


class ExplanationWarning(UserWarning):
    """Warns that an explanation is doubtful; `cautions` has each doubt with its kind and its samples.

    ```python
    import warnings

    warnings.simplefilter("error", onnxlrp.errors.ExplanationWarning)  # no doubtful explanation passes
    ```
    """

    def __init__(self, message: str, cautions: tuple[Any, ...] = ()) -> None:
        super().__init__(escaped_lines(message))
        self.cautions = cautions


def own_errors(call: Callable[P, T]) -> Callable[P, T]:
    """Let no foreign exception leave a function: an exception that is none of onnxlrp's own becomes a DefectError.

    A file that cannot be read becomes an InputError. A MemoryError and warnings turned into errors are not changed.
    """

    @functools.wraps(call)
    def told(*args: P.args, **options: P.kwargs) -> T:
        try:
            return call(*args, **options)
        except (OnnxLrpError, MemoryError, Warning):
            raise
        except OSError as error:
            raise InputError(f"a file cannot be read: {error}") from error
        except Exception as error:
            raise DefectError(error) from error

    return told
