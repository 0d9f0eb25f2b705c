"""onnxruntime's sums, products, pools, joins and activations of quantised numbers, computed on dequantised values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.quantised import DOMAIN
from onnxlrp.operators.quantised_numbers import in_floats, reals
from onnxlrp.operators.quantised_windows import infer_as
from onnxlrp.operators.shape_functions import dims_of, kind_of, set_like, set_output
from onnxlrp.operators.windows import channels_first

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _operand(op: Builder, call: Call, index: int) -> ir.Value:
    """Dequantise an operand, which is three inputs from `index` on: integers, scale and zero point."""
    return reals(op, call.operand(index), call.operand(index + 1), call.input(index + 2))


def _infer_broadcast(first: int, second: int) -> Any:
    def infer(context: Any) -> None:
        shapes = [dims_of(context, i) for i in (first, second)]
        rank = max(len(dims or ()) for dims in shapes)
        one = onnx.TensorShapeProto.Dimension(dim_value=1)
        rows = [[*[one] * (rank - len(dims)), *dims] for dims in shapes if dims is not None]
        known = len(rows) == 2
        dims = [y if x.dim_value == 1 else x for x, y in zip(*rows, strict=True)] if known else None
        set_output(context, kind_of(context, first), dims)

    return infer


@in_floats("QLinearAdd", domain=DOMAIN, operands=(0, 3), inference=_infer_broadcast(0, 3))
def qlinear_add(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through Add on the dequantised values."""
    return op.Add(_operand(op, call, 0), _operand(op, call, 3))


@in_floats("QLinearMul", domain=DOMAIN, operands=(0, 3), inference=_infer_broadcast(0, 3))
def qlinear_mul(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through Mul on the dequantised values."""
    return op.Mul(_operand(op, call, 0), _operand(op, call, 3))


@in_floats("QLinearSigmoid", domain=DOMAIN, operands=(0,), inference=set_like)
def qlinear_sigmoid(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through Sigmoid on the dequantised values."""
    return op.Sigmoid(_operand(op, call, 0))


@in_floats("QLinearLeakyRelu", domain=DOMAIN, operands=(0,), inference=set_like)
def qlinear_leaky_relu(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through LeakyRelu on the dequantised values."""
    return op.LeakyRelu(_operand(op, call, 0), alpha=float(call.attr("alpha", 0.01)))


@in_floats("QLinearSoftmax", domain=DOMAIN, operands=(0,), inference=set_like)
def qlinear_softmax(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through Softmax on the dequantised values, which before opset 13 is over all axes from `axis`
    on."""
    x = _operand(op, call, 0)
    if int(call.attr("opset", 13)) >= 13:
        return op.Softmax(x, axis=int(call.attr("axis", -1)))
    rows = op.Flatten(x, axis=int(call.attr("axis", 1)))
    return op.Reshape(op.Softmax(rows, axis=-1), op.shape(x))


@in_floats("QLinearWhere", domain=DOMAIN, operands=(1, 4), inference=_infer_broadcast(1, 4))
def qlinear_where(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through Where on the dequantised values."""
    return op.Where(call.operand(0), _operand(op, call, 1), _operand(op, call, 4))


def _infer_concat(context: Any) -> None:
    parts = [dims_of(context, i) for i in range(2, context.get_num_inputs(), 3)]
    known = [dims for dims in parts if dims is not None]
    dims = list(known[0]) if len(known) == len(parts) else None
    if dims is not None:
        axis = int(context.get_attribute("axis").i) % len(dims)
        sizes = [part[axis].dim_value for part in known]
        dims[axis] = sum(sizes) if all(sizes) else None
    set_output(context, kind_of(context, 1), dims)


@in_floats("QLinearConcat", domain=DOMAIN, operands=lambda call: range(2, len(call.inputs), 3), inference=_infer_concat)
def qlinear_concat(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through Concat on the dequantised values."""
    parts = [_operand(op, call, index) for index in range(2, len(call.inputs), 3)]
    return op.Concat(*parts, axis=int(call.attr("axis")))


def _pooled(op: Builder, call: Call, op_type: str) -> ir.Value:
    attributes = {name: a.value for name, a in call.attributes.items() if name != "channels_last"}
    last = bool(call.attr("channels_last", 0))
    return channels_first(op, _operand(op, call, 0), last, lambda x: getattr(op, op_type)(x, **attributes))


@in_floats("QLinearAveragePool", domain=DOMAIN, operands=(0,), inference=lambda c: infer_as("AveragePool", c))
def qlinear_average_pool(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through AveragePool on the dequantised values."""
    return _pooled(op, call, "AveragePool")


@in_floats(
    "QLinearGlobalAveragePool", domain=DOMAIN, operands=(0,), inference=lambda c: infer_as("GlobalAveragePool", c)
)
def qlinear_global_average_pool(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through GlobalAveragePool on the dequantised values."""
    return _pooled(op, call, "GlobalAveragePool")
