"""Attention operators of onnxruntime, which fuse the projection with its bias, the mask in all its forms, and a cache.

onnxruntime's CPU has no kernels of Attention and MultiHeadAttention for halves: it widens the operands, computes in
float32, and rounds only the results.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import heads
from onnxlrp.operators.registry import all_operands, decomposed, refused, stop
from onnxlrp.operators.shape_functions import dims_of, kind_of, set_output

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"


def _mask(op: Builder, call: Call, mask: ir.Value | None, q: ir.Value, k: ir.Value) -> ir.Value | None:
    """Compute the term that is added to scores [B, N, S, T], None if there is none.

    As in the kernel, `mask_filter_value` hides the keys of the mask, and the lowest number hides those of the causal
    mask.
    """
    added = _keys(op, call, mask, q, k)
    if not call.attr("unidirectional", 0):
        return added
    shown = op.number(0.0, q) if added is None else added
    return op.Where(heads.causal(op, q, k), shown, heads.lowest(op, q))


def _keys(op: Builder, call: Call, mask: ir.Value | None, q: ir.Value, k: ir.Value) -> ir.Value | None:
    """Compute the term that a mask operand adds to scores [B, N, S, T]; None where it hides nothing.

    Its rank tells its form. 1: lengths [B], or ends and starts [2·B]. 2: keys [B, T]; [B, 1] hides nothing.
    3: [B, S, T]. 4: [B, 1, M, M], from which the rows of the queries and the columns of the keys are cut out.
    """
    if mask is None:
        return None
    rank = len(op.dims(mask))
    if rank == 2 and op.dims(mask)[1] == 1:
        return None
    if rank == 1:
        shown = _between(op, mask, q, k)
    else:
        shown = op.Greater(mask, op.constant(0, mask.dtype))
        if rank == 4:
            past = op.Sub(op.dim(k, 2), op.dim(q, 2))
            begins = op.Concat(past, op.ints([0]), axis=0)
            keys = op.dim(k, 2)
            shown = op.Slice(shown, begins, op.Concat(keys, keys, axis=0), op.ints([2, 3]))
        else:
            if op.dims(mask)[1] is None and rank == 2:
                shown = op.Or(shown, op.Equal(op.dim(mask, 1), op.ints([1])))
            shown = op.Unsqueeze(shown, op.ints([1, 2] if rank == 2 else [1]))
    nothing, hidden = op.number(0.0, q), op.number(float(call.attr("mask_filter_value", -10000.0)), q)
    return op.Where(shown, nothing, hidden)


def _between(op: Builder, mask: ir.Value, q: ir.Value, k: ir.Value) -> ir.Value:
    """Mark the visible keys, bool [B, 1, 1, T], of a mask of rank 1: B ends, and B starts if it has 2·B numbers."""
    batch, size = op.dim(q, 0), op.dim(mask, 0)
    twice = op.Add(batch, batch)
    visible = heads.within_length(op, k, op.Slice(mask, op.ints([0]), batch, op.ints([0])))
    padded = op.Concat(mask, op.Expand(op.constant(0, mask.dtype), batch), axis=0)
    starts = op.Where(op.Equal(size, twice), op.Slice(padded, batch, twice, op.ints([0])), op.constant(0, mask.dtype))
    return op.And(visible, op.Not(heads.within_length(op, k, starts)))


def _refuse_attention(call: Call) -> str | None:
    if call.attr("do_rotary", 0):
        return "rotary embedding inside of Attention is not supported"
    if call.attr("past_present_share_buffer", 0):
        return "a cache in a shared buffer is not supported"
    return None


@decomposed("Attention", domain=DOMAIN, operands=all_operands, refuse=_refuse_attention)
def attention(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a layer for queries, keys and values, products, mask and softmax, each with its own rule."""
    number = int(call.attr("num_heads"))
    projected = op.MatMul(heads.wide(op, call.operand(0)), heads.wide(op, call.operand(1)))
    bias = call.input(2)
    q, k, v = _three(op, call, projected if bias is None else op.Add(projected, heads.wide(op, bias)))
    q, k, v = (heads.split_heads(op, part, number) for part in (q, k, v))
    past = call.input(4)
    if past is not None:
        pasts = (heads.wide(op, op.Gather(past, op.ints_scalar(i), axis=0)) for i in range(2))
        k, v = (op.Concat(cached, part, axis=2) for cached, part in zip(pasts, (k, v), strict=True))
    out = heads.attend(op, _scores(op, call, q, k, call.input(5), call.input(3)), v)
    kind = _type(call.operand(0))
    if len(call.outputs) == 1:
        return [op.cast(out, kind)]
    present = op.Concat(*(op.Unsqueeze(part, op.ints([0])) for part in (k, v)), axis=0)
    return [op.cast(out, kind), op.cast(present, kind)]


