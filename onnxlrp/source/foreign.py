"""Turn exceptions of other libraries into our own errors, with the words of onnx's checker if it finds the source
invalid."""

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


def no_foreign_errors(call: Callable[Concatenate[Model, P], T]) -> Callable[Concatenate[Model, P], T]:
    """Let no foreign exception leave a function whose first argument is a model.

    A foreign exception becomes an InvalidModelError with the words of onnx's checker, or a DefectError if the checker
    finds nothing. A MemoryError becomes an InvalidModelError, an OSError an InputError. Warnings that were turned into
    exceptions pass unchanged.
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
    """Ask onnx's checker about a model that has passed our own checks; None if it finds nothing wrong.

    The checker is asked only after an exception, because it also refuses many models that work.
    """
    try:
        given = parsed(model)
        valid.check(given.proto, given.held)
        onnx.checker.check_model(given.proto)
    except OnnxLrpError as error:
        return str(error)
    except onnx.checker.ValidationError as error:
        if "Field 'shape' of 'type'" in str(error):
            return None  # Only the checker requires that shapes are declared.
        return f"the model is invalid, as onnx.checker says: {first_line(error)}; export the model again, or repair it"
    except Exception:  # the checker may fail itself, as on 2 GB of weights: then it says nothing
        return None
    return None
