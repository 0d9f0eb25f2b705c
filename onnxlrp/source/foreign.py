"""What becomes of an error that nobody foresaw: the words of onnx's checker where it finds the source invalid."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import onnx

from onnxlrp.errors import DefectError, InputError, InvalidModelError, OnnxLrpError
from onnxlrp.graph.call import UnknownRankError
from onnxlrp.operators.unknown_ranks import reason_for
from onnxlrp.source import valid
from onnxlrp.source.read import Model, first_line, parsed

P = ParamSpec("P")
T = TypeVar("T")


def own_errors(call: Callable[Concatenate[Model, P], T]) -> Callable[Concatenate[Model, P], T]:
    """Let no foreign exception leave a function of a model.

    What is not ours becomes an InvalidModelError with the words of onnx's checker, or a DefectError where that finds
    nothing, and memory that ran out an InvalidModelError, too. Warnings that were made errors stay what they are.
    """

    @functools.wraps(call)
    def told(model: Model, *args: P.args, **options: P.kwargs) -> T:
        try:
            return call(model, *args, **options)
        except UnknownRankError as error:
            raise reason_for(error) from error
        except (OnnxLrpError, Warning):
            raise
        except MemoryError as error:
            size = f" ({error})" if str(error) else ""
            raise InvalidModelError(f"memory ran out{size}: convert the model where there is more of it") from error
        except OSError as error:
            raise InputError(f"a file cannot be read: {error}") from error
        except Exception as error:
            words = _checker_words(model)
            raise (DefectError(error) if words is None else InvalidModelError(words)) from error

    return told


def _checker_words(model: Any) -> str | None:
    """Ask onnx's checker about a model that has passed our own; None where it has nothing to say.

    It is no gate: it refuses much that works, so it is asked only after something went wrong.
    """
    try:
        proto = parsed(model)
        valid.check(proto)
        onnx.checker.check_model(proto)
    except OnnxLrpError as error:
        return str(error)
    except onnx.checker.ValidationError as error:
        if "Field 'shape' of 'type'" in str(error):
            return None  # The checker alone wants shapes declared.
        return f"the model is invalid, as onnx.checker says: {first_line(error)}; export the model again, or repair it"
    except Exception:  # the checker fails for reasons of its own, such as 2 GB of weights: it has no words then
        return None
    return None
