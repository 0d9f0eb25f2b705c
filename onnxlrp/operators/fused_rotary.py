"""Rotary embeddings of onnxruntime: positions look up sines and cosines, which rotate pairs of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import heads
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"


def rotate(
    op: Builder, x: ir.Value, positions: ir.Value, cosines: ir.Value, sines: ir.Value, interleaved: bool
) -> ir.Value:
    """Rotate pairs (a, b) of the first R elements of x [B, N, S, H] to `(a·cos − b·sin, b·cos + a·sin)`.

    The tables are [M, R/2], `positions` [B, S]. A pair is adjacent if `interleaved`, else R/2 elements apart.
    """
    # Gather would be an embedding lookup and carry relevance to the positions; GatherND does not.
    rows = op.Unsqueeze(op.cast(positions, ir.DataType.INT64), op.ints([-1]))
    cos, sin = (op.Unsqueeze(op.GatherND(table, rows), op.ints([1])) for table in (cosines, sines))
    half = op.dim(cosines, 1)
    turning = op.Mul(half, op.ints([2]))
    width, known = op.dims(x)[-1], op.dims(cosines)[1]
    whole = width is not None and known is not None and width == 2 * known
    last, end = op.ints([-1]), op.ints([2**31 - 1])
    head = x if whole else op.Slice(x, op.ints([0]), turning, last)
    if interleaved:
        a, b = (op.Slice(head, op.ints([i]), end, last, op.ints([2])) for i in (0, 1))
    else:
        a, b = op.Slice(head, op.ints([0]), half, last), op.Slice(head, half, end, last)
    turned = op.Sub(op.Mul(a, cos), op.Mul(b, sin)), op.Add(op.Mul(b, cos), op.Mul(a, sin))
    if interleaved:
        pairs = op.Concat(*(op.Unsqueeze(part, op.ints([-1])) for part in turned), axis=-1)
        rotated = op.Reshape(pairs, op.Concat(op.shape(x, 0, 3), op.ints([-1]), axis=0))
    else:
        rotated = op.Concat(*turned, axis=-1)
    return rotated if whole else op.Concat(rotated, op.Slice(x, turning, end, last), axis=-1)


def _refuse(call: Call) -> str | None:
    if call.attr("is_packed_batching", 0):
        return "packed batches are not supported"
    return None if call.attr("scale", 1.0) == 1.0 else "a scale is not supported"


@decomposed("RotaryEmbedding", domain=DOMAIN, operands=all_operands, refuse=_refuse)
def rotary_embedding(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: products with constant sines and cosines."""
    x, positions, cosines, sines = (call.operand(i) for i in range(4))
    flat = call.rank() == 3
    if flat:
        # Split [B, S, N·H] by the number of heads if only a part of each rotates, else by the width of the tables.
        number = int(call.attr("num_heads", 0)) if call.attr("rotary_embedding_dim", 0) else 0
        width = op.ints([-1]) if number else op.Mul(op.dim(cosines, 1), op.ints([2]))
        x = op.Reshape(x, op.Concat(op.ints([0, 0, number or -1]), width, axis=0))
        x = op.Transpose(x, perm=[0, 2, 1, 3])
    if call.rank(1) == 1:
        # A vector holds the position of the first token.
        positions = op.Unsqueeze(op.Add(positions, op.count_up(op.dim(x, 2))), op.ints([0]))
    rotated = rotate(op, x, positions, cosines, sines, bool(call.attr("interleaved", 0)))
    return [heads.merge_heads(op, rotated) if flat else rotated]


@decomposed("GemmaRotaryEmbedding", domain=DOMAIN, operands=all_operands)
def gemma_rotary_embedding(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: products with sines and cosines."""
    angles, dtype = call.operand(0), call.operand(1).dtype
    assert dtype is not None
    cos, sin = (op.Unsqueeze(op.cast(f(angles), dtype), op.ints([1])) for f in (op.Cos, op.Sin))
    pairs = ((call.operand(1), call.operand(2)), (call.operand(3), call.operand(4)))
    return [op.Add(op.Mul(x, cos), op.Mul(turned, sin)) for x, turned in pairs]