def _type(value: ir.Value) -> ir.DataType:
    assert value.dtype is not None
    return value.dtype


def _scores(
    op: Builder, call: Call, q: ir.Value, k: ir.Value, bias: ir.Value | None, mask: ir.Value | None
) -> ir.Value:
    """Compute scores [B, N, S, T] with everything that is added to them. Queries and keys are float32, so that a causal
    mask uses the lowest number of float32."""
    scale = heads.scale_of(op, call, q)
    if bias is None and mask is None and call.attr("unidirectional", 0):
        scores = heads.scores_of(op, q, k, scale, None)
        return op.Where(heads.causal(op, q, k), scores, heads.lowest(op, scores))
    added = heads.total(op, None if bias is None else heads.wide(op, bias), _mask(op, call, mask, q, k))
    return heads.scores_of(op, q, k, scale, added)


def _three(op: Builder, call: Call, x: ir.Value) -> list[ir.Value]:
    """Split queries, keys and values, which lie side by side along the last axis."""
    sizes = call.ints("qkv_hidden_sizes", [])
    if sizes:
        return list(op.Split(x, op.ints(sizes), axis=-1, _outputs=3))
    return list(op.Split(x, axis=-1, num_outputs=3, _outputs=3))


def _refuse_multi_head(call: Call) -> str | None:
    return "a cache in a shared buffer is not supported" if call.input(8) or call.input(9) else None


