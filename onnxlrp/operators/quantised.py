"""Quantised numbers: pairs of Quantize and Dequantize pass relevance, and a computation in integers is explained by the
same computation in floats on the dequantised values."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx import TensorProto

from onnxlrp.graph.call import Call, content
from onnxlrp.graph.walks import upstream
from onnxlrp.operators.registry import Reversed, custom, refused
from onnxlrp.operators.shape_functions import kind_of, set_like

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"
DEPLOYED = "onnxlrp.deployed"
"""Domain of `Deployed` and other operators that are in a model only while it is being converted."""


def _infer_quantised(context: Any) -> None:
    """Infer integers in the shape of x; without a zero point they are uint8."""
    set_like(context, kind_of(context, 2, TensorProto.UINT8))


def _infer_dequantised(context: Any) -> None:
    """Infer floats of the scale's type in the shape of x."""
    set_like(context, kind_of(context, 1, TensorProto.FLOAT))


def quantize(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged; the gradient is 0, as the derivative of rounding is."""
    return Reversed({0: op.Mul(r, 0.0) if gradient else r})


custom("QuantizeLinear", elementwise=True, rounding=True, piecewise_constant=True)(quantize)
custom(
    "QuantizeLinear",
    domain=DOMAIN,
    elementwise=True,
    rounding=True,
    piecewise_constant=True,
    inference=_infer_quantised,
)(quantize)


def _dequantized_sign(call: Call) -> str:
    """Tell the sign of dequantised numbers: nonnegative where the zero point is the lowest integer of the type."""
    x, scale, zero = call.operand(0), content(call.input(1)), call.input(2)
    known = content(zero)
    if x.dtype is None or not x.dtype.is_integer() or scale is None or scale.min(initial=0) < 0:
        return "unknown"
    if zero is None:
        return "unknown" if x.dtype.is_signed() else "nonnegative"
    return "nonnegative" if known is not None and (known == x.dtype.min).all() else "unknown"


def _repeat_to_elements(op: Builder, call: Call, value: ir.Value) -> ir.Value:
    """Repeat a value of the scale's shape so that it broadcasts to x: one number, one per channel, or one per block."""
    x, axis, block = call.operand(0), int(call.attr("axis", 1)), int(call.attr("block_size", 0))
    rank, dims = call.rank(), len(op.dims(value))
    if block:
        length = op.Squeeze(op.dim(x, axis % rank), op.ints([0]))
        positions = op.Range(op.ints_scalar(0), length, op.ints_scalar(1))
        return op.Gather(value, op.Div(positions, op.ints_scalar(block)), axis=axis)
    if dims == 0 or rank < 2:
        return value
    return op.Reshape(value, op.ints([-1 if a == axis % rank else 1 for a in range(rank)]))


def dequantize(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged."""
    if not gradient:
        return Reversed({0: r})
    # y = (x − zero)·scale for a number, an axis or blocks of x: ∂x = r·scale, ∂scale = Σ r·y/scale.
    scale, y = call.operand(1), call.outputs[0]
    scales = _repeat_to_elements(op, call, scale)
    slope = op.Mul(r, op.Div(y, scales))
    if call.attr("block_size", 0):
        total = op.scatter_back(slope, _repeat_to_elements(op, call, op.index_grid(scale)), scale)
    else:
        total = op.Reshape(op.unbroadcast(slope, scales), op.shape(scale))
    return Reversed({0: op.Mul(r, scales), 1: total})


_DEQUANTIZE: dict[str, Any] = {
    "elementwise": True,
    "rounding": True,
    "operands": lambda call: (0, 1),
    "gradient_only": (1,),
    "sign": _dequantized_sign,
}
custom("DequantizeLinear", **_DEQUANTIZE)(dequantize)
custom("DequantizeLinear", domain=DOMAIN, inference=_infer_dequantised, **_DEQUANTIZE)(dequantize)


def written_out(op: Builder, call: Call) -> ir.Value:
    """Compute a DequantizeLinear of constants as `(x − zero)·scale`, in operators that a session folds.

    A session does not fold DequantizeLinear in float16. Return the call's own output if x is not of integers.
    """
    x, scale, zero = call.operand(0), call.operand(1), call.input(2)
    if x.dtype is None or not x.dtype.is_integer() or scale.dtype is None:
        return call.outputs[0]
    if (number := one_number(op, x, scale, zero)) is not None:
        return number
    wide = ir.DataType.DOUBLE if scale.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    numbers = op.Cast(x, to=wide)
    if zero is not None:
        numbers = op.Sub(numbers, _repeat_to_elements(op, call, op.Cast(zero, to=wide)))
    floats = op.Mul(numbers, _repeat_to_elements(op, call, op.cast(scale, wide)))
    return op.cast(floats, call.outputs[0].dtype or scale.dtype)


def is_dequantised(constant: ir.Value) -> bool:
    """Decide whether a constant is computed from integers by DequantizeLinear."""
    return any(node.op_type == "DequantizeLinear" for node in upstream([constant]))


_PRODUCTS = ("Gemm", "MatMul")
"""Products whose input a session rounds to eight bits where it fuses them with the DequantizeLinear of their weight."""


def has_packed_weight(node: ir.Node, fixed: Collection[ir.Value]) -> bool:
    """Decide whether a node is a product by a dequantised or packed weight, so that its kernel may round its input;
    `fixed` holds the graph's constants."""
    if node.domain == DOMAIN:
        return node.op_type in ("MatMulBnb4", "MatMulNBits")
    if node.domain != "" or node.op_type not in _PRODUCTS:
        return False
    return any(v is not None and v in fixed and is_dequantised(v) for v in node.inputs[:2])


def one_number(op: Builder, x: ir.Value, scale: ir.Value, zero: ir.Value | None) -> ir.Value | None:
    """Compute `(x − zero)·scale` of a constant of one element; None for other values.

    Recognisers of written-out functions compare such numbers, and so need them as constants.
    """
    if x.const_value is None or x.const_value.size != 1:
        return None
    known = [content(v) for v in (x, scale, zero) if v is not None]
    if any(k is None or k.size != 1 for k in known):
        return None
    number, factor, *shift = [k.reshape(()) for k in known if k is not None]
    whole = int(number) - (int(shift[0]) if shift else 0)
    with np.errstate(over="ignore"):
        return op.constant((factor.dtype.type(whole) * factor).reshape(tuple(x.const_value.shape)))


@custom("DynamicQuantizeLinear", per_output=True, gradient_outputs=(1,))
def dynamic_quantize(op: Builder, call: Call, r: list[ir.Value | None], gradient: bool) -> Reversed:
    """Relevance passes unchanged; the gradient of the scale goes to the two extremes from which it is computed."""
    x = call.operand(0)
    nothing = op.full_like(x, 0)
    back = nothing if gradient or r[0] is None else r[0]
    if r[1] is None:
        return Reversed({0: back})
    # scale = (max(0, max x) − min(0, min x))/255.
    flat, size = op.Reshape(x, op.ints([1, -1])), op.Reshape(op.size(x), op.ints([1]))
    assert x.dtype is not None
    parts = []
    for best, outside, sign in ((op.ArgMax, op.Greater, 1.0), (op.ArgMin, op.Less, -1.0)):
        chosen = op.Reshape(op.one_hot(best(flat, axis=1, keepdims=1), size, x.dtype), op.shape(x))
        parts.append(op.Mul(op.Where(outside(x, op.number(0.0, x)), chosen, nothing), sign / 255))
    return Reversed({0: op.Add(back, op.Mul(op.Add(*parts), op.cast(r[1], x.dtype)))})


@custom(
    "Deployed",
    domain=DEPLOYED,
    operands=lambda call: (1,),
    elementwise=True,
    rounding=True,
    inference=set_like,
)
def deployed(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged to a computation in floats, which stands for the model's own computation in
    integers."""
    rounded = call.outputs[0].dtype is not None and call.outputs[0].dtype.is_integer()
    return Reversed({1: op.Mul(r, 0.0) if gradient and rounded else r})


refused(
    "ConvInteger",
    "MatMulInteger",
    reason="its integers are converted to floats in a way that is not recognised",
    operands=lambda call: (0, 1),
)
