"""ONNX's own Attention, written out with masks as onnxruntime's kernel reads them.

To hide a key, the kernel adds the lowest finite number, and the standard's function body adds −∞. A row whose mask
holds nothing above the kernel's number is hidden completely: its weights, and so its output, are 0. For types without a
kernel (float64, bfloat16), for windows, which no kernel knows, and from opset 25 on, onnxruntime runs the function
body, and −∞ hides.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import heads
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_PADS_MASKS = 24
"""The first opset in which a mask may be narrower than the keys."""
_LAST_KERNEL = 24
"""Last opset that onnxruntime's kernel implements. (onnxruntime 1.31, which is older than opset 25, runs this kernel at
opset 25 too.)"""


@decomposed("Attention", operands=all_operands)
def attention(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: products, mask and softmax, each with its own rule."""
    flat = call.rank(0) == 3
    q, k, v = _heads(op, call) if flat else [call.operand(i) for i in range(3)]
    if call.input(4) is not None:
        k, v = op.Concat(call.operand(4), k, axis=2), op.Concat(call.operand(5), v, axis=2)
    cap, added = float(call.attr("softcap", 0.0)), _added(op, call, q, k)
    product = capped = _product(op, call, q, k)
    if cap:
        # Without a cap the kernel adds the mask as it multiplies, and rounds only once.
        product = _rounded(op, product, q)
        capped = _rounded(op, op.Mul(op.Tanh(op.Div(product, cap)), cap), q)
    scores = capped if added is None else op.Add(capped, added)
    # In the function body for halves, onnxruntime removes the casts around the softmax.
    scores = _rounded(op, scores, q) if _has_kernel(op, call) else scores
    weights = _weights(op, call, scores, added)
    values = heads.repeat_heads(op, v, _times(op, q, v))
    out = op.MatMul(_rounded(op, weights, q), op.cast(values, _type(weights)))
    out = op.cast(heads.merge_heads(op, out) if flat else out, _type(q))
    results = [out, k, v]
    if len(call.outputs) > len(results):
        stage = (product, capped, scores, weights)[int(call.attr("qk_matmul_output_mode", 0))]
        results.append(op.cast(stage, _type(q)))
    return results[: len(call.outputs)]


def _heads(op: Builder, call: Call) -> list[ir.Value]:
    """Split queries, keys and values by heads, each to [B, N, S, H]."""
    number, groups = int(call.attr("q_num_heads")), int(call.attr("kv_num_heads"))
    return [heads.split_heads(op, call.operand(i), n) for i, n in enumerate((number, groups, groups))]


def _times(op: Builder, q: ir.Value, x: ir.Value) -> int | ir.Value:
    """Count the query heads that share one head of `x`, the keys or values."""
    number, groups = op.dims(q)[1], op.dims(x)[1]
    if number is None or groups is None:
        return op.Div(op.dim(q, 1), op.dim(x, 1))
    return number // groups


def _type(value: ir.Value) -> ir.DataType:
    assert value.dtype is not None
    return value.dtype


def _rounded(op: Builder, x: ir.Value, q: ir.Value) -> ir.Value:
    """Round x to the type of q and widen it again: the kernel computes halves in float32 and stores them as halves."""
    return heads.wide(op, op.cast(x, _type(q)))


def _product(op: Builder, call: Call, q: ir.Value, k: ir.Value) -> ir.Value:
    """Compute `scale·q·kᵀ`, [B, N, S, T]; √scale multiplies both operands, as in the standard's function body."""
    scale, k = heads.scale_of(op, call, heads.wide(op, q)), heads.repeat_heads(op, k, _times(op, q, k))
    root = op.Sqrt(scale) if isinstance(scale, ir.Value) else math.sqrt(scale)
    return op.MatMul(op.Mul(heads.wide(op, q), root), op.Mul(op.Transpose(heads.wide(op, k), perm=[0, 1, 3, 2]), root))


def _weights(op: Builder, call: Call, scores: ir.Value, added: ir.Value | None) -> ir.Value:
    """Compute the softmax of the scores, with 0 in rows that are hidden completely."""
    kind, precision = _type(scores), int(call.attr("softmax_precision", 0))
    if precision and not _has_kernel(op, call):
        scores = op.cast(scores, ir.DataType(precision))
    weights = op.cast(op.Softmax(scores, axis=-1), kind)
    # With a causal mask alone, every row still sees its first key.
    if added is None or (call.input(3) is None and call.input(6) is None and not _has_window(call)):
        return weights
    highest = op.ReduceMax(added, op.ints([-1]), keepdims=1)
    nothing = op.LessOrEqual(highest, op.number(_hiding(op, call), added))
    return op.Where(nothing, op.number(0.0, weights), weights)