@decomposed("MultiHeadAttention", domain=DOMAIN, operands=all_operands, refuse=_refuse_multi_head)
def multi_head_attention(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: products, mask and softmax, each with its own rule."""
    q, k, v = _queries_keys_values(op, call)
    if call.input(6) is not None:
        pasts = (heads.wide(op, call.operand(i)) for i in (6, 7))
        k, v = (op.Concat(past, part, axis=2) for past, part in zip(pasts, (k, v), strict=True))
    scores = _scores(op, call, q, k, call.input(5), call.input(4))
    results = [heads.attend(op, scores, v), k, v, scores]
    return [op.cast(result, _type(call.operand(0))) for result in results[: len(call.outputs)]]


def _queries_keys_values(op: Builder, call: Call) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Compute queries, keys and values, each [B, N, S, H], from separate or packed operands: widened to float32, with
    the bias added."""
    number, query = int(call.attr("num_heads")), call.operand(0)
    if call.rank(0) == 5:
        parts = _unpacked(op, query, 3)
    elif call.rank(1) == 5:
        parts = [query, *_unpacked(op, call.operand(1), 2)]
    else:
        parts = [query, call.operand(1), call.operand(2)]
    parts = [heads.wide(op, part) for part in parts]
    bias, start = call.input(3), op.ints([0])
    for index, part in enumerate(parts if bias is not None else ()):
        if len(op.dims(part)) == 4:
            break
        end = op.plus(start, op.dim(part, -1))
        parts[index] = op.Add(part, heads.wide(op, op.Slice(bias, start, end, op.ints([0]))))
        start = end
    q, k, v = (part if len(op.dims(part)) == 4 else heads.split_heads(op, part, number) for part in parts)
    return q, k, v


def _unpacked(op: Builder, x: ir.Value, number: int) -> list[ir.Value]:
    """Split [B, S, N, number, H] into `number` values of [B, S, N·H]."""
    parts = op.Split(x, axis=3, num_outputs=number, _outputs=number)
    return [heads.merge_last(op, op.Squeeze(part, op.ints([3]))) for part in parts]


@decomposed("PackedAttention", domain=DOMAIN, operands=all_operands)
def packed_attention(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: as Attention, on tokens that are put back in their places."""
    projected = op.Add(op.MatMul(call.operand(0), call.operand(1)), call.operand(2))
    return [_packed(op, call, _three(op, call, projected), call.operand(3), call.operand(4), call.input(5))]


@decomposed("PackedMultiHeadAttention", domain=DOMAIN, operands=all_operands)
def packed_multi_head_attention(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: as MultiHeadAttention, on tokens that are put back in their places."""
    query, bias = call.operand(0), call.input(3)
    if call.rank(0) == 4:
        # The packed operand is [T, N, 3, H].
        pieces = op.Split(query, axis=2, num_outputs=3, _outputs=3)
        parts = [op.Flatten(piece, axis=1) for piece in pieces]
    else:
        parts = [query, call.operand(1), call.operand(2)]
    if bias is not None:
        starts = [op.ints([0])]
        for part in parts:
            starts.append(op.plus(starts[-1], op.dim(part, -1)))
        shares = (op.Slice(bias, a, b, op.ints([0])) for a, b in itertools.pairwise(starts))
        parts = [op.Add(part, share) for part, share in zip(parts, shares, strict=True)]
    return [_packed(op, call, parts, call.operand(4), call.operand(5), call.input(6))]


def _packed(
    op: Builder, call: Call, parts: list[ir.Value], offsets: ir.Value, ends: ir.Value, added: ir.Value | None
) -> ir.Value:
    """Compute attention of packed tokens [T, D].

    The first T numbers of `offsets` [B, S] are the tokens' places in the padded batch; `ends` [B + 1] holds the running
    sums of the lengths.
    """
    number, tokens = int(call.attr("num_heads")), op.dim(parts[0], 0)
    places = op.Reshape(op.size(offsets), op.ints([1]))
    where = op.Reshape(op.cast(offsets, ir.DataType.INT64), op.ints([-1]))
    where = op.Slice(where, op.ints([0]), tokens, op.ints([0]))
    # A place without a token reads the row of zeros that follows the last token.
    source = op.ScatterElements(op.Expand(tokens, places), where, op.count_up(tokens), axis=0)
    apart = []
    for part in parts:
        zero = op.full(op.Concat(op.ints([1]), op.dim(part, 1), axis=0), 0, part.dtype)
        rows = op.Gather(op.Concat(part, zero, axis=0), source, axis=0)
        placed = op.Reshape(rows, op.Concat(op.shape(offsets), op.dim(part, 1), axis=0))
        apart.append(heads.split_heads(op, placed, number))
    q, k, v = apart
    scores = heads.scores_of(op, q, k, heads.scale_of(op, call, q), added)
    sums = op.cast(ends, ir.DataType.INT64)
    last = op.ints([2**31 - 1])
    lengths = op.Sub(
        op.Slice(sums, op.ints([1]), last, op.ints([0])), op.Slice(sums, op.ints([0]), op.ints([-1]), op.ints([0]))
    )
    visible = heads.within_length(op, k, lengths)
    out = heads.attend(op, op.Where(visible, scores, heads.lowest(op, scores)), v)
    flat = op.Reshape(out, op.Concat(op.ints([-1]), op.dim(out, 2), axis=0))
    return op.Gather(flat, where, axis=0)


_IN_PLACE = "it works on a cache in place"
refused("DecoderMaskedSelfAttention", "DecoderMaskedMultiHeadAttention", domain=DOMAIN, reason=_IN_PLACE)
refused("PagedAttention", "SparsePagedAttention", domain=DOMAIN, reason=_IN_PLACE)
refused("DecoderAttention", domain=DOMAIN, reason="only a run of the model decides whether it attends to itself")
refused("LongformerAttention", "SparseAttention", domain=DOMAIN, reason="sparse attention has no rule")


def _infer_bias(context: Any) -> None:
    """Infer the shape [1, heads, queries, keys] from a table [buckets, heads]."""
    table = dims_of(context, 0)
    set_output(context, kind_of(context, 0), None if table is None else [1, table[1], None, None])


stop(
    "RelativePositionBias",
    domain=DOMAIN,
    reason="a table that computed positions index is constant",
    inference=_infer_bias,
)
