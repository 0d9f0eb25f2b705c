"""Types and shapes of the outputs of ai.onnx.ml's operators, as each infers them where it is defined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnx import TensorProto, TypeProto


def infer_like(kind: int | None = None) -> Callable[[Any], None]:
    """Infer an output of the shape of operand 0, of its type where `kind` is None."""

    def infer(context: Any) -> None:
        made = TypeProto()
        made.CopyFrom(context.get_input_type(0))
        made.tensor_type.elem_type = made.tensor_type.elem_type if kind is None else kind
        context.set_output_type(0, made)

    return infer


def set_samples(context: Any, index: int, kind: int, *columns: int) -> None:
    """Set the type and the shape [samples, *columns] of an output, if there is one; a vector is one sample."""
    if index >= context.get_num_outputs():
        return
    made, given = TypeProto(), context.get_input_type(0)
    made.tensor_type.elem_type = kind
    samples = made.tensor_type.shape.dim.add()
    if given is not None and given.tensor_type.HasField("shape"):
        dims = given.tensor_type.shape.dim
        samples.CopyFrom(dims[0] if len(dims) > 1 else type(samples)(dim_value=1))
    for size in columns:
        made.tensor_type.shape.dim.add().dim_value = size
    context.set_output_type(index, made)


def infer_targets(attribute: str | None) -> Callable[[Any], None]:
    """Infer floats [samples, targets], of as many targets as an attribute says, one without."""

    def infer(context: Any) -> None:
        given = None if attribute is None else context.get_attribute(attribute)
        set_samples(context, 0, TensorProto.FLOAT, 1 if given is None else given.i)

    return infer


def class_labels(context: Any) -> tuple[int, int]:
    """The number of classes that an operator names, and the type of their labels."""
    words = context.get_attribute("classlabels_strings")
    named = (words, *(context.get_attribute(f"classlabels_{kind}") for kind in ("ints", "int64s")))
    count = max(len(a.strings) + len(a.ints) if a is not None else 0 for a in named)
    return count, TensorProto.STRING if words is not None and words.strings else TensorProto.INT64


def infer_classes(context: Any) -> None:
    """Infer labels [samples] and float scores [samples, classes]."""
    count, label = class_labels(context)
    set_samples(context, 0, label)
    set_samples(context, 1, TensorProto.FLOAT, count)
