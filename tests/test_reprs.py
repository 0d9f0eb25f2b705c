"""Short reprs: everything that a user holds is one line of fewer than 300 characters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp import composites, reprs, rules
from onnxlrp.operators import registry
from onnxlrp.runtime.cautions import Caution
from onnxlrp.runtime.checking import conservation
from onnxlrp.runtime.results import Results
from onnxlrp.runtime.text import Tokens

MOST = 300
LONG = "a name of a thousand characters \x1b[31m" + "x" * 1000


def _model(layers: int = 40, name: str = LONG):
    """A chain of dense layers, every name in it as long as some exporters make them."""
    weights = {f"{name}w{i}": np.eye(8, dtype=np.float32) for i in range(layers)}
    values = [f"{name}x", *(f"{name}{i}" for i in range(layers))]
    nodes = [helper.make_node("MatMul", [values[i], w], [values[i + 1]], f"{name}n{i}") for i, w in enumerate(weights)]
    ends = [helper.make_tensor_value_info(v, TensorProto.FLOAT, ["N", 8]) for v in (values[0], values[-1])]
    tensors = [numpy_helper.from_array(v, k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _held(folder) -> list[object]:
    """Everything that convert, inspect, an explainer and its methods hand out."""
    explained = onnxlrp.convert(_model(), "epsilon", ledger=True, check=True)
    assert explained.comparison is not None
    explainer = onnxlrp.Explainer(explained, providers=["CPUExecutionProvider"])
    inputs = {f"{LONG}x": np.ones((50, 8), np.float32)}
    explanation = explainer(inputs)
    results = explainer.map(inputs, 10, to=folder / "results")
    step = explained.plan.steps[0]
    made = [explained, explained.plan, step, explained.plan.rows()[0], explained.interface, step.call, step.entry]
    checks = [explained.comparison, *explained.comparison.outputs, conservation(explanation)]
    ran = [explainer, explanation, explanation.ledger, explainer.prepare(inputs), results, Results(folder / "results")]
    return [*made, *checks, *ran, next(iter(explainer.map(inputs, 10)))]


def test_all_that_a_user_holds_is_one_short_line(tmp_path):
    big = np.zeros((1, 3, 224, 224))
    data = [
        rules.ZBox(big, big),
        composites.EpsilonGammaBox(big, big),
        composites.Overridden(composites.VggOverview(big, big), ((LONG, rules.ZBox(big, big)),) * 50),
        Caution("nan", 3, 0, LONG),
        Tokens((1,) * 500, ("word",) * 500, (True,) * 500),
        registry.Reversed(),
    ]
    for thing in [*_held(tmp_path), *data]:
        text = repr(thing)
        assert len(text) < MOST, f"{type(thing).__name__}: {len(text)} characters"
        assert text.isprintable(), type(thing).__name__
        assert " object at 0x" not in text, text


def test_they_say_what_a_thing_is(tmp_path):
    model = _model(2, "")
    (tmp_path / "two_layers.onnx").write_bytes(model.SerializeToString())
    explained = onnxlrp.convert(tmp_path / "two_layers.onnx", "epsilon", ledger=True)
    explained.save(tmp_path / "two.lrp.onnx")
    explainer = onnxlrp.Explainer(tmp_path / "two.lrp.onnx", providers=["CPUExecutionProvider"])
    assert repr(explained) == "<Explained two_layers: 1 input, composite epsilon, 2 nodes explained>"
    assert repr(explained.plan) == "<Plan epsilon: 2 steps>"
    assert repr(explained.plan.steps[0]) == "<Step n1: MatMul, Epsilon, every layer>"
    assert repr(explainer) == "<Explainer two.lrp.onnx: epsilon explains '1' at x, on CPUExecutionProvider>"
    found = explainer({"x": np.eye(8, dtype=np.float32)[:2]}, target=1)
    assert repr(found) == "<Explanation: relevance of x [2, 8], target [1, 1], ledger of 2 steps>"
    assert str(explained.plan).count("\n") == 3, "str is still the whole table"


@pytest.mark.parametrize(
    "thing", [rules.Gamma(0.1), rules.LRP0(), rules.ZBox(0, 255), rules.Epsilon(relative=0.25, zero_params="bias")]
)
def test_the_repr_of_a_rule_is_python(thing):
    assert eval(repr(thing), vars(rules)) == thing


@pytest.mark.parametrize("thing", [composites.Auto(0.2), composites.EpsilonPlus(), composites.DeepTaylor(-1, 1)])
def test_the_repr_of_a_composite_is_python(thing):
    assert eval(repr(thing), vars(composites)) == thing


def test_a_rule_of_the_users_own_is_short_too():
    @dataclasses.dataclass(frozen=True)
    class Mine(rules.Rule):
        table: object = None

    assert len(repr(Mine(table=np.zeros(10_000)))) < MOST


@pytest.mark.parametrize(("number", "text"), [(0, "0 steps"), (1, "1 step"), (12_345, "12,345 steps")])
def test_counted(number, text):
    assert reprs.counted(number, "step") == text