# ------------------------------------------------------------------------------------------------------------- masking


def _added(op: Builder, call: Call, q: ir.Value, k: ir.Value) -> ir.Value | None:
    """Compute the term that is added to the scores: the mask, and `_hiding` for keys whose place hides them."""
    mask, hidden, wide = call.input(3), _hidden(op, call, q, k), _type(heads.wide(op, q))
    nothing, hiding = op.constant(0, wide), op.constant(_hiding(op, call), wide)
    if mask is not None:
        mask = op.Where(mask, nothing, hiding) if mask.dtype == ir.DataType.BOOL else op.cast(mask, wide)
        mask = _padded(op, mask, k, hiding)
    return mask if hidden is None else op.Where(hidden, hiding, nothing if mask is None else mask)


def _has_kernel(op: Builder, call: Call) -> bool:
    known = (op.version or 0) <= _LAST_KERNEL and not _has_window(call)
    return known and call.operand(0).dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def _has_window(call: Call) -> bool:
    return any(int(call.attr(f"{side}_window_size", -1)) >= 0 for side in ("left", "right"))


def _hiding(op: Builder, call: Call) -> float:
    """Return the number that hides a key."""
    return heads.lowest_of(_type(call.operand(0))) if _has_kernel(op, call) else -math.inf


def _padded(op: Builder, mask: ir.Value, k: ir.Value, hiding: ir.Value) -> ir.Value:
    """Extend a mask to all keys: keys after its end are hidden."""
    width, keys = op.dims(mask)[-1], op.dims(k)[2]
    if (op.version or 0) < _PADS_MASKS or (width is not None and width == keys):
        return mask
    missing = op.Sub(op.dim(k, 2), op.dim(mask, -1))
    return op.Pad(mask, op.Concat(op.ints([0]), missing, axis=0), hiding, op.ints([-1]))


def _hidden(op: Builder, call: Call, q: ir.Value, k: ir.Value) -> ir.Value | None:
    """Mark the keys that a query must not see because of their place, bool [S, T] or [B, 1, S, T]; None if no key.

    These are later keys under a causal mask, keys outside of the window, and keys after the end of a sample.
    """
    keys, rows = op.count_up(op.dim(k, 2)), _rows(op, call, q)
    masks = []
    if call.attr("is_causal", 0):
        masks.append(op.Less(_causal_rows(op, call, q, k, rows), keys))
    for side, ahead in (("left", op.Sub(rows, keys)), ("right", op.Sub(keys, rows))) if _has_window(call) else ():
        size = int(call.attr(f"{side}_window_size", -1))
        if size >= 0:
            masks.append(op.Greater(ahead, op.ints([size])))
    if call.input(6) is not None:
        masks.append(op.Not(heads.within_length(op, k, call.operand(6))))
    return functools.reduce(op.Or, masks) if masks else None


def _rows(op: Builder, call: Call, q: ir.Value) -> ir.Value:
    """Compute the places of the queries among the keys, [S, 1], or [B, 1, S, 1] where samples differ in length."""
    rows = op.Unsqueeze(op.count_up(op.dim(q, 2)), op.ints([1]))
    if call.input(6) is not None:
        lengths = op.Reshape(call.operand(6), op.ints([-1, 1, 1, 1]))
        return op.Add(rows, op.Sub(lengths, op.dim(q, 2)))
    return rows if call.input(4) is None else op.Add(rows, op.dim(call.operand(4), 2))


def _causal_rows(op: Builder, call: Call, q: ir.Value, k: ir.Value, rows: ir.Value) -> ir.Value:
    """Compute the places by which a causal mask decides: the kernel ignores the mask for one query after a cache."""
    if call.input(4) is None or op.dims(q)[2] not in (None, 1) or not _has_kernel(op, call):
        return rows
    single = op.Equal(op.dim(q, 2), op.ints([1]))
    cached = op.Greater(op.dim(call.operand(4), 2), op.ints([0]))
    return op.Add(rows, op.Where(op.And(single, cached), op.dim(k, 2), op.ints([0])))
