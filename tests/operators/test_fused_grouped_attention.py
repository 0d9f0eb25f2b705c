"""GroupQueryAttention: its kernel's outputs with every operand, gradients, and the ledger."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import reference
from tests.operators.fused import FLOAT, Array, Fused, check_forward, check_gradient, check_ledger, floats, ints

WIDTH = 16
Q, K, V = floats(0, 2, 3, 4 * WIDTH), floats(1, 2, 3, 2 * WIDTH), floats(2, 2, 3, 2 * WIDTH)
ONE = [x[:, :1] for x in (Q, K, V)]
FIRST = [x[:1] for x in (Q, K, V)]
PACKED = [floats(3, 2, 3, 8 * WIDTH), None, None]
TABLES = floats(8, 10, WIDTH // 2), floats(9, 10, WIDTH // 2)
CACHE = floats(6, 2, 2, 4, WIDTH), floats(7, 2, 2, 4, WIDTH)
BUFFER = floats(6, 2, 2, 9, WIDTH), floats(7, 2, 2, 9, WIDTH)
NONE = (None, None)
THREE = dict.fromkeys(range(3), FLOAT)


def grouped(qkv: list, cache: tuple, lengths: list[int], total: int, *rest: Array | None, **options) -> Fused:
    """GroupQueryAttention(q, k, v, cache, lengths − 1, total, cosines, sines, positions, bias, sink)."""
    operands = [*qkv, *cache, ints(lengths), ints([total]), *rest]
    data = tuple(i for i in range(5) if operands[i] is not None)
    options = {"data": data, "feeds": (5, 6), "outputs": THREE, **options}
    fields = {k: options.pop(k) for k in ("data", "feeds", "outputs")}
    attributes = {"num_heads": 4, "kv_num_heads": 2, **options}
    return Fused("GroupQueryAttention", operands, attributes=attributes, **fields)


def whole(*rest: Array | None, qkv: list | None = None, **options) -> Fused:
    """Without a cache."""
    return grouped(qkv or [Q, K, V], NONE, [2, 2], 3, *rest, **options)


PLACES = ints([[2, 1, 4], [3, 1, 2]], np.int64)
TURNED = {"do_rotary": 1}
CASES = {
    "plain": whole(),
    "packed": whole(qkv=PACKED),
    "packed, one output": whole(qkv=PACKED, outputs={0: FLOAT}),
    "scale": whole(scale=0.2),
    "cap": whole(softcap=1.5),
    "window": whole(local_window_size=2),
    "rotary": whole(*TABLES, **TURNED),
    "rotary, interleaved": whole(*TABLES, **TURNED, rotary_interleaved=1),
    "rotary, packed": whole(*TABLES, qkv=PACKED, **TURNED),
    "positions": whole(*TABLES, PLACES, **TURNED, feeds=(5, 6, 9)),
    "bias": whole(None, None, None, floats(4, 2, 1, 3, 3), softcap=1.0, data=(0, 1, 2, 10)),
    "smooth": whole(smooth_softmax=1),
    "sink": whole(None, None, None, None, floats(4, 4)),
    "both ways": whole(causal=0),
    "scores": whole(qk_output=1, outputs={**THREE, 3: FLOAT}, softcap=1.0),
    "weights": whole(qk_output=2, outputs={**THREE, 3: FLOAT}),
    "cache": grouped(ONE, CACHE, [4, 4], 5, *TABLES, **TURNED),
    "cache, lengths": grouped(ONE, CACHE, [4, 2], 5, *TABLES, **TURNED),
    "cache, window": grouped(ONE, CACHE, [4, 2], 5, *TABLES, **TURNED, local_window_size=2),
    "cache, positions": grouped(ONE, CACHE, [4, 2], 5, *TABLES, PLACES[:, :1], **TURNED, feeds=(5, 6, 9)),
    "cache, several": grouped(FIRST, tuple(x[:1] for x in CACHE), [6], 7, *TABLES, **TURNED),
    "cache, bias": grouped(ONE, CACHE, [4, 4], 5, None, None, None, floats(4, 1, 4, 1, 5)),
    "buffer": grouped(ONE, BUFFER, [4, 2], 5, *TABLES, **TURNED),
    "buffer, at first": grouped([Q, K, V], BUFFER, [2, 2], 3, *TABLES, **TURNED),
    "empty cache": grouped([Q, K, V], tuple(x[:, :, :0] for x in CACHE), [2, 2], 3, *TABLES, **TURNED, data=(0, 1, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_kernels(name):
    check_forward(CASES[name])


@pytest.mark.parametrize("lengths", [[2, 1], [0, 2]])
@pytest.mark.parametrize("causal", [0, 1])
def test_rows_of_padding_are_nobodys(lengths, causal):
    """Lengths differ at first: what the kernel writes behind them is whatever was there."""
    case = grouped([Q, K, V], NONE, lengths, 3, *TABLES, **TURNED, causal=causal)
    check_forward(case, rows=np.arange(3) <= np.array(lengths)[:, None])


@pytest.mark.parametrize("name", ["plain", "window", "rotary, interleaved", "bias", "sink", "cache, lengths", "buffer"])
def test_gradients_and_the_ledger(name):
    check_gradient(CASES[name])
    check_ledger(CASES[name])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sliding_window_cache": 1, "local_window_size": 2}, "as long as the window"),
        ({"extra": {14: floats(0, WIDTH), 15: floats(1, WIDTH)}}, "q_norm_weight"),
        ({"extra": {12: floats(0, 1), 13: floats(1, 1)}}, "k_scale"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(options, reason):
    extra = options.pop("extra", {})
    case = whole(**options)
    case.operands = [*case.operands, *[None] * 9]
    for index, value in extra.items():
        case.operands[index] = value
    with pytest.raises(UnsupportedOperatorError, match=rf"com\.microsoft::GroupQueryAttention.*{reason}"):
        case.explain("attn_lrp")


IN_PARTS = """
<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
main (double[B, S, 64] x0, double[B, S, 32] x1, double[B, S, 32] x2) => (double[B, S, 64] y0) {
    places = Constant <value: tensor = int64[2, 3] {0, 1, 2, 0, 1, 2}> ()
    q = com.microsoft.RotaryEmbedding (x0, places, cosines, sines)
    turned = com.microsoft.RotaryEmbedding (x1, places, cosines, sines)
    apart = Constant <value: tensor = int64[4] {0, 0, 2, 16}> ()
    heads = Constant <value: tensor = int64[4] {0, 0, 1, 1}> ()
    flat = Constant <value: tensor = int64[3] {0, 0, 64}> ()
    k4 = Reshape (turned, apart)
    k5 = Gather <axis: int = 2> (k4, heads)
    k = Reshape (k5, flat)
    v4 = Reshape (x2, apart)
    v5 = Gather <axis: int = 2> (v4, heads)
    v = Reshape (v5, flat)
    y0 = com.microsoft.MultiHeadAttention <num_heads: int = 4, unidirectional: int = 1> (q, k, v)
}"""


@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp"])
def test_relevance_is_that_of_the_parts(composite):
    """Rotary embedding, heads that are repeated, and a causal attention; lengths carry nothing."""
    case = CASES["rotary"]
    feeds = {k: v for k, v in case.inputs(np.float64).items() if k in ("x0", "x1", "x2")}
    parts = onnx.parser.parse_model(IN_PARTS)
    for name, table in zip(("cosines", "sines"), TABLES, strict=True):
        parts.graph.initializer.append(onnx.numpy_helper.from_array(table.astype(np.float64), name))
    expected = reference(onnxlrp.convert(parts, composite, target="weights").to_proto())(feeds)
    found = reference(case.explain(composite, np.float64))(case.inputs(np.float64))
    np.testing.assert_allclose(found["y0"], expected["y0"], atol=1e-12)
    assert found["x2_relevance"].any() and found.keys() - {"y1", "y2"} == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-10, err_msg=name)
