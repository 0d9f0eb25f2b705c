"""Texts: relevance of counts goes to the words that are counted, and relevance of words to the text that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Reversed, custom, routing
from onnxlrp.operators.shape_functions import dims_of, kind_of, set_output

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@custom("TfIdfVectorizer", piecewise_constant=True)
def tf_idf_vectorizer(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared equally by the occurrences of an n-gram, and within an occurrence equally by its words."""
    x = call.operand(0)
    alone = call.rank() == 1
    words, scores = (op.Unsqueeze(v, op.ints([0])) if alone else v for v in (x, r))
    if gradient:
        return Reversed({0: op.full(op.shape(x), 0, r.dtype)})
    counts = _as_like(op, _counted(op, call, words, {}), scores)
    each = op.Div(scores, op.Max(counts, op.number(1.0, scores)))
    parts = []
    shortest, longest = (int(call.attr(name)) for name in ("min_gram_length", "max_gram_length"))
    for length in range(shortest, longest + 1):
        for step in range(1, 2 + (int(call.attr("max_skip_count")) if length > 1 else 0)):
            starts = [i * step for i in range(length)]
            share = op.Div(_of_windows(op, call, words, starts, each), float(length))
            parts += [_shifted(op, share, start) for start in starts]
    total = parts[0] if len(parts) == 1 else op.Sum(*parts)
    return Reversed({0: op.Squeeze(total, op.ints([0])) if alone else total})


def _counted(op: Builder, call: Call, words: ir.Value, changes: Mapping[str, int]) -> ir.Value:
    """Count each n-gram in each row, [N, n-grams], with some attributes of the operator changed."""
    kept = call.variant(without=("weights", "mode")).attributes
    attributes = {**{k: a.value for k, a in kept.items()}, **changes, "mode": "TF"}
    return op.TfIdfVectorizer(words, **attributes)


def _of_windows(op: Builder, call: Call, words: ir.Value, starts: list[int], each: ir.Value) -> ir.Value:
    """Return for each place the entry of `each` that belongs to the n-gram whose words are at the offsets `starts` from
    that place, [N, T].

    The model's own operator, run on each window alone, tells the n-gram. A filler that is in no n-gram follows the last
    word.
    """
    more = op.Concat(op.shape(words, 0, 1), op.ints([starts[-1]]), axis=0)
    filled = op.Concat(words, op.Expand(_filler(op, call, words), more), axis=1) if starts[-1] else words
    width = op.dim(words, 1)
    columns = [
        op.Unsqueeze(op.Slice(filled, op.ints([s]), op.plus(width, op.ints([s])), op.ints([1])), op.ints([2]))
        for s in starts
    ]
    windows = op.Reshape(columns[0] if len(columns) == 1 else op.Concat(*columns, axis=2), op.ints([-1, len(starts)]))
    length = {"min_gram_length": len(starts), "max_gram_length": len(starts), "max_skip_count": 0}
    which = op.Reshape(
        _as_like(op, _counted(op, call, windows, length), each),
        op.Concat(op.shape(words), op.shape(each, 1), axis=0),
    )
    return op.Squeeze(op.MatMul(which, op.Unsqueeze(each, op.ints([2]))), op.ints([2]))


def _as_like(op: Builder, value: ir.Value, like: ir.Value) -> ir.Value:
    assert like.dtype is not None
    return op.cast(value, like.dtype)


def _filler(op: Builder, call: Call, words: ir.Value) -> ir.Value:
    """Return a word or number that is in no n-gram, [1, 1]."""
    if words.dtype == ir.DataType.STRING:
        known = {w.decode() if isinstance(w, bytes) else w for w in call.attr("pool_strings")}
        word = next(" " * n for n in range(len(known) + 1) if " " * n not in known)
        return op.Reshape(op.Constant(value_strings=[word]), op.ints([1, 1]))
    numbers = set(call.ints("pool_int64s"))
    return op.constant([[next(n for n in range(len(numbers) + 1) if n not in numbers)]], words.dtype)


def _shifted(op: Builder, share: ir.Value, places: int) -> ir.Value:
    """Move shares [N, T] on by `places` words."""
    if not places:
        return share
    moved = op.Pad(share, op.ints([0, places, 0, 0]))
    return op.Slice(moved, op.ints([0]), op.dim(share, 1), op.ints([1]))


def _infer_words(context: Any) -> None:
    """Infer the shape of the texts with one more axis, of words."""
    dims = dims_of(context, 0)
    set_output(context, kind_of(context, 0), None if dims is None else [*dims, None])


@custom("Tokenizer", domain="com.microsoft", inference=_infer_words)
def tokenizer(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is summed over the words of a text."""
    return Reversed({0: op.ReduceSum(r, op.ints([-1]), keepdims=0)})


@routing("StringNormalizer", operands=lambda call: () if call.attr("stopwords") else (0,))
def string_normalizer(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the words; it ends where stop words are removed."""
    return r
