"""Regions of elementwise nodes: the last value that all ways back lead through."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from onnxlrp.analysis import elementwise_regions
from onnxlrp.analysis.facts import Facts, analyse

LINEAR, CURVED = ("Add", "Sub"), ("Mul", "Sigmoid", "Relu")


def facts_of(nodes: list[onnx.NodeProto]) -> tuple[list[ir.Node], Facts]:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["N", 4])
    proto = helper.make_model(helper.make_graph(nodes, "g", [value], [out]), ir_version=10)
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(proto)).graph
    return list(graph), analyse(graph, list(graph.inputs))


def drawn(rng: np.random.Generator, count: int) -> list[onnx.NodeProto]:
    """Nodes whose operands are among the last few values; now and then one that is not elementwise."""
    values, nodes = ["x"], []
    for i in range(count):
        kind = str(rng.choice([*LINEAR, *LINEAR, *CURVED, "Softmax"] if rng.random() < 0.1 else [*LINEAR, *CURVED]))
        operands = rng.choice(values[-4:], 2 if kind in (*LINEAR, "Mul") else 1).tolist()
        nodes.append(helper.make_node(kind, operands, [f"v{i}"], name=f"n{i}"))
        values.append(f"v{i}")
    return nodes


def by_definition(node: ir.Node) -> ir.Value | None:
    """Of the values before a node the last without which it does not hang on x, if what lies between is elementwise."""

    def reach(without: ir.Value | None) -> tuple[set[ir.Node], bool]:
        seen, found, waiting = set(), False, [v for v in node.inputs if v is not without]
        while waiting:
            producer = waiting.pop().producer()
            found = found or producer is None
            if producer is not None and producer not in seen:
                seen.add(producer)
                waiting += [v for v in producer.inputs if v is not without]
        return seen, found

    every = [v for n in node.graph for v in n.outputs]
    before = [*node.graph.inputs, *every[: every.index(node.outputs[0])]]
    for value in reversed(before):
        between, found = reach(value)
        if not found:
            nodes = {node, *between}
            curved = any(n.op_type in CURVED for n in nodes)
            return value if curved and not any(n.op_type == "Softmax" for n in nodes) else None
    return None


@pytest.mark.parametrize("seed", range(6))
def test_the_last_value_that_all_ways_lead_through(seed):
    """Of every node of a random graph, whichever is asked first."""
    rng = np.random.default_rng(seed)
    nodes, facts = facts_of(drawn(rng, 40))
    found = 0
    for node in rng.permutation(np.array(nodes, object)):
        several = len(node.inputs) > 1
        entry = elementwise_regions.region_entry(node, facts)
        assert entry is (by_definition(node) if several else None), node.name
        found += entry is not None
    assert found > 3


def test_many_sums_with_one_value(monkeypatch):
    """The work grows with the number of nodes, not with its square."""
    asked = []
    data = elementwise_regions._data
    monkeypatch.setattr(elementwise_regions, "_data", lambda *given: asked.append(given) or data(*given))
    nodes = [helper.make_node("Add", [f"v{i - 1}" if i else "x", "x"], [f"v{i}"]) for i in range(200)]
    nodes, facts = facts_of(nodes)
    for node in nodes:
        elementwise_regions.region_entry(node, facts)
    assert len(asked) < 6 * len(nodes)
