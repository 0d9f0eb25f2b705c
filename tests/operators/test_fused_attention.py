"""Attention as onnxruntime fuses it: its kernel's outputs, gradients, and the relevance of the same model in parts."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import onnxruntime, reference
from tests.operators.fused import FLOAT, Array, Fused, check_forward, check_gradient, check_ledger, floats, ints

X, WEIGHT, BIAS = floats(0, 2, 3, 8), floats(1, 8, 24), floats(2, 24)
PAST = floats(4, 2, 2, 2, 4, 4)
Q, K, V = floats(0, 2, 3, 8), floats(1, 2, 5, 8), floats(2, 2, 5, 6)
PAST_KEY, PAST_VALUE = floats(6, 2, 2, 4, 4), floats(7, 2, 2, 4, 4)
BOTH, ALL = {0: FLOAT, 1: FLOAT}, dict.fromkeys(range(4), FLOAT)
COINS = np.random.default_rng(0)


def coins(*shape: int) -> Array:
    return COINS.integers(0, 2, shape).astype(np.int32)


def attention(*rest: Array | None, **options) -> Fused:
    """Attention(x, weight, bias, mask, past, attention bias)."""
    feeds = (3,) if rest and rest[0] is not None else ()
    options = {"feeds": feeds, **options}
    fields = {k: options.pop(k) for k in ("data", "feeds", "outputs") if k in options}
    return Fused("Attention", [X, WEIGHT, BIAS, *rest], attributes={"num_heads": 2, **options}, **fields)


def multi_head(*operands: Array | None, **options) -> Fused:
    """MultiHeadAttention(q, k, v, bias, mask, attention bias, past key, past value)."""
    feeds = (4,) if len(operands) > 4 and operands[4] is not None else ()
    options = {"feeds": feeds, "data": (0, 1, 2), **options}
    fields = {k: options.pop(k) for k in ("data", "feeds", "outputs") if k in options}
    return Fused("MultiHeadAttention", operands, attributes={"num_heads": 2, **options}, **fields)


def resized(case: Fused, weight: Array, bias: Array, **attributes) -> Fused:
    case.operands, case.attributes = [X, weight, bias], {**case.attributes, **attributes}
    return case


CASES = {
    "plain": attention(outputs=BOTH),
    "causal": attention(unidirectional=1),
    "scale": attention(scale=0.3),
    "keys": attention(ints([[1, 1, 0], [1, 0, 0]])),
    "no keys": attention(ints([[0, 0, 0], [1, 0, 0]])),
    "filter value": attention(ints([[1, 1, 0], [0, 1, 1]]), mask_filter_value=-2.0, unidirectional=1),
    "one column hides nothing": attention(ints([[1], [0]])),
    "pairs": attention(coins(2, 3, 3)),
    "pairs, causal": attention(coins(2, 3, 3), unidirectional=1),
    "lengths": attention(ints([2, 3])),
    "ends and starts": attention(ints([3, 3, 1, 0])),
    "lengths and sums": attention(ints([2, 3, 0, 2, 5, 0, 2, 5])),
    "bias of scores": attention(None, None, floats(3, 1, 2, 3, 3), data=(0, 5)),
    "bias of scores, keys": attention(ints([[1, 1, 0], [1, 0, 0]]), None, floats(3, 2, 1, 3, 3)),
    "cache": attention(None, PAST, outputs=BOTH, data=(0, 4), unidirectional=1),
    "cache, keys": attention(coins(2, 7), PAST, outputs=BOTH, data=(0, 4), unidirectional=1),
    "cache, pairs": attention(coins(2, 3, 7), PAST, outputs=BOTH),
    "sizes": resized(attention(), floats(1, 8, 22), floats(2, 22), qkv_hidden_sizes=[8, 8, 6]),
    "fewer heads": resized(attention(), floats(1, 8, 12), floats(2, 12)),
    "heads": multi_head(Q, K, V, outputs=ALL),
    "heads, bias": multi_head(Q, K, V, floats(3, 22), outputs=ALL),
    "heads, scale": multi_head(Q, K, V, scale=0.2),
    "heads, lengths": multi_head(Q, K, V, None, ints([3, 5])),
    "heads, lengths and sums": multi_head(Q, Q, Q, None, ints([3, 2, 0, 3, 5, 0, 3, 5])),
    "heads, keys": multi_head(Q, K, V, None, coins(2, 5), outputs=ALL),
    "heads, pairs": multi_head(Q, K, V, None, coins(2, 3, 5)),
    "heads, bias of scores": multi_head(Q, K, V, None, None, floats(4, 1, 2, 3, 5), data=(0, 1, 2, 5)),
    "heads, causal": multi_head(Q, Q, floats(5, 2, 3, 6), unidirectional=1, outputs=ALL),
    "heads apart": multi_head(Q, floats(1, 2, 2, 5, 4), floats(2, 2, 2, 5, 4), floats(3, 24)),
    "heads, cache": multi_head(
        Q, Q, Q, floats(3, 24), None, None, PAST_KEY, PAST_VALUE, data=(0, 1, 2, 6, 7), outputs=ALL, unidirectional=1
    ),
    "heads, cache, keys": multi_head(Q, Q, Q, None, coins(2, 7), None, PAST_KEY, PAST_VALUE, outputs=ALL),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_kernels(name):
    check_forward(CASES[name])


@pytest.mark.parametrize(
    "name", ["plain", "filter value", "cache, keys", "bias of scores", "heads, bias", "heads, cache"]
)
def test_gradients_and_the_ledger(name):
    check_gradient(CASES[name])
    check_ledger(CASES[name])


def attended(q: Array, k: Array, v: Array, added: Array | float = 0) -> Array:
    """Of [B, S, N·H] with two heads."""
    q, k, v = (x.reshape(*x.shape[:2], 2, -1).swapaxes(1, 2) for x in (q, k, v))
    scores = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1]) + added
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    out = (weights / weights.sum(-1, keepdims=True)) @ v
    return out.swapaxes(1, 2).reshape(*out.swapaxes(1, 2).shape[:2], -1)


def test_packed_operands():
    """Of a kernel that the CPU lacks, by its description."""
    three, two = floats(0, 2, 5, 2, 3, 4), floats(1, 2, 5, 2, 2, 4)
    parts = [three[:, :, :, i].reshape(2, 5, 8) for i in range(3)]
    check_forward(multi_head(three, data=(0,)), {"y0": attended(*parts)})
    key, value = (two[:, :, :, i].reshape(2, 5, 8) for i in range(2))
    check_forward(multi_head(Q, two, data=(0, 1)), {"y0": attended(Q, key, value)})


def test_a_mask_of_the_longest_sequence():
    """[B, 1, M, M], cut to the queries and keys of now; the CPU has no kernel for it."""
    mask = coins(2, 1, 9, 9)
    q, k, v = np.split(X @ WEIGHT + BIAS, 3, axis=-1)
    k, v = (np.concatenate([PAST[i].swapaxes(1, 2).reshape(2, 4, 8), x], 1) for i, x in ((0, k), (1, v)))
    expected = attended(q, k, v, np.where(mask[:, :, 4:7, :7] > 0, 0, -10000.0))
    check_forward(attention(mask, PAST, outputs=BOTH), {"y0": expected})


@pytest.mark.parametrize("heads_only", [False, True])
def test_tokens_without_padding(heads_only):
    """PackedAttention and PackedMultiHeadAttention: lengths 2 and 3 of at most 4, by their description."""
    lengths, offsets = (2, 3), ints([[0, 1, 4, 5], [6, 2, 3, 7]])
    sums, added = ints([0, 2, 5]), floats(5, 1, 2, 4, 4)
    if heads_only:
        tokens = [floats(i, 5, 8) for i in range(3)]
        operands = [*tokens, BIAS, offsets, sums, added]
        given = [x + b for x, b in zip(tokens, np.split(BIAS, 3), strict=True)]
    else:
        operands = [floats(0, 5, 8), WEIGHT, BIAS, offsets, sums, added]
        given = np.split(operands[0] @ WEIGHT + BIAS, 3, axis=-1)
    rows, start = [], 0
    for n in lengths:
        rows.append(attended(*(x[None, start : start + n] for x in given), added[:, :, :n, :n])[0])
        start += n
    name, data = ("PackedMultiHeadAttention", (0, 1, 2)) if heads_only else ("PackedAttention", (0,))
    case = Fused(name, operands, data=data, attributes={"num_heads": 2})
    check_forward(case, {"y0": np.concatenate(rows)})
    check_gradient(case)
    check_ledger(case)


# ----------------------------------------------------------------------------------------------------------- relevance


def plain(mask: bool = False, causal: bool = False) -> onnx.ModelProto:
    """The same attention as exporters write it: three layers, products, a mask that is added, a softmax."""
    parts = zip("qkv", np.split(WEIGHT, 3, axis=1), np.split(BIAS, 3), strict=True)
    weights: dict[str, Array] = {"shape": ints([0, 0, 2, -1], np.int64), "flat": ints([0, 0, -1], np.int64)}
    weights |= {"root": np.float64(2), "axes": ints([1, 2], np.int64), "zero": ints(0)}
    nodes = []
    for name, w, b in parts:
        weights |= {f"w{name}": w, f"b{name}": b}
        nodes += [
            helper.make_node("MatMul", ["x0", f"w{name}"], [f"{name}1"]),
            helper.make_node("Add", [f"{name}1", f"b{name}"], [f"{name}2"]),
            helper.make_node("Reshape", [f"{name}2", "shape"], [f"{name}3"]),
            helper.make_node("Transpose", [f"{name}3"], [f"{name}4"], perm=[0, 2, 1, 3]),
        ]
    nodes += [
        helper.make_node("Transpose", ["k4"], ["k5"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q4", "k5"], ["s1"]),
        helper.make_node("Div", ["s1", "root"], ["s2"]),
    ]
    scores = "s2"
    if mask:
        weights |= {"shown": np.float64(0), "hidden": np.float64(-10000)}
        nodes += [
            helper.make_node("Greater", ["x3", "zero"], ["m1"]),
            helper.make_node("Unsqueeze", ["m1", "axes"], ["m2"]),
            helper.make_node("Where", ["m2", "shown", "hidden"], ["m3"]),
            helper.make_node("Add", [scores, "m3"], ["s3"]),
        ]
        scores = "s3"
    if causal:
        weights |= {"triangle": np.tril(np.ones((3, 3), bool)), "lowest": np.float64(-3.4e38)}
        nodes.append(helper.make_node("Where", ["triangle", scores, "lowest"], ["s4"]))
        scores = "s4"
    nodes += [
        helper.make_node("Softmax", [scores], ["a"], axis=-1),
        helper.make_node("MatMul", ["a", "v4"], ["o1"]),
        helper.make_node("Transpose", ["o1"], ["o2"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["o2", "flat"], ["y0"]),
    ]
    inputs = [helper.make_tensor_value_info("x0", TensorProto.DOUBLE, ["B", "S", 8])]
    if mask:
        inputs.append(helper.make_tensor_value_info("x3", TensorProto.INT32, ["B", "S"]))
    outputs = [helper.make_tensor_value_info("y0", TensorProto.DOUBLE, ["B", "S", 8])]
    doubles = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in weights.items()}
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in doubles.items()]
    graph = helper.make_graph(nodes, "plain", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
@pytest.mark.parametrize(("mask", "causal"), list(itertools.product([False, True], repeat=2)))
def test_relevance_is_that_of_the_parts(composite, mask, causal):
    case = attention(*([ints([[1, 1, 0], [0, 1, 1]])] if mask else []), unidirectional=int(causal))
    feeds = case.inputs(np.float64)
    theirs = onnxlrp.convert(plain(mask, causal), composite, target="weights").to_proto()
    expected = reference(theirs)(feeds)
    found = reference(case.explain(composite, np.float64))(feeds)
    np.testing.assert_allclose(found["y0"], expected["y0"], atol=1e-12)
    # Of single precision is only the scale.
    np.testing.assert_allclose(found["x0_relevance"], expected["x0_relevance"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
def test_what_the_mask_hides_gets_nothing(composite):
    """As far as no output of its own is explained: exactly 0, in every form of the mask."""
    for mask in (ints([[1, 1, 0], [1, 0, 0]]), ints([2, 1])):
        case = attention(mask)
        weights = np.ones((2, 3, 8), np.float32)
        weights[0, 2:], weights[1, 1:] = 0, 0
        found = onnxruntime(case.explain(composite))({**case.inputs(), "y0_weights": weights})["x0_relevance"]
        assert found[0, :2].any() and found[1, 0].any()
        assert not found[0, 2].any() and not found[1, 1:].any()


def test_the_projection_is_one_layer():
    plan = onnxlrp.convert(attention().model(), "attn_lrp", target="weights").plan
    assert [row.operator for row in plan.rows()].count("MatMul+Add") == 1


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (attention(do_rotary=1), "rotary"),
        (attention(past_present_share_buffer=1), "shared buffer"),
        (multi_head(Q, Q, Q, None, None, None, PAST_KEY, PAST_VALUE, ints([4]), feeds=(8,)), "shared buffer"),
        (Fused("DecoderMaskedSelfAttention", [X[:, :1], WEIGHT, BIAS], attributes={"num_heads": 2}), "in place"),
        (Fused("LongformerAttention", [X], attributes={"num_heads": 2, "window": 1}), "sparse"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(case, reason):
    with pytest.raises(UnsupportedOperatorError, match=rf"com\.microsoft::{case.op}.*'fused': .*{reason}"):
        case.explain("attn_lrp")
