"""Norms that onnxruntime fuses with a sum, an embedding or an activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.readers import is_read
from onnxlrp.operators.registry import all_operands, decomposed
from onnxlrp.operators.windows import channels_first

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"


def _outputs(call: Call, *values: ir.Value | None) -> list[ir.Value | None]:
    return list(values)[: len(call.outputs)]


def _wanted(call: Call, *indices: int) -> bool:
    """Decide whether one of these outputs is read."""
    made = (call.outputs[i] for i in indices if i < len(call.outputs))
    return any(map(is_read, made))


def _skipped(op: Builder, call: Call, x: ir.Value, skip: ir.Value, bias: ir.Value | None) -> ir.Value:
    """Compute `x + skip + bias`; the bias is added to the operand that is a product, so that both form one layer."""
    if bias is not None:
        if _product(x) or not _product(skip):
            x = op.Add(x, bias)
        else:
            skip = op.Add(skip, bias)
    return op.Add(x, skip)


def _product(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type in ("MatMul", "MatMulNBits") and len(value.uses()) == 1


def _layer_norm(
    op: Builder, call: Call, x: ir.Value, gamma: ir.Value, beta: ir.Value | None, statistics: bool = False
) -> tuple[ir.Value, ir.Value | None, ir.Value | None]:
    epsilon = float(call.attr("epsilon", 1e-12))
    if statistics:
        y, mean, deviation = op.LayerNormalization(x, gamma, beta, axis=-1, epsilon=epsilon, _outputs=3)
        return y, mean, deviation
    return op.LayerNormalization(x, gamma, beta, axis=-1, epsilon=epsilon), None, None


def wide(op: Builder, value: ir.Value) -> ir.Value:
    """Cast halves to float32, the type that kernels compute them in."""
    return op.cast(value, ir.DataType.FLOAT) if value.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16) else value


def root_mean_square(
    op: Builder, x: ir.Value, gamma: ir.Value, epsilon: float, axis: int = -1
) -> tuple[ir.Value, ir.Value]:
    """Compute `γ·x/√(mean(x²) + ε)` and `1/√(mean(x²) + ε)` over the axes from `axis` on; halves are computed in
    float32."""
    rank = len(op.dims(x))
    values, axes = wide(op, x), op.ints(range(axis % rank, rank))
    assert values.dtype is not None and gamma.dtype is not None
    square = op.ReduceMean(op.Mul(values, values), axes, keepdims=1)
    root = op.Reciprocal(op.Sqrt(op.Add(square, epsilon)))
    return op.cast(op.Mul(op.Mul(values, root), op.cast(gamma, values.dtype)), gamma.dtype), root


@decomposed("SkipLayerNormalization", domain=DOMAIN, operands=all_operands)
def skip_layer_norm(op: Builder, call: Call) -> list[ir.Value | None]:
    """Written out: a sum, then LayerNormalization."""
    summed = _skipped(op, call, call.operand(0), call.operand(1), call.input(4))
    norm = _layer_norm(op, call, summed, call.operand(2), call.input(3), _wanted(call, 1, 2))
    return _outputs(call, *norm, summed)


@decomposed("SkipSimplifiedLayerNormalization", domain=DOMAIN, operands=all_operands)
def skiproot_mean_square(op: Builder, call: Call) -> list[ir.Value | None]:
    """Written out: a sum, then a division by the root mean square."""
    summed = _skipped(op, call, call.operand(0), call.operand(1), call.input(3))
    y, root = root_mean_square(op, summed, call.operand(2), float(call.attr("epsilon", 1e-12)))
    return _outputs(call, y, None, root, summed)


@decomposed("SimplifiedLayerNormalization", domain=DOMAIN, operands=all_operands)
def simplified_layer_norm(op: Builder, call: Call) -> list[ir.Value | None]:
    """Written out: a division by the root mean square, which is constant."""
    axis, epsilon = int(call.attr("axis", -1)), float(call.attr("epsilon", 1e-5))
    return _outputs(call, *root_mean_square(op, call.operand(0), call.operand(1), epsilon, axis))


@decomposed("EmbedLayerNormalization", domain=DOMAIN, operands=all_operands)
def embed_layer_norm(op: Builder, call: Call) -> list[ir.Value | None]:
    """Written out: lookups of words, segments and positions, their sum, then LayerNormalization."""
    ids, segments, positions, mask = call.operand(0), call.input(1), call.input(8), call.input(7)
    summed = op.Gather(call.operand(2), ids, axis=0)
    if segments is not None:
        summed = op.Add(summed, op.Gather(call.operand(4), segments, axis=0))
    if positions is None:
        place = op.Slice(call.operand(3), op.ints([0]), op.dim(ids, 1), op.ints([0]))
    else:
        place = op.Gather(call.operand(3), positions, axis=0)
    summed = op.Add(summed, place)
    norm = _layer_norm(op, call, summed, call.operand(5), call.operand(6))[0]
    if mask is None:
        length = op.Expand(op.constant(np.int32(0)), op.dim(ids, 0))
    else:
        length = op.ReduceSum(op.cast(mask, ir.DataType.INT32), op.ints([1]), keepdims=0)
    return _outputs(call, norm, length, summed)


def _group_norm(op: Builder, call: Call, x: ir.Value) -> ir.Value:
    """Normalise groups of channels, which are the last axis under `channels_last`; then apply SiLU if asked for."""
    assert x.dtype is not None
    gamma, beta = (op.cast(call.operand(i), x.dtype) for i in (1, 2))
    epsilon, groups = float(call.attr("epsilon", 1e-5)), int(call.attr("groups"))

    def compute(turned: ir.Value) -> ir.Value:
        y = op.GroupNormalization(turned, gamma, beta, num_groups=groups, epsilon=epsilon)
        return op.Mul(y, op.Sigmoid(y)) if call.attr("activation", 0) else y

    return channels_first(op, x, bool(call.attr("channels_last", 1)), compute)


@decomposed("GroupNorm", domain=DOMAIN, operands=all_operands)
def group_norm(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: GroupNormalization, then SiLU if it is asked for."""
    return [_group_norm(op, call, call.operand(0))]


@decomposed("SkipGroupNorm", domain=DOMAIN, operands=all_operands)
def skip_group_norm(op: Builder, call: Call) -> list[ir.Value | None]:
    """Written out: a sum, then GroupNormalization, then SiLU if it is asked for."""
    x, skip, bias = call.operand(0), call.operand(3), call.input(4)
    rank, last = call.rank(), bool(call.attr("channels_last", 1))
    if call.rank(3) == 2:
        skip = op.Unsqueeze(skip, op.ints(range(1, rank - 1) if last else range(2, rank)))
    if bias is not None and not last:
        bias = op.Reshape(bias, op.ints([1, -1, *[1] * (rank - 2)]))
    summed = op.Add(x if bias is None else op.Add(x, bias), skip)
    return _outputs(call, _group_norm(op, call, summed), summed)
