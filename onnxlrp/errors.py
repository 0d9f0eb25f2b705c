"""The errors and warnings of onnxlrp, in the user's words."""

from __future__ import annotations

from typing import Any

from onnxlrp.printable import escaped_lines


class OnnxLrpError(Exception):
    """Base of every error that onnxlrp raises on purpose.

    A message quotes names from files, and other libraries: their control characters are escaped.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(escaped_lines(arg) if isinstance(arg, str) else arg for arg in args))


class InvalidModelError(OnnxLrpError):
    """The file or graph cannot be read as a model that could be explained."""


class UnsupportedOperatorError(OnnxLrpError):
    """Operators on the path of relevance that have no rule; every such node is named at once."""

    def __init__(self, message: str, nodes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nodes = nodes


class NothingToExplainError(OnnxLrpError):
    """Relevance stops before it reaches any input; the message says where and why."""


class TargetError(OnnxLrpError):
    """The target does not exist, or the explained output needs another kind of target."""


class InputError(OnnxLrpError):
    """An option or an array does not fit the model."""


class OutputsChangedError(OnnxLrpError):
    """The explained model does not give the outputs of its source: a defect of onnxlrp, so it must not be deployed."""


class ExplanationWarning(UserWarning):
    """Warns that an explanation is doubtful; `cautions` has each doubt with its kind and its samples.

    ```python
    warnings.simplefilter("error", onnxlrp.errors.ExplanationWarning)  # no doubtful explanation passes
    ```
    """

    def __init__(self, message: str, cautions: tuple[Any, ...] = ()) -> None:
        super().__init__(escaped_lines(message))
        self.cautions = cautions
