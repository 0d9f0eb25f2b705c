"""Conversions in threads: bytes and plans as in one thread, and nothing of the process is left changed."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import weakref
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

import onnxlrp
import onnxlrp.operators.registry
from onnxlrp.graph.builder import Builder
from onnxlrp.source.loggers import quiet, silenced
from tests.source.deep import transformer
from tests.source.nets import info, model, network

MICROSOFT = [helper.make_opsetid("com.microsoft", 1)]
THREADS, TIMES = 8, 12


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def perceptron() -> onnx.ModelProto:
    """Dense layers with a GELU that is written out."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Div", ["h", "root"], ["d"]),
        helper.make_node("Erf", ["d"], ["e"]),
        helper.make_node("Add", ["e", "one"], ["a"]),
        helper.make_node("Mul", ["h", "a"], ["p"]),
        helper.make_node("Mul", ["p", "half"], ["g"]),
        helper.make_node("MatMul", ["g", "v"], ["y"]),
    ]
    numbers = {"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    weights = {"w": random(4, 8), "b": random(8), "v": random(8, 3), **numbers}
    return model(nodes, [info("x", ["N", 4])], [info("y", ["N", 3])], weights, opset=13)


def recurrent() -> onnx.ModelProto:
    nodes = [
        helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=3),
        helper.make_node("Squeeze", ["h", "axes"], ["s"]),
        helper.make_node("MatMul", ["s", "v"], ["y"]),
    ]
    weights = {"w": random(1, 12, 4), "r": random(1, 12, 3), "axes": np.array([0]), "v": random(3, 2)}
    return model(nodes, [info("x", [5, "N", 4])], [info("y", ["N", 2])], weights, opset=17)


def quantised() -> onnx.ModelProto:
    """Between QuantizeLinear and DequantizeLinear, and an operator of onnxruntime's own whose shapes ONNX is taught."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearSigmoid", ["q", "s", "z", "s", "z"], ["t"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["t", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]
    weights = {"s": np.float32(0.1), "z": np.uint8(128), "w": random(8, 3)}
    return model(nodes, [info("x", ["N", 8])], [info("y", ["N", 3])], weights, opset=17, opsets=MICROSOFT)


def fused() -> onnx.ModelProto:
    """Operators of onnxruntime's own that are written out."""
    nodes = [
        helper.make_node("BiasGelu", ["x", "b"], ["g"], domain="com.microsoft"),
        helper.make_node("FusedMatMul", ["g", "w"], ["m"], domain="com.microsoft", alpha=2.0),
        helper.make_node("SkipLayerNormalization", ["m", "x", "one"], ["n"], domain="com.microsoft"),
        helper.make_node("ReduceMean", ["n"], ["y"], axes=[1], keepdims=0),
    ]
    weights = {"b": random(8), "w": random(8, 8), "one": np.ones(8, np.float32)}
    return model(nodes, [info("x", ["N", 4, 8])], [info("y", ["N", 8])], weights, opset=17, opsets=MICROSOFT)


def trees() -> onnx.ModelProto:
    """One tree of one split."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[1, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_hitrates=[1.0, 0.5, 0.5],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[1.0, -2.0],
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 3)]
    return model([node], [info("x", ["N", 2])], [info("y", ["N", 1])], opset=17, opsets=opsets)


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "perceptron": perceptron,
    "convolutions": lambda: network(13),
    "recurrent": recurrent,
    "attention": lambda: transformer(1),
    "quantised": quantised,
    "fused": fused,
    "trees": trees,
}


def converted(source: onnx.ModelProto, composite: str) -> tuple[bytes, str]:
    explained = onnxlrp.convert(source, composite)
    return explained.to_proto().SerializeToString(deterministic=True), str(explained.plan)


def at_once(work: Callable[[int], None], count: int = THREADS) -> list[BaseException]:
    """What went wrong in any of some threads, between which Python changes as often as it can."""
    wrong: list[BaseException] = []

    def caught(index: int) -> None:
        try:
            work(index)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=caught, args=(index,)) for index in range(count)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return wrong


@pytest.mark.slow
def test_bytes_and_plans_as_in_one_thread():
    """Every model by every thread, in another order each, while an explainer answers."""
    jobs = [(make(), composite) for make in MODELS.values() for composite in ("auto", "attn_lrp")]
    expected = [converted(*job) for job in jobs]
    explainer = onnxlrp.Explainer(onnxlrp.convert(perceptron()))
    x = random(2, 4)
    relevance = explainer({"x": x}).relevance["x"]

    def work(index: int) -> None:
        for turn in range(TIMES):
            place = (turn * 3 + index) % len(jobs)
            assert converted(*jobs[place]) == expected[place]
            np.testing.assert_array_equal(explainer({"x": x}).relevance["x"], relevance)

    assert not at_once(work)


@pytest.mark.slow
def test_matches_in_threads():
    """What has been found of a pattern belongs to one match."""
    source = transformer(1)
    rows = [row.why for row in onnxlrp.inspect(source, "attn_lrp").rows()]
    assert any("layer norm" in why for why in rows)

    def work(index: int) -> None:
        for _ in range(6):
            assert [row.why for row in onnxlrp.inspect(source, "attn_lrp").rows()] == rows

    assert not at_once(work)


def test_no_one_else_sees_an_operator_that_was_taught():
    """ONNX's table of operators is the process's: other conversions, and the user, must not find ours in it."""
    seen = []

    def inference(context) -> None:
        seen.append(onnx.defs.has("Doubled", domain="our.own"))
        context.set_output_type(0, context.get_input_type(0))

    @onnxlrp.operator("Doubled", domain="our.own", inference=inference)
    def doubled(op, call, operand, r):
        return r

    try:
        node = helper.make_node("Doubled", ["x"], ["d"], domain="our.own")
        product = helper.make_node("MatMul", ["d", "w"], ["y"])
        opsets = [helper.make_opsetid("our.own", 1)]
        source = model(
            [node, product], [info("x", ["N", 4])], [info("y", ["N", 3])], {"w": random(4, 3)}, opsets=opsets
        )
        proto = onnxlrp.convert(source).to_proto()
    finally:
        onnxlrp.unregister_operator("Doubled", "our.own")
    assert seen and not any(seen) and not onnx.defs.has("Doubled", domain="our.own")
    assert {o.domain for o in proto.opset_import} == {"", "our.own"}


def test_loggers_are_restored_by_the_last_conversion():
    """Not by the first, whose level the second would take for the user's."""
    logger = logging.getLogger("onnxlrp.tests.noisy")
    logger.setLevel(logging.INFO)
    first, second = silenced(logger.name), silenced(logger.name)
    with first:
        second.__enter__()
    assert logger.level == logging.CRITICAL
    quiet(logger.name)
    second.__exit__(None, None, None)
    assert logger.level == logging.ERROR  # as `quiet` asked for in the meantime


def test_a_builder_keeps_what_it_compares():
    """A value that is gone may leave its place in memory to another, which would be taken for it."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": 21}, name="graph")
    op = Builder(graph, "test")
    value = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))
    other = ir.Value(name="z", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2]))
    first, kept = op.Neg(value), weakref.ref(value)
    ir.convenience.replace_all_uses_with(value, other)
    del value
    gc.collect()
    assert kept() is not None and op.Neg(kept()) is first
