"""Bodies of If, Loop and Scan are planned once: the copy that is walked back follows the plan of the body."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.analysis.facts import analyse
from onnxlrp.composites import parse
from onnxlrp.plan import Step, make_plan, planner
from onnxlrp.plan.carried_over import Copies
from onnxlrp.plan.steps import every_step
from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.read import read
from tests.plan.models import model

WEIGHTS = {"w0": (4, 1, 3, 3), "w1": (4, 4, 3, 3), "w2": (4, 4, 3, 3)}
INPUTS = "float[N,1,10,10] x"
START = "a = Conv(x, w0) b = Relu(a) [second] d = Conv(b, w1) e = Relu(d)"
END = "f = Relu(s) p = GlobalAveragePool(f) y = Flatten(p)"
BRANCHES = f"""g ({INPUTS}, bool c) => (float[N,4] y) {{ {START}
    s = If (c) <
        then_branch = t () => (float[N,4,6,6] u) {{ [in] u = Conv(e, w2) }},
        else_branch = o () => (float[N,4,6,6] v) {{ q = Conv(e, w1) v = Add(q, q) }} >
    {END} }}"""
STRAIGHT = f"g ({INPUTS}) => (float[N,4] y) {{ {START} s = Conv(e, w2) {END} }}"
NESTED = """g (float[4,3] x, bool c) => (float[3] y) <float[3] zero = {0,0,0}> {
    y, all = Scan<num_scan_inputs=1, body = b (float[3] h, float[3] r) => (float[3] n, float[3] o) {
        n = If (c) <
            then_branch = t () => (float[3] u) { m = Add(h, r) s = Sigmoid(m) u = Mul(m, s) },
            else_branch = e () => (float[3] v) { v = Add(h, r) } >
        o = Identity(n)
    }>(zero, x) }"""


def relevance(text: str, **options) -> np.ndarray:
    feeds = {"x": np.random.default_rng(1).normal(size=(2, 1, 10, 10)).astype(np.float32)}
    explained = onnxlrp.convert(model(text, WEIGHTS), "vgg_overview(low=-4, high=4)", **options)
    if text is BRANCHES:
        feeds["c"] = np.array(True)
    return onnxlrp.Explainer(explained)(feeds).relevance["x"]


@pytest.mark.parametrize("options", [{}, {"rules": [("Conv", "ZPlus")]}])
def test_the_rule_of_a_convolution_that_depends_on_how_many_there_are(options):
    """A composite that treats lower convolutions otherwise counts those of the whole model, not those of a copy."""
    np.testing.assert_allclose(relevance(BRANCHES, **options), relevance(STRAIGHT, **options), rtol=1e-4, atol=1e-7)


def test_nothing_is_planned_again(monkeypatch):
    """As many steps are decided as the plan has."""
    decided = []
    step = planner._Planner.step
    monkeypatch.setattr(planner._Planner, "step", lambda *about: decided.append(about) or step(*about))
    plan = onnxlrp.convert(model(NESTED), "epsilon", ledger=True).plan
    assert len(decided) == len(list(every_step(plan.steps)))


def values(step: Step) -> list:
    """Every value that a step names."""
    layer = [] if step.layer is None else [*step.layer.call.inputs, step.layer.bias, *step.layer.call.outputs]
    argument = [] if step.function is None else [step.function.argument]
    return [*step.operands.values(), *step.outputs, *step.call.inputs, *step.call.outputs, *layer, *argument]


@pytest.mark.parametrize("text", [BRANCHES, NESTED])
def test_a_copy_names_nothing_of_the_body(text):
    """Rules, reasons and shares stay; nodes and values are the copy's, also inside of bodies in it."""
    graph = read(model(text, WEIGHTS if text is BRANCHES else {})).model
    canonicalise(graph)
    facts = analyse(graph.graph, list(graph.graph.inputs))
    plan = make_plan(graph.graph, facts, graph.graph.outputs[0], parse("epsilon"))  # type: ignore[arg-type]
    (outer,) = [s for s in plan.steps if s.inner]
    for body in outer.node.attributes.values():
        if body.type.name != "GRAPH":
            continue
        own = [s for s in outer.inner if s.node.graph is body.as_graph()]
        copies = Copies.of(body.as_graph(), body.as_graph().clone(allow_outer_scope_values=True))
        carried = list(every_step(copies.steps(own)))
        inside = {v for n in body.as_graph().all_nodes() for v in n.outputs} | set(body.as_graph().inputs)
        assert own and not any(v in inside for s in carried for v in values(s))
        kept = ("name", "operator", "kind", "rule", "why", "shares")
        for one, other in zip(every_step(own), carried, strict=True):
            assert [getattr(one, k) for k in kept] == [getattr(other, k) for k in kept]
            assert one.node is not other.node and one.entry is other.entry
