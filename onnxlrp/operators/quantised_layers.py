"""Layers on quantised numbers, computed as `f(deq x; deq w, deq b)` on dequantised values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.quantised import DOMAIN
from onnxlrp.operators.quantised_numbers import in_floats, reals
from onnxlrp.operators.quantised_windows import infer_as
from onnxlrp.operators.shape_functions import dims_of, kind_of, set_output
from onnxlrp.operators.windows import channels_first

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _bias(op: Builder, bias: ir.Value | None, *scales: ir.Value) -> ir.Value | None:
    """Dequantise a bias, whose scale is that of x times that of w; None without a bias."""
    if bias is None:
        return None
    result = op.Cast(bias, to=scales[0].dtype)
    for scale in scales:
        result = op.Mul(result, op.Reshape(scale, op.ints([-1])))
    return result


@in_floats("QLinearConv", operands=(0, 3))
@in_floats("QLinearConv", domain=DOMAIN, operands=(0, 3), inference=lambda c: infer_as("Conv", c, weight=3))
def qlinear_conv(op: Builder, call: Call) -> ir.Value:
    """Relevance takes the layer's rule on the dequantised values."""
    x_scale, w_scale = call.operand(1), call.operand(4)
    w = reals(op, call.operand(3), w_scale, call.input(5), 0)
    bias = _bias(op, call.input(8), x_scale, w_scale)
    attributes = {name: a.value for name, a in call.attributes.items() if name != "channels_last"}
    x = reals(op, call.operand(0), x_scale, call.input(2))
    last = bool(call.attr("channels_last", 0))
    return channels_first(op, x, last, lambda turned: op.Conv(turned, w, bias, **attributes))


def _refuse_matmul(call: Call) -> str | None:
    for data, scale in ((0, 1), (3, 4)):
        shape = call.operand(scale).shape
        if shape is not None and len(shape) > 1 and call.operand(data).const_value is None:
            return "scales of several axes are not supported"
    return None


@in_floats("QLinearMatMul", operands=(0, 3), refuse=_refuse_matmul)
def qlinear_matmul(op: Builder, call: Call) -> ir.Value:
    """Relevance takes, on the dequantised values, the layer's rule if one operand is constant, else the composite's
    rule for products of data."""
    a = reals(op, call.operand(0), call.operand(1), call.input(2), -2)
    return op.MatMul(a, reals(op, call.operand(3), call.operand(4), call.input(5), -1))


def _infer_product(context: Any, second: int, kind: int | None) -> None:
    """Infer the shape of A·B and its type, which is that of input `kind`, or float32 if `kind` is None; `second` is the
    index of B."""
    a, b, dims = dims_of(context, 0), dims_of(context, second), None
    if a is not None and b is not None and len(b) == 2 and len(a) >= 2:
        turned = [(t := context.get_attribute(n)) is not None and bool(t.i) for n in ("transA", "transB")]
        dims = [*(a[1:2] if turned[0] else a[:-1]), b[0 if turned[1] else 1]]
    set_output(context, onnx.TensorProto.FLOAT if kind is None else kind_of(context, kind), dims)


def _infer_gemm(context: Any) -> None:
    rounded = context.get_num_inputs() > 8 and context.get_input_type(8) is not None
    _infer_product(context, 3, 8 if rounded else None)


@in_floats("QGemm", domain=DOMAIN, operands=(0, 3), inference=_infer_gemm)
def qgemm(op: Builder, call: Call) -> ir.Value:
    """Relevance takes the layer's rule on the dequantised values."""
    alpha, turned = float(call.attr("alpha", 1.0)), {n: int(call.attr(n, 0)) for n in ("transA", "transB")}
    a_scale, b_scale = call.operand(1), call.operand(4)
    a = reals(op, call.operand(0), a_scale, call.input(2))
    b = reals(op, call.operand(3), b_scale, call.input(5), 0 if turned["transB"] else 1)
    bias = _bias(op, call.input(6), a_scale, b_scale)
    if bias is not None and alpha != 1:
        bias = op.Mul(bias, alpha)
    return op.Gemm(a, b, bias, alpha=alpha, **turned)


@in_floats("MatMulIntegerToFloat", domain=DOMAIN, operands=(0, 1), inference=lambda c: _infer_product(c, 1, 2))
def matmul_integer_to_float(op: Builder, call: Call) -> ir.Value:
    """Relevance takes, on the dequantised values, the layer's rule if one operand is constant, else the composite's
    rule for products of data."""
    a = reals(op, call.operand(0), call.operand(2), call.input(4), -2)
    product = op.MatMul(a, reals(op, call.operand(1), call.operand(3), call.input(5), -1))
    bias = call.input(6)
    return product if bias is None else op.Add(product, bias)


@in_floats("DynamicQuantizeMatMul", domain=DOMAIN, operands=(0, 1), inference=lambda c: _infer_product(c, 1, None))
def dynamic_quantize_matmul(op: Builder, call: Call) -> ir.Value:
    """Relevance takes the layer's rule on the rounded x and the dequantised weight."""
    x, scale, zero = op.DynamicQuantizeLinear(call.operand(0), _outputs=3)
    product = op.MatMul(
        op.DequantizeLinear(x, scale, zero), reals(op, call.operand(1), call.operand(2), call.input(3), -1)
    )
    bias = call.input(4)
    return product if bias is None else op.Add(product, bias)
