"""ai.onnx.ml's operators that prepare numeric features: they scale, impute, binarise, select and join columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx import TensorProto

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Reversed, all_operands, custom, decomposed
from onnxlrp.operators.shape_functions import floats_like, set_like, set_samples

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_ML = "ai.onnx.ml"


def _by_column(call: Call) -> str | None:
    dims = call.operand(0).shape
    several = any(len(call.attr(name, ())) > 1 for name in ("scale", "offset"))
    return "its input has more than two axes" if several and dims is not None and len(dims) > 2 else None


@decomposed("Scaler", domain=_ML, refuse=_by_column, inference=floats_like)
def scaler(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: `(x − offset) · scale`."""
    x = call.operand(0)
    if x.dtype != ir.DataType.DOUBLE:
        x = op.cast(x, ir.DataType.FLOAT)
    offset, scale = (
        np.asarray(call.attr(name, (default,)), np.float32) for name, default in (("offset", 0), ("scale", 1))
    )
    x = op.Sub(x, op.constant(offset, x.dtype)) if offset.any() else x
    return [op.cast(op.Mul(x, op.constant(scale, x.dtype)), ir.DataType.FLOAT)]


@custom("Normalizer", domain=_ML, head="rescale", inference=floats_like, delivers=True)
def normalizer(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged, because the norm of a row counts as constant; after a final softmax or sigmoid the
    operator is skipped, as that function is."""
    if not gradient:
        return Reversed({0: r})
    # y = x/n with n = Σ|x|, √Σx² or max x, y = x where n = 0: ∂ = (r − u·Σ r·y)/n, u = ∂n.
    assert r.dtype is not None
    x, kind = op.cast(call.operand(0), r.dtype), call.attr("norm", "MAX")
    axes = op.ints([-1])
    reduce = {"L1": op.ReduceL1, "L2": op.ReduceL2, "MAX": op.ReduceMax}[kind]
    norm = reduce(x, axes, keepdims=1)
    nothing = op.Equal(norm, op.number(0.0, x))
    norm = op.Where(nothing, op.number(1.0, x), norm)
    y = op.Div(x, norm)
    # Of several equal maxima, the first one counts.
    best = op.ArgMax(x, axis=-1, keepdims=1)
    u = {"L1": op.Sign(x), "L2": y, "MAX": op.one_hot(best, op.dim(x, -1), r.dtype)}[kind]
    around = op.Mul(u, op.ReduceSum(op.Mul(r, y), axes, keepdims=1))
    return Reversed({0: op.Where(nothing, r, op.Div(op.Sub(r, around), norm))})


@custom("Imputer", domain=_ML, elementwise=True, inference=set_like, delivers=True)
def imputer(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged: that a value is missing is information about its column."""
    if not gradient:
        return Reversed({0: r})
    x = call.original[0]
    assert x is not None and x.dtype is not None
    floating = x.dtype.is_floating_point()
    replaced = call.attr("replaced_value_float", 0.0) if floating else call.attr("replaced_value_int64", 0)
    filled = op.IsNaN(x) if replaced != replaced else op.Equal(x, op.constant(replaced, x.dtype))
    return Reversed({0: op.Where(filled, op.number(0.0, r), r)})


@custom("Binarizer", domain=_ML, elementwise=True, piecewise_constant=True, delivers=True)
def binarizer(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged, because each output depends on one element; the gradient is 0."""
    return Reversed({0: op.Mul(r, 0.0) if gradient else r})


@decomposed("ArrayFeatureExtractor", domain=_ML)
def array_feature_extractor(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a Gather of columns."""
    x, indices = call.operand(0), call.operand(1)
    known = op.known(indices)
    columns = op.Reshape(indices, op.ints([-1])) if known is None else op.ints(known.reshape(-1).tolist())
    y = op.Gather(x, columns, axis=-1)
    return [op.Unsqueeze(y, op.ints([0])) if len(op.dims(x)) == 1 else y]


def _infer_widths(context: Any) -> None:
    widths = context.get_attribute("inputdimensions")
    set_samples(context, 0, TensorProto.FLOAT, 0 if widths is None else sum(widths.ints))


@decomposed("FeatureVectorizer", domain=_ML, operands=all_operands, inference=_infer_widths)
def feature_vectorizer(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a Concat of the operands, each cut or padded with zeros to its given width."""
    parts = []
    for x, width in zip(call.inputs, call.ints("inputdimensions"), strict=True):
        assert x is not None
        rank = len(op.dims(x))
        rows = op.cast(x, ir.DataType.FLOAT)
        if rank != 2:
            rows = op.Reshape(rows, op.ints([1, -1])) if rank == 1 else op.Flatten(rows, axis=1)
        parts.append(_as_wide(op, rows, width, op.dims(x)[1] if rank == 2 else None))
    return [op.Concat(*parts, axis=1)]


def _as_wide(op: Builder, x: ir.Value, width: int, known: int | None) -> ir.Value:
    if known == width:
        return x
    missing = op.Sub(op.ints([width]), op.dim(x, 1))
    filled = op.Pad(x, op.Concat(op.ints([0, 0, 0]), op.Max(missing, op.ints([0])), axis=0))
    return op.Slice(filled, op.ints([0]), op.ints([width]), op.ints([1]))
