"""Graphs of thousands of nodes: the time to convert them grows as they do."""

from __future__ import annotations

import cProfile
import pstats

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxscript.rewriter import pattern

import onnxlrp
from onnxlrp.analysis import elementwise_regions, facts
from onnxlrp.graph.builder import Builder
from onnxlrp.source import evaluate, explained_score, valid
from tests.source.deep import transformer
from tests.source.nets import info, model
from tools import growth


def calls(model: onnx.ModelProto) -> int:
    """Function calls of a conversion: a measure of time that is the same on every machine."""
    profile = cProfile.Profile()
    profile.runcall(onnxlrp.convert, model, "attn_lrp")
    return pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


def test_conversion_is_not_quadratic():
    """Twice the nodes take twice the calls: a loop over all nodes for each node would take four times as many."""
    onnxlrp.convert(transformer(1), "attn_lrp")  # what is done once per process
    few, many = calls(transformer(3)), calls(transformer(6))
    assert many < 2.1 * few


@pytest.mark.parametrize("make", [growth.joined, growth.parted, growth.residual, growth.functions])
def test_wide_and_long_graphs_are_not_quadratic(make):
    """Nodes side by side, a Split and a Concat of many, a long chain, and functions that call each other."""
    onnxlrp.convert(make(64))
    few, many = calls(make(64)), calls(make(128))
    assert many < 2.2 * few


def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[int]:
    """A list that grows with every call of a function."""
    found: list[int] = []
    function = getattr(owner, name)

    def counting(*args, **options):
        found.append(1)
        return function(*args, **options)

    monkeypatch.setattr(owner, name, counting)
    return found


def test_functions_that_are_written_alike_are_evaluated_once(monkeypatch):
    """However many nodes have the same operator and constants; with constants of their own they share evaluators."""
    runs, built = (counted(monkeypatch, evaluate, name) for name in ("_run", "_evaluator"))
    onnxlrp.convert(growth.chain(100))
    assert len(runs) < 20
    onnxlrp.convert(growth.own_constants(100))
    assert len(built) < 10 and len(runs) > 100


def test_a_node_is_asked_once_which_operands_carry_relevance(monkeypatch):
    """The facts remember it: the plan asks for every node in several places."""
    asked = counted(monkeypatch, facts, "relevance_operands")
    onnxlrp.convert(growth.chain(100))
    assert len(asked) == 100


@pytest.mark.parametrize(("make", "times"), [(growth.chain, 1), (growth.functions, 2)])
def test_a_model_is_checked_again_after_its_functions_are_written_out(monkeypatch, make, times):
    """A model without functions is what it was when it was checked."""
    checks = counted(monkeypatch, valid, "check")
    onnxlrp.convert(make(16))
    assert len(checks) == times


def test_only_products_look_upstream_of_their_factors(monkeypatch):
    """A chain of functions of one value has no common argument to look for."""
    looked = counted(monkeypatch, explained_score._Chain, "upstream")
    onnxlrp.convert(growth.chain(40))
    assert not looked


def test_norms_are_looked_for_where_their_operators_are(monkeypatch):
    """A Mul ends a norm, and so is asked in a model with norms; a model without roots and quotients has none."""
    matchers = counted(monkeypatch, pattern, "SimplePatternMatcher")
    onnxlrp.convert(growth.chain(40))
    assert not matchers
    onnxlrp.convert(transformer(1), "attn_lrp")
    assert matchers


def test_a_sum_of_many_is_walked_through_once(monkeypatch):
    """A region that ends in a Sum of many branches asks for each branch, not for all of them each time."""
    asked = counted(monkeypatch, elementwise_regions, "_producer_in")
    onnxlrp.convert(growth.added(100))
    assert 100 <= len(asked) < 1000


def test_offsets_of_a_concat_are_added_up_once(monkeypatch):
    """The size of every operand is read for the sum of all upstream of it, not again for each one downstream."""
    read = counted(monkeypatch, Builder, "dim")
    onnxlrp.convert(growth.joined(100))
    assert 100 <= len(read) < 500


def test_a_deep_model_runs():
    """Every block is recognised, and the ledger closes."""
    explained = onnxlrp.convert(transformer(2), "attn_lrp", ledger=True)
    rows = explained.plan.rows()
    assert sum("attention" in row.why for row in rows) >= 2
    explanation = onnxlrp.Explainer(explained)({"x": np.random.default_rng(1).normal(size=(1, 4, 8)).astype("f4")})
    assert explanation.ledger is not None
    table = explanation.ledger.values
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-3 * np.abs(table).max())


@pytest.mark.slow
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
