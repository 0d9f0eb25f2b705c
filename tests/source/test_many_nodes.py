"""Graphs of thousands of nodes: the time to convert them grows as they do."""

from __future__ import annotations

import cProfile
import pstats

import numpy as np
from onnx import helper

import onnxlrp
from tests.source.deep import transformer
from tests.source.nets import info, model


def calls(blocks: int) -> int:
    """Function calls of a conversion: a measure of time that is the same on every machine."""
    model = transformer(blocks)
    profile = cProfile.Profile()
    profile.runcall(onnxlrp.convert, model, "attn_lrp")
    return pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def test_conversion_is_not_quadratic():
    """Twice the nodes take twice the calls: a loop over all nodes for each node would take four times as many."""
    onnxlrp.convert(transformer(1), "attn_lrp")  # what is done once per process
    few, many = calls(3), calls(6)
    assert many < 2.1 * few


def test_a_deep_model_runs():
    """Every block is recognised, and the ledger closes."""
    explained = onnxlrp.convert(transformer(2), "attn_lrp", ledger=True)
    rows = explained.plan.rows()
    assert sum("attention" in row.why for row in rows) >= 2
    explanation = onnxlrp.Explainer(explained)({"x": np.random.default_rng(1).normal(size=(1, 4, 8)).astype("f4")})
    assert explanation.ledger is not None
    table = explanation.ledger.values
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-3 * np.abs(table).max())


def test_a_long_way_to_the_head():
    """A softmax is found behind thousands of nodes, also where the way parts and meets again forty times."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["v"], axis=1)]
    for index in range(1200):
        nodes.append(helper.make_node("Reshape", [nodes[-1].output[0], "same"], [f"r{index}"]))
    for index in range(40):
        last = nodes[-1].output[0]
        nodes.append(helper.make_node("Concat", [last, last], [f"c{index}"], axis=1))
        nodes.append(helper.make_node("Slice", [f"c{index}", "start", "end", "axis"], [f"s{index}"]))
    nodes[-1].output[0] = "y"
    weights = {"w": np.eye(3, dtype="f4"), "same": np.array([-1, 3]), "start": np.array([0]), "end": np.array([3])}
    proto = model(nodes, [info("x", ["N", 3])], [info("y", ["N", 3])], weights | {"axis": np.array([1])})
    explanation = onnxlrp.Explainer(onnxlrp.convert(proto, "lrp0"))({"x": np.array([[1, 3, 2]], "f4")})
    np.testing.assert_allclose(explanation.relevance["x"], [[0, 3, 0]])
