"""Norms as onnxruntime fuses them: its kernels' outputs, gradients, and the relevance of the same model in parts."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxlrp
from tests.operators.case import reference
from tests.operators.fused import FLOAT, INT32, Array, Fused, check_forward, check_gradient, check_ledger, floats, ints

X, SKIP, GAMMA, BETA, BIAS = floats(0, 2, 3, 8), floats(1, 2, 3, 8), floats(2, 8), floats(3, 8), floats(4, 8)
IDS, SEGMENTS = ints([[1, 2, 4], [3, 0, 1]]), ints([[0, 1, 1], [0, 0, 1]])
WORDS, PLACES, KINDS = floats(0, 5, 8), floats(1, 6, 8), floats(2, 2, 8)
EMBEDDED = {0: FLOAT, 1: INT32, 2: FLOAT}


def skip(op: str, *operands: Array | None, **options) -> Fused:
    outputs = dict.fromkeys(options.pop("outputs", (0, 3)), FLOAT)
    return Fused(op, operands, data=(0, 1), outputs=outputs, attributes=options)


def norm(op: str, *operands: Array | None, opset: int = 21, outputs: tuple[int, ...] = (0,), **options) -> Fused:
    return Fused(op, operands, outputs=dict.fromkeys(outputs, FLOAT), attributes=options, domain="", opset=opset)


def embed(*operands: Array | None, feeds: tuple[int, ...] = ()) -> Fused:
    return Fused("EmbedLayerNormalization", operands, feeds=feeds, outputs=EMBEDDED)


CASES = {
    "skip": skip("SkipLayerNormalization", X, SKIP, GAMMA, BETA, BIAS, epsilon=1e-3),
    "skip, no shift": skip("SkipLayerNormalization", X, SKIP, GAMMA, outputs=(0,)),
    "skip, one for all": skip("SkipLayerNormalization", X, floats(1, 1, 3, 8), GAMMA, BETA),
    "skip, of rank 2": skip("SkipLayerNormalization", X, floats(1, 3, 8), GAMMA, BETA),
    "skip, statistics": skip("SkipLayerNormalization", X, SKIP, GAMMA, BETA, outputs=(0, 1, 2, 3)),
    "skip, root": skip("SkipSimplifiedLayerNormalization", X, SKIP, GAMMA, BIAS),
    "skip, root, of rank 2": skip("SkipSimplifiedLayerNormalization", X[0], SKIP[0], GAMMA, epsilon=0.1),
    "root": norm("SimplifiedLayerNormalization", X, GAMMA, outputs=(0, 1)),
    "root over two axes": norm("SimplifiedLayerNormalization", X, floats(1, 3, 8), axis=1, epsilon=0.1, opset=17),
    "root in an old file": norm("SimplifiedLayerNormalization", X, GAMMA, opset=14),
    "norm in an old file": norm("LayerNormalization", X, GAMMA, BETA, opset=14),
    "embedding": embed(IDS, None, WORDS, PLACES, None, GAMMA, BETA),
    "embedding, all": embed(
        IDS, SEGMENTS, WORDS, PLACES, KINDS, GAMMA, BETA, ints([[1, 1, 0], [1, 0, 1]]), ints([[0, 2, 1], [1, 1, 5]]),
        feeds=(1, 7, 8),
    ),
    "embedding, places for all": embed(
        IDS, None, WORDS, PLACES, None, GAMMA, BETA, None, ints([[0, 2, 1]]), feeds=(8,)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_kernels(name):
    check_forward(CASES[name])


@pytest.mark.parametrize("name", ["skip", "skip, of rank 2", "skip, root", "root over two axes", "norm in an old file"])
def test_gradients_and_the_ledger(name):
    check_gradient(CASES[name])
    check_ledger(CASES[name])


def test_an_embedding_is_explained_at_its_ids():
    """Words, segments and given positions, each at its own; the mask carries none."""
    case = CASES["embedding, all"]
    found = reference(case.explain("cp_lrp", np.float64, ledger=True))(case.inputs())
    relevance = {k: v for k, v in found.items() if k.startswith("x")}
    assert {k: v.shape for k, v in relevance.items()} == dict.fromkeys(
        ("x0_relevance", "x1_relevance", "x8_relevance"), IDS.shape
    )
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-8)
    given = sum(v.sum() for v in relevance.values())
    np.testing.assert_allclose(found["y0"].sum(), given + table[:, 2:].sum(), atol=1e-8)


def grouped(values: Array, groups: int, last: bool, silu: bool) -> Array:
    """GroupNorm by its description; the CPU has no kernel."""
    x = np.moveaxis(values, -1, 1) if last else values
    rows = x.reshape(x.shape[0], groups, -1)
    normal = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
    y = normal.reshape(x.shape) * GAMMA[:4].reshape(1, -1, 1, 1) + BETA[:4].reshape(1, -1, 1, 1)
    y = y / (1 + np.exp(-y)) if silu else y
    return np.moveaxis(y, 1, -1) if last else y


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("silu", [0, 1])
def test_groups(last, silu):
    x = floats(0, 2, 3, 5, 4) if last else floats(0, 2, 4, 3, 5)
    attributes = {"groups": 2, "activation": silu, "channels_last": last}
    case = Fused("GroupNorm", [x, GAMMA[:4], BETA[:4]], attributes=attributes)
    check_forward(case, {"y0": grouped(x, 2, bool(last), bool(silu))})
    check_gradient(case)
    flat, bias = floats(1, 2, 4), BIAS[:4]
    wide = flat[:, None, None] if last else flat[:, :, None, None]
    summed = x + wide + (bias if last else bias[:, None, None])
    case = Fused("SkipGroupNorm", [x, GAMMA[:4], BETA[:4], flat, bias], (0, 3), outputs={0: FLOAT, 1: FLOAT})
    case.attributes = attributes
    check_forward(case, {"y0": grouped(summed, 2, bool(last), bool(silu)), "y1": summed})
    check_gradient(case)
    check_ledger(case)


def network(fused: bool) -> onnx.ModelProto:
    """A layer, its residual sum and their norm: in one operator behind the product, or in parts."""
    tensors = {"w": floats(5, 8, 8), "b": BIAS, "g": GAMMA, "s": BETA, "v": floats(6, 8, 2)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "product")]
    if fused:
        node = helper.make_node("SkipLayerNormalization", ["x", "h", "g", "s", "b"], ["n"], domain="com.microsoft")
        node.attribute.append(helper.make_attribute("epsilon", 1e-5))
        nodes.append(node)
    else:
        nodes += [
            helper.make_node("Add", ["h", "b"], ["hb"]),
            helper.make_node("Add", ["hb", "x"], ["sum"]),
            helper.make_node("LayerNormalization", ["sum", "g", "s"], ["n"], epsilon=1e-5),
        ]
    nodes.append(helper.make_node("MatMul", ["n", "v"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, ["B", "S", 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)],
        [onnx.numpy_helper.from_array(v.astype(np.float64), k) for k, v in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("composite", ["attn_lrp", "epsilon_plus", "gradient"])
def test_a_fused_bias_goes_back_to_its_layer(composite):
    """Under a rule that looks at biases it matters whose they are."""
    rules = [] if composite == "gradient" else [("product", "Gamma(0.25)")]
    found = []
    for fused in (True, False):
        explained = onnxlrp.convert(network(fused), composite, target="weights", rules=rules)
        found.append(reference(explained.to_proto())({"x": X.astype(np.float64)}))
    np.testing.assert_allclose(found[0]["y"], found[1]["y"], atol=1e-12)
    np.testing.assert_allclose(found[0]["x_relevance"], found[1]["x_relevance"], atol=1e-10)
