"""Attention whose masks hide whole rows: the kernel's outputs, and relevance that is finite wherever they are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import __version__ as runtime_version

import onnxlrp
from tests.operators.case import onnxruntime

Array = np.ndarray
COMPOSITES = ("attn_lrp", "cp_lrp", "epsilon", "gradient", "gradient_x_input", "auto")
LOWEST = {t: float(np.finfo(t).min) for t in (np.float32, np.float16)}
TOLERANCE = {np.float32: 1e-5, np.float16: 2e-3}
HIDDEN = np.zeros((3, 3), bool)
HIDDEN[0], HIDDEN[1, 0] = True, True


def drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


def model(
    nodes: list, feeds: Mapping[str, Array], constants: Mapping[str, Array], outputs: Mapping[str, int], opset=21
):
    kinds = {n: helper.np_dtype_to_tensor_dtype(v.dtype) for n, v in feeds.items()}
    inputs = [helper.make_tensor_value_info(n, k, feeds[n].shape) for n, k in kinds.items()]
    results = [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()]
    tensors = [numpy_helper.from_array(v, n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "rows", inputs, results, tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def check(source: onnx.ModelProto, feeds: Mapping[str, Array], composite: str, first: str = "Y") -> dict[str, Array]:
    """The explained model's outputs are the source's, and all that is relevance is finite."""
    expected = onnxruntime(source)(feeds)
    options: dict[str, Any] = {} if "gradient" in composite else {"ledger": True}
    explained = onnxlrp.convert(source, composite, target="weights", output=first, **options).to_proto()
    found = onnxruntime(explained)({**feeds, f"{first}_weights": np.ones(expected[first].shape, np.float32)})
    for name, value in expected.items():
        limit = TOLERANCE.get(value.dtype.type, 1e-5)
        np.testing.assert_allclose(found[name], value, rtol=limit, atol=limit, err_msg=name)
    for name, value in found.items():
        assert "relevance" not in name or np.isfinite(value).all(), name
    return found


# ------------------------------------------------------------------------------------------------ the standard's own


def standard(kind: type, mask: Array, opset: int = 23, outputs: int = 1, **attributes: Any) -> tuple:
    """Attention of two heads, on a cache where `past` is among the attributes."""
    feeds = {n: drawn(i, 1, 2, 3, 4).astype(kind) for i, n in enumerate("QKV")}
    names = [*"QKV", "M"]
    if attributes.pop("past", False):
        feeds |= {n: drawn(i, 1, 2, 2, 4).astype(kind) for i, n in enumerate(("past_key", "past_value"))}
        names, mask = [*names, "past_key", "past_value"], np.concatenate([np.repeat(mask[..., :1], 2, -1), mask], -1)
    feeds["M"] = mask
    if "lengths" in attributes:
        feeds["N"], names = np.array([attributes.pop("lengths")]), [*names, "", "", "N"]
    results = ["Y", "present_key", "present_value", "scores"][:outputs]
    node = helper.make_node("Attention", names, results, **attributes)
    wide = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return model([node], feeds, {}, dict.fromkeys(results, wide), opset), feeds


OPSETS = (23, 24, 25) if tuple(map(int, runtime_version.split(".")[:2])) >= (1, 32) else (23, 24)
"""Opsets whose masks are tried: onnxruntime 1.31 takes Attention of opset 25, unknown to it, for that of opset 24."""


def masked(kind: type, low: float | Array) -> Array:
    return np.where(HIDDEN, low, 0).astype(kind)


def lows(kind: type) -> dict[str, float | Array]:
    lowest = LOWEST[kind]
    return {
        "lowest": lowest,
        "next to it": float(np.nextafter(kind(lowest), kind(0))),
        "infinite": -np.inf,
        "both": np.array([lowest, -np.inf, lowest]),
        "large": -1e4 if kind is np.float16 else -1e9,
    }


@pytest.mark.parametrize("name", ["lowest", "next to it", "infinite", "both", "large"])
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_float_masks(kind, name):
    mask = masked(kind, lows(kind)[name])
    for opset, causal in itertools.product(OPSETS, (0, 1)):
        check(*standard(kind, mask, opset, is_causal=causal), "gradient")
    found = check(*standard(kind, mask), "attn_lrp")
    assert found["Y"][0, :, 0].any() == (name in ("next to it", "large"))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("mode", range(4))
def test_outputs_of_the_scores(kind, mode):
    """Hidden by a boolean, by a cause, by a length; caps and caches."""
    options = ({"is_causal": 1}, {"softcap": 2.0}, {"past": True, "is_causal": 1}, {"lengths": 1, "opset": 24})
    for more in options:
        found = check(*standard(kind, ~HIDDEN, outputs=4, qk_matmul_output_mode=mode, **more), "gradient")
        assert not found["Y"][0, :, 0].any()


def test_a_single_query_after_a_cache_sees_all_keys():
    """The kernel leaves the causal mask out there, where there are several new keys too."""
    feeds = {n: drawn(i, 1, 1, 1 if n == "Q" else 3, 4).astype(np.float32) for i, n in enumerate("QKV")}
    feeds |= {n: drawn(i, 1, 1, 2, 4).astype(np.float32) for i, n in enumerate(("PK", "PV"))}
    node = helper.make_node("Attention", ["Q", "K", "V", "", "PK", "PV"], ["Y", "k", "v"], is_causal=1)
    check(model([node], feeds, {}, dict.fromkeys(("Y", "k", "v"), TensorProto.FLOAT), 23), feeds, "gradient")


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", ["lowest", "infinite"])
def test_hidden_rows_give_no_relevance(composite, name):
    source, feeds = standard(np.float32, masked(np.float32, lows(np.float32)[name]))
    found = check(source, feeds, composite)
    assert not found["Q_relevance"][0, :, 0].any() and found["V_relevance"].any()


# ------------------------------------------------------------------------------------------------------- written out

SPELLINGS = {
    "added": [helper.make_node("Add", ["s", "M"], ["m"]), helper.make_node("Softmax", ["m"], ["w"])],
    "added twice": [
        helper.make_node("Add", ["M", "M"], ["M2"]),
        helper.make_node("Add", ["s", "M2"], ["m"]),
        helper.make_node("Softmax", ["m"], ["w"]),
    ],
    "added, guarded": [
        helper.make_node("Add", ["s", "M"], ["m"]),
        helper.make_node("Softmax", ["m"], ["p"]),
        helper.make_node("IsNaN", ["p"], ["odd"]),
        helper.make_node("Where", ["odd", "zero", "p"], ["w"]),
    ],
}


def written(spelling: str, kind: type, low: float | Array) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Two samples, of which the mask hides rows in the first."""
    feeds = {n: drawn(i, 2, 1, 3, 4).astype(kind) for i, n in enumerate("QKV")}
    feeds["M"] = np.stack([masked(kind, low), masked(kind, 0)])[:, None]
    nodes = [
        helper.make_node("Transpose", ["K"], ["T"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["Q", "T"], ["s"]),
        *SPELLINGS[spelling],
        helper.make_node("MatMul", ["w", "V"], ["Y"]),
    ]
    wide = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return model(nodes, feeds, {"zero": np.array(0, kind)}, {"Y": wide}), feeds


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_guarded_softmax(composite, kind):
    """Exporters replace the NaN of hidden rows: relevance, gradients and the ledger are finite."""
    check(*written("added, guarded", kind, -np.inf), composite)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize(("spelling", "low"), [("added", -np.inf), ("added twice", LOWEST[np.float32])])
def test_a_row_that_is_nan_leaves_others_alone(composite, spelling, low):
    source, feeds = written(spelling, np.float32, low)
    run = onnxruntime(onnxlrp.convert(source, composite, target="weights").to_proto())
    weights = np.ones((2, 1, 3, 4), np.float32)
    weights[0, 0, 0] = 0
    found = run({**feeds, "Y_weights": weights})
    assert np.isnan(found["Y"][0, 0, 0]).all() and np.isfinite(found["Y"][0, 0, 1:]).all()
    for name, value in found.items():
        assert not name.endswith("_relevance") or np.isfinite(value).all(), name
    assert found["V_relevance"][0].any()


# ------------------------------------------------------------------------------------------------ onnxruntime's own


def own(op: str, operands: list[Array | None], outputs: int = 1, **attributes: Any) -> tuple:
    feeds = {f"x{i}": v for i, v in enumerate(operands) if v is not None}
    names = [f"x{i}" if v is not None else "" for i, v in enumerate(operands)]
    results = ["Y", *(f"y{i}" for i in range(1, outputs))]
    wide = helper.np_dtype_to_tensor_dtype(feeds["x0"].dtype)
    node = helper.make_node(op, names, results, domain="com.microsoft", **attributes)
    return model([node], feeds, {}, dict.fromkeys(results, wide)), feeds


MASKS = {
    "keys": np.array([[0, 0, 0], [1, 0, 0]], np.int32),
    "pairs": np.stack([~HIDDEN, np.tril(np.ones((3, 3), bool))]).astype(np.int32),
    "lengths": np.array([0, 2], np.int32),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_key_masks_meet_causal_ones(kind, name):
    x, weight, bias = ((drawn(i, *s) / 3).astype(kind) for i, s in enumerate(((2, 3, 8), (8, 24), (24,))))
    for causal, low in itertools.product((0, 1), (-10000.0, LOWEST[kind])):
        options = {"num_heads": 2, "unidirectional": causal, "mask_filter_value": low}
        check(*own("Attention", [x, weight, bias, MASKS[name]], **options), "attn_lrp")
        check(*own("MultiHeadAttention", [x, x, x, None, MASKS[name]], **options), "gradient")


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("causal", [0, 1])
def test_biases_of_the_lowest_number(kind, causal):
    x = [drawn(i, 2, 3, 8).astype(kind) for i in range(3)]
    bias = np.broadcast_to(masked(kind, LOWEST[kind]), (2, 1, 3, 3)).copy()
    check(*own("MultiHeadAttention", [*x, None, None, bias], num_heads=2, unidirectional=causal), "attn_lrp")


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("window", [-1, 1, 2])
@pytest.mark.parametrize("more", [{}, {"softcap": 1.5}, {"smooth_softmax": 1}, {"qk_output": 2}])
def test_grouped_heads(kind, window, more):
    """The kernel looks at visible keys only, and one of its two clears rows that a bias hides."""
    q, k, v = (drawn(i, 2, 3, n).astype(kind) for i, n in enumerate((64, 32, 32)))
    bias = np.broadcast_to(masked(kind, LOWEST[kind]), (2, 1, 3, 3)).copy()
    operands = [q, k, v, None, None, np.array([2, 2], np.int32), np.array([3], np.int32), None, None, None, bias]
    options = {"num_heads": 4, "kv_num_heads": 2, "local_window_size": window, **more}
    found = check(*own("GroupQueryAttention", operands, 4 if "qk_output" in more else 3, **options), "attn_lrp")
    assert found["Y"][:, 0].any() == ("smooth_softmax" not in more and (kind is np.float16 or bool(more)))
