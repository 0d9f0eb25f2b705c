"""Ranks and shapes that onnx leaves open: branches of an If that sizes decide, spectra of signals of any length."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.source.read import read
from tests.operators.case import onnxruntime

RNG = np.random.default_rng(0)

SQUEEZED = """<ir_version: 8, opset_import: ["" : 16]>
    main (float[N, K, 1, L] x) => (float y) {{
        wanted = Constant <value: tensor = int64 {{{rank}}}> ()
        first = Constant <value: tensor = int64 {{0}}> ()
        one = Constant <value: tensor = int64[1] {{1}}> ()
        size = Shape <start: int = 1, end: int = 2> (x)
        single = Equal (size, one)
        rows = If (single) <then_branch: graph = squeezed () => (float[A, 1, B] less) {{
            less = Squeeze (x, one)
        }}, else_branch: graph = as_it_is () => (float[A, C, 1, B] all) {{
            all = Identity (x)
        }}>
        z = Conv (rows, kernel)
        sizes = Shape (z)
        ranks = Shape (sizes)
        rank = Gather (ranks, first)
        flat = Equal (rank, wanted)
        h = If (flat) <then_branch: graph = left () => (float[A, 1, 1, B] made) {{
            made = Unsqueeze (z, one)
        }}, else_branch: graph = right () => (float[A, 1, B] kept) {{
            kept = Identity (z)
        }}>
        turned = Transpose (h)
        y = Mul (turned, turned)
    }}"""
"""`if x.dim() == 2: x = x.unsqueeze(1)` behind a squeeze, as torch scripts export it."""


@pytest.mark.parametrize("rank", [2, 3])
def test_ranks_decide_which_branch_is_taken(rank):
    model = onnx.parser.parse_model(SQUEEZED.format(rank=rank))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.initializer.append(numpy_helper.from_array(np.full((1, 1, 1), 2, np.float32), "kernel"))
    explained = onnxlrp.convert(model, "gradient", target="weights").to_proto()
    x = RNG.normal(size=(3, 1, 1, 4)).astype(np.float32)
    gradient = onnxruntime(explained)({"x": x})["x_relevance"]
    np.testing.assert_allclose(gradient, 8 * x, rtol=1e-5)


@pytest.mark.parametrize("spread", [False, True], ids=["samples", "samples in a column"])
def test_spectra_of_signals_of_any_length(spread):
    """onnxruntime takes [N, L] as well as [N, L, 1]; onnx infers nothing where L is open."""
    nodes = [
        helper.make_node("STFT", ["x", "step", "window"], ["spectra"]),
        helper.make_node("MatMul", ["spectra", "w"], ["y"]),
    ]
    window, w = np.hanning(8).astype(np.float32), RNG.normal(size=(2, 3)).astype(np.float32)
    constants = {"step": np.array(3), "window": window, "w": w}
    graph = helper.make_graph(
        nodes,
        "spectrum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "L", 1] if spread else ["N", "L"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "frames", "frequencies", 3])],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (shape,) = (v.shape for n in read(model).model.graph for v in n.outputs if v.name == "spectra")
    assert [d if isinstance(d, int) else d.value for d in shape] == ["N", None, 5, 2]
    explained = onnxlrp.convert(model, "gradient", target="weights").to_proto()
    x = RNG.normal(size=(2, 21)).astype(np.float32)
    gradient = onnxruntime(explained)({"x": x[:, :, None] if spread else x})["x_relevance"]
    expected = np.zeros_like(x)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(5), np.arange(8)) / 8)
    real, imaginary = w.sum(axis=1)
    for start in range(0, 21 - 8 + 1, 3):
        expected[:, start : start + 8] += window * (real * turns.real + imaginary * turns.imag).sum(axis=0)
    assert gradient.shape == ((2, 21, 1) if spread else (2, 21))
    np.testing.assert_allclose(gradient.reshape(x.shape), expected, atol=1e-4)


def test_a_declared_output_says_what_a_squeeze_of_all_axes_leaves():
    """As DNSMOS' sister writes it: with any number of samples declared, but only one that works."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 13]>
    main (float[N, 1, 3] x) => (float[K] y) {
        z = MatMul (x, w)
        flat = Squeeze (z)
        likely = Sigmoid (flat)
        first = Slice (likely, zero, two)
        four = Constant <value: tensor = float {4.0}> ()
        scaled = Mul (first, four)
        rest = Slice (likely, two, five)
        y = Concat <axis: int = 0> (scaled, rest)
    }""")
    w = RNG.normal(size=(3, 5)).astype(np.float32)
    for name, value in {"w": w, "zero": np.array([0]), "two": np.array([2]), "five": np.array([5])}.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    explained = onnxlrp.convert(model, "gradient", target="weights").to_proto()
    x = RNG.normal(size=(1, 1, 3)).astype(np.float32)
    gradient = onnxruntime(explained)({"x": x})["x_relevance"]
    likely = 1 / (1 + np.exp(-x[0, 0] @ w))
    expected = w @ (likely * (1 - likely) * [4, 4, 1, 1, 1])
    np.testing.assert_allclose(gradient[0, 0], expected, rtol=1e-4)


def test_states_keep_the_sizes_that_they_start_with():
    """onnx names the sizes of a loop's states anew; whether they stay is seen step by step."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    main (float[N, 3] x, int64 n) => (float[N, 3] y, float[A, 3] z) {
        yes = Constant <value: tensor = bool {1}> ()
        sizes = Shape (x)
        start = Expand (x, sizes)
        y, z = Loop (n, yes, start, x) <body: graph = step (int64 i, bool going, float[B, 3] kept, float[C, 3] grown)
                => (bool on, float[D, 3] same, float[E, 3] longer) {
            on = Identity (going)
            same = MatMul (kept, w)
            longer = Concat <axis: int = 0> (grown, kept)
        }>
    }""")
    model.graph.initializer.append(numpy_helper.from_array(np.eye(3, dtype=np.float32), "w"))
    (loop,) = (n for n in read(model).model.graph if n.op_type == "Loop")
    found = [[d if isinstance(d, int) else d.value for d in v.shape] for v in loop.attributes["body"].as_graph().inputs]
    assert found == [[], [], ["N", 3], [None, 3]]


def test_a_condition_of_a_branch_that_is_never_taken():
    """`if x.dim() == 3: if x.shape[2] == 1: x = x[None]`, of a matrix: there is no third size."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    main (float[2, 3] x, bool c) => (float y) {
        h = If (c) <then_branch: graph = cube () => (float made) {
            sizes = Shape (x)
            third = Constant <value: tensor = int64 {2}> ()
            one = Constant <value: tensor = int64[1] {1}> ()
            size = Gather (sizes, third)
            single = Equal (size, one)
            made = If (single) <then_branch: graph = more () => (float cube) { cube = Unsqueeze (x, one) },
                else_branch: graph = all () => (float same) { same = Mul (x, x) }>
        }, else_branch: graph = matrix () => (float square) { square = Mul (x, x) }>
        y = Mul (h, h)
    }""")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    read(model)
