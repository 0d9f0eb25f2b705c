"""Attention, embeddings and LSTM on quantised weights, as onnxruntime's tools fuse them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.fused_attention import attention
from onnxlrp.operators.fused_norms import embed_layer_norm
from onnxlrp.operators.quantised import DOMAIN
from onnxlrp.operators.quantised_numbers import in_floats, reals
from onnxlrp.operators.shape_functions import dims_of, kind_of, set_output

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _refuse_attention(call: Call) -> str | None:
    if call.input(8) is not None or len(call.outputs) > 1:
        return "its cache is not supported"
    return "rotary embedding inside of it is not supported" if call.attr("do_rotary", 0) else None


def _infer_attention(context: Any) -> None:
    """Infer the output's shape: that of x, with a third of the weight's columns as the last dimension."""
    x, w = dims_of(context, 0), dims_of(context, 1)
    dims = None if x is None or w is None else [*x[:-1], w[-1].dim_value // 3 or None]
    set_output(context, kind_of(context, 3), dims)


@in_floats("QAttention", domain=DOMAIN, operands=(0,), refuse=_refuse_attention, inference=_infer_attention)
def qattention(op: Builder, call: Call) -> ir.Value:
    """Relevance goes through Attention on the dequantised values: a layer, products, mask and softmax, each with its
    own rule."""
    x = reals(op, call.operand(0), call.operand(3), call.input(6))
    w = reals(op, call.operand(1), call.operand(4), call.input(7))
    operands = (x, w, call.input(2), call.input(5))
    (result,) = attention(op, dataclasses.replace(call, inputs=operands, original=operands))
    return result


def _infer_embedding(context: Any) -> None:
    """Infer the outputs: the ids' shape with the table's columns, and for output 1 a number of tokens for each text."""
    ids, table = dims_of(context, 0), dims_of(context, 2)
    known = None if ids is None or table is None else (ids, table[1])
    set_output(context, kind_of(context, 8), None if known is None else [*known[0], known[1]])
    set_output(context, onnx.TensorProto.INT32, None if known is None else known[0][:1], 1)


@in_floats("QEmbedLayerNormalization", domain=DOMAIN, operands=(0, 1), inference=_infer_embedding)
def qembed_layer_norm(op: Builder, call: Call) -> list[ir.Value | None]:
    """Relevance goes through EmbedLayerNormalization on dequantised tables: lookups, their sum, then
    LayerNormalization."""
    tables = [
        None if call.input(i) is None else reals(op, call.operand(i), call.operand(i + 6), call.input(i + 11))
        for i in range(2, 7)
    ]
    operands = (call.operand(0), call.input(1), *tables, call.input(7))
    return embed_layer_norm(op, dataclasses.replace(call, inputs=operands, original=operands))


_LSTM_OUTPUTS = (
    lambda steps, sides, batch, size: [steps, sides, batch, size],
    lambda steps, sides, batch, size: [sides, batch, size],
    lambda steps, sides, batch, size: [sides, batch, size],
)


def _infer_lstm(context: Any) -> None:
    """Infer the outputs of an LSTM."""
    x, w = dims_of(context, 0), dims_of(context, 1)
    size = context.get_attribute("hidden_size").i
    for index in range(context.get_num_outputs()):
        dims = None if x is None or w is None else _LSTM_OUTPUTS[index](x[0], w[0], x[1], size)
        set_output(context, kind_of(context, 0), dims, index)


def _matrix(op: Builder, w: ir.Value, scale: ir.Value, zero: ir.Value | None) -> ir.Value:
    """Dequantise a weight [directions, size, 4·hidden] with a scale for each direction or column, and transpose it to
    [directions, 4·hidden, size], as LSTM expects it."""

    def beside(value: ir.Value) -> ir.Value:
        return op.Unsqueeze(value, op.ints([1] if len(op.dims(value)) == 2 else [1, 2]))

    numbers = op.Cast(w, to=scale.dtype)
    if zero is not None:
        numbers = op.Sub(numbers, beside(op.Cast(zero, to=scale.dtype)))
    return op.Transpose(op.Mul(numbers, beside(scale)), perm=[0, 2, 1])


@in_floats("DynamicQuantizeLSTM", domain=DOMAIN, operands=(0, 5, 6), inference=_infer_lstm)
def dynamic_quantize_lstm(op: Builder, call: Call) -> list[ir.Value]:
    """Relevance goes through LSTM on the rounded x and the dequantised weights; the rounding of the states is
    ignored."""
    x, scale, zero = op.DynamicQuantizeLinear(call.operand(0), _outputs=3)
    x = op.DequantizeLinear(x, scale, zero)
    w = _matrix(op, call.operand(1), call.operand(8), call.input(9))
    r = _matrix(op, call.operand(2), call.operand(10), call.input(11))
    attributes = {name: attribute.value for name, attribute in call.attributes.items()}
    outputs = op.LSTM(
        call.operand(0), w, r, *(call.input(i) for i in range(3, 8)), **attributes, _outputs=len(call.outputs)
    )
    return list(outputs) if len(call.outputs) > 1 else [outputs]
