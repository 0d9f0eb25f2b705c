"""Shape functions that several files of operators share, for operators that ONNX does not know or whose shapes it
leaves open.

Such a function sets the types of the outputs in an `onnx.shape_inference.InferenceContext`. An operand of unknown type
is None there, and the AttributeError that follows ends the function quietly (`source/taught.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from onnx import TensorProto, TypeProto
from onnx.onnx_pb import TensorShapeProto


def kind_of(context: Any, index: int, default: int | None = None) -> int:
    """The element type of an operand; the default, if there is one, where the operand is left out."""
    given = context.get_input_type(index) if context.get_num_inputs() > index else None
    return default if given is None and default is not None else int(given.tensor_type.elem_type)  # type: ignore[union-attr]


def dims_of(context: Any, index: int) -> list[Any] | None:
    """The dimensions of an operand; None where its rank is not known."""
    given = context.get_input_type(index)
    known = given is not None and given.tensor_type.HasField("shape")
    return list(given.tensor_type.shape.dim) if known else None


def set_output(context: Any, kind: int, dims: Iterable[Any] | None, index: int = 0) -> None:
    """Set the element type of an output, if the node has that output, and its dimensions where they are known: numbers,
    None for open ones, or dimensions of operands."""
    if index >= context.get_num_outputs():
        return
    result = TypeProto()
    result.tensor_type.elem_type = kind
    if dims is not None:
        result.tensor_type.shape.SetInParent()
        for dim in dims:
            size = dim if isinstance(dim, TensorShapeProto.Dimension) else TensorShapeProto.Dimension(dim_value=dim)
            result.tensor_type.shape.dim.add().CopyFrom(size)
    context.set_output_type(index, result)


def set_like(context: Any, kind: int | None = None) -> None:
    """Set output 0 to the shape of operand 0, and to its element type where `kind` is None."""
    set_output(context, kind_of(context, 0) if kind is None else kind, dims_of(context, 0))


def floats_like(context: Any) -> None:
    """Infer float32 in the shape of operand 0."""
    set_like(context, TensorProto.FLOAT)


def set_samples(context: Any, index: int, kind: int, *columns: int) -> None:
    """Set an output to [samples, *columns]; a vector is one sample."""
    dims = dims_of(context, 0)
    samples = None if dims is None else dims[0] if len(dims) > 1 else 1
    set_output(context, kind, [samples, *columns], index)


def infer_targets(attribute: str | None) -> Callable[[Any], None]:
    """Make a function that infers floats [samples, targets]; `attribute` holds the number of targets, which is 1
    without it."""

    def infer(context: Any) -> None:
        given = None if attribute is None else context.get_attribute(attribute)
        set_samples(context, 0, TensorProto.FLOAT, 1 if given is None else given.i)

    return infer


def class_labels(context: Any) -> tuple[int, int]:
    """The number of classes that an operator names, and the element type of their labels."""
    words = context.get_attribute("classlabels_strings")
    named = (words, *(context.get_attribute(f"classlabels_{kind}") for kind in ("ints", "int64s")))
    count = max(len(a.strings) + len(a.ints) if a is not None else 0 for a in named)
    return count, TensorProto.STRING if words is not None and words.strings else TensorProto.INT64


def infer_classes(context: Any) -> None:
    """Infer labels [samples] and float scores [samples, classes]."""
    count, label = class_labels(context)
    set_samples(context, 0, label)
    set_samples(context, 1, TensorProto.FLOAT, count)
