"""GroupQueryAttention: grouped heads, rotary embedding, and a cache that each sample fills to a length of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import heads
from onnxlrp.operators.fused_rotary import rotate
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_INT64 = ir.DataType.INT64


def _refuse(call: Call) -> str | None:
    for index, name in ((12, "k_scale"), (13, "v_scale"), (14, "q_norm_weight"), (15, "k_norm_weight")):
        if call.input(index) is not None:
            return f"its input {name} is not supported"
    if call.attr("sliding_window_cache", 0):
        return "a cache as long as the window is not supported"
    return None


@decomposed("GroupQueryAttention", domain="com.microsoft", operands=all_operands, refuse=_refuse)
def group_query_attention(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: rotary embedding, products, mask and softmax, each with its own rule."""
    number, groups = int(call.attr("num_heads")), int(call.attr("kv_num_heads"))
    q, k, v = _queries_keys_values(op, call, number, groups)
    past = _past(op, call, q)
    if call.attr("do_rotary", 0):
        positions = _positions(op, call, q, past)
        tables, interleaved = (call.operand(7), call.operand(8)), bool(call.attr("rotary_interleaved", 0))
        q, k = (rotate(op, x, positions, *tables, interleaved) for x in (q, k))
    if call.input(3) is not None:
        k, v = _cached(op, call, past, k, v)
    wide = [heads.repeat_heads(op, x, number // groups) for x in (k, v)]
    scores = heads.scores_of(op, q, wide[0], heads.scale_of(op, call, q), None)
    cap, added = float(call.attr("softcap", 0.0)), call.input(10)
    if cap:
        scores = op.Mul(op.Tanh(op.Div(scores, cap)), cap)
    if added is not None:
        scores = op.Add(scores, added)
    visible = _visible(op, call, q, k, past)
    shown = op.Where(visible, scores, op.number(-math.inf, scores))
    weights = _softmax(op, call, shown)
    if added is not None and _clears_rows(call):
        highest = op.ReduceMax(shown, op.ints([-1]), keepdims=1)
        weights = op.Where(op.LessOrEqual(highest, heads.lowest(op, scores)), op.number(0.0, weights), weights)
    out = heads.merge_heads(op, op.MatMul(weights, wide[1]))
    given = op.Where(visible, weights if call.attr("qk_output", 0) == 2 else scores, op.number(0.0, scores))
    return [out, k, v, given][: len(call.outputs)]


def _queries_keys_values(op: Builder, call: Call, number: int, groups: int) -> list[ir.Value]:
    """Split queries, keys and values by heads, each to [B, N, S, H]."""
    if call.input(1) is not None:
        given = zip(range(3), (number, groups, groups), strict=True)
        return [heads.split_heads(op, call.operand(i), count) for i, count in given]
    packed = heads.split_heads(op, call.operand(0), number + 2 * groups)
    return list(op.Split(packed, op.ints([number, groups, groups]), axis=1, _outputs=3))


def _past(op: Builder, call: Call, q: ir.Value) -> ir.Value:
    """Count the cached tokens of each sample, int64 [B, 1]: 0 if the queries are the whole sequence."""
    lengths = op.Reshape(op.cast(call.operand(5), _INT64), op.ints([-1, 1]))
    before = op.Sub(op.Add(lengths, op.ints([1])), op.dim(q, 2))
    return op.Where(_whole(op, call, q), op.ints([0]), before)


def _whole(op: Builder, call: Call, q: ir.Value) -> ir.Value:
    """Compute whether the queries are the whole sequence, that is, whether no token is cached: bool [1]."""
    return op.Equal(op.Reshape(op.cast(call.operand(6), _INT64), op.ints([1])), op.dim(q, 2))


def _positions(op: Builder, call: Call, q: ir.Value, past: ir.Value) -> ir.Value:
    """Compute the positions of the queries, [B, S]: as given, or counted on from the cache.

    If the queries are the whole sequence, the kernel takes the first given position for all samples and counts on.
    """
    given, steps = call.input(9), op.count_up(op.dim(q, 2))
    if given is None:
        return op.Add(past, steps)
    first = op.Slice(op.Reshape(given, op.ints([-1])), op.ints([0]), op.ints([1]), op.ints([0]))
    return op.Where(_whole(op, call, q), op.Add(first, steps), given)


def _cached(op: Builder, call: Call, past: ir.Value, k: ir.Value, v: ir.Value) -> list[ir.Value]:
    """Append keys and values to the cache: the first `past` rows of a sample come from the cache, the later ones from
    `k` and `v`."""
    whole = op.Reshape(op.cast(call.operand(6), _INT64), op.ints([1]))
    results = []
    for cache, new in ((call.operand(3), k), (call.operand(4), v)):
        size, fresh = op.dim(cache, 2), op.dim(new, 2)
        places = op.count_up(op.Max(size, whole))
        ahead = op.Sub(places, past)
        # A last row of zeros serves the rows that are neither.
        row = op.Concat(op.shape(new, 0, 2), op.ints([1]), op.dim(new, 3), axis=0)
        rows = op.Concat(cache, new, op.full(row, 0, new.dtype), axis=2)
        after_cache = op.Where(op.Less(ahead, fresh), op.Add(ahead, size), op.Add(size, fresh))
        source = op.Where(op.Less(ahead, op.ints([0])), places, after_cache)
        shape = op.Concat(op.shape(new, 0, 2), op.dim(source, 1), op.dim(new, 3), axis=0)
        results.append(op.GatherElements(rows, op.Expand(op.Unsqueeze(source, op.ints([1, 3])), shape), axis=2))
    return results


def _visible(op: Builder, call: Call, q: ir.Value, k: ir.Value, past: ir.Value) -> ir.Value:
    """Compute whether a query sees a key, bool [B, 1, S, T]: up to its own place, within the window."""
    rows = op.Unsqueeze(op.Add(past, op.count_up(op.dim(q, 2))), op.ints([1, 3]))
    keys = op.count_up(op.dim(k, 2))
    if not call.attr("causal", 1):
        lengths = op.Reshape(op.cast(call.operand(5), _INT64), op.ints([-1, 1, 1, 1]))
        return op.LessOrEqual(keys, lengths)
    shown, window = op.LessOrEqual(keys, rows), int(call.attr("local_window_size", -1))
    if window > 0:
        shown = op.And(shown, op.Greater(keys, op.Sub(rows, op.ints([window]))))
    return shown


def _clears_rows(call: Call) -> bool:
    """Decide whether the kernel outputs 0 in rows that a bias hides completely.

    The float32 kernel that reads the keys in blocks does. It runs unless a cap, smoothing or an output of the scores
    requires the other kernel.
    """
    if call.operand(0).dtype != ir.DataType.FLOAT:
        return False
    plain = call.input(11) is None and call.attr("smooth_softmax", 0) != 1 and not call.attr("qk_output", 0)
    return plain and not call.attr("softcap", 0.0)


def _softmax(op: Builder, call: Call, scores: ir.Value) -> ir.Value:
    """Compute the softmax over the keys and, where the call has one, an extra score without a value: operand 11 gives
    one for each head, `smooth_softmax` gives 0."""
    sink = call.input(11)
    if sink is None and call.attr("smooth_softmax", 0) != 1:
        return op.Softmax(scores, axis=-1)
    rows = op.Concat(op.shape(scores, 0, 3), op.ints([1]), axis=0)
    value = op.number(0.0, scores) if sink is None else op.Reshape(sink, op.ints([1, -1, 1, 1]))
    weights = op.Softmax(op.Concat(scores, op.Expand(value, rows), axis=-1), axis=-1)
    return op.Slice(weights, op.ints([0]), op.ints([-1]), op.ints([-1]))
