"""The output side: what is explained is the score, with the sign of its effect on the output."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from tests.oracle.reference import Runner
from tests.source.output_functions import FUNCTIONS, HEADS, PAIRS, SIGMOIDS_BESIDE_TANH, Function
from tests.source.sketch import Sketch

Array = np.ndarray
COMPOSITES = ["auto", "epsilon", "epsilon_plus", "attn_lrp"]
WEIGHTS = np.random.default_rng(5).choice([-1.0, 1.0], size=8) * np.linspace(0.6, 1.4, 8)
RELATIVE = 1e-4
"""ε absorbs this much of the smallest scores drawn here."""


def rows(count: int = 10) -> Array:
    """Inputs with z > 0 in the first half and z < 0 in the second, from .43 to 1.17, and each column a small part."""
    rng = np.random.default_rng(8)
    parts = rng.normal(size=(count, 8)) * 0.12
    wanted = np.linspace(0.43, 1.17, count // 2)
    z = np.concatenate([wanted, -wanted])
    parts += (z - parts.sum(1))[:, None] / 8
    parts[::3, 2] = 0.0
    return parts / WEIGHTS


def one(function: Function, bias: float | None = None, floating: type = np.float64, opset: int = 21):
    """The function of one linear score."""
    g = Sketch(floating)
    z = g.Gemm("x", WEIGHTS[:, None], *([] if bias is None else [np.array([bias])]))
    return g.model(function.write(g, z), None, opset=opset)


def six(function: Function, seed: int = 3) -> onnx.ModelProto:
    """The function of six linear scores."""
    g = Sketch()
    return g.model(function.write(g, g.Gemm("x", matrix(seed))), 6)


def matrix(seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(size=(8, 6))


def explain(model: onnx.ModelProto, x: Array, composite: str = "epsilon", target: int | None = None, **options):
    """Relevance of x in float64, and every output."""
    explained = onnxlrp.convert(model, composite, **options)
    name = explained.interface.target_input
    feeds = {"x": x} if target is None else {"x": x, str(name): np.array([target])}
    outputs = Runner(explained.to_proto())(feeds)
    return outputs[explained.interface.relevance["x"]], outputs


def effects(model: onnx.ModelProto, x: Array, target: int = 0) -> Array:
    """Change of the output's element where one column after another is set to 0."""
    run = Runner(model)
    output = run({"x": x})["y"][:, target]
    without = [run({"x": np.where(np.arange(x.shape[1]) == k, 0, x)})["y"][:, target] for k in range(x.shape[1])]
    return output[:, None] - np.stack(without, 1)


def correlations(a: Array, b: Array) -> Array:
    """Pearson's, row by row."""
    return np.array([np.corrcoef(p, q)[0, 1] for p, q in zip(a, b, strict=True)])


# ------------------------------------------------------------------------------------------- functions of one score


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("composite", COMPOSITES)
def test_relevance_follows_the_effect_on_the_output(name, composite):
    model, x = one(FUNCTIONS[name], bias=0.05), rows()
    relevance, _ = explain(model, x, composite)
    agreement = correlations(relevance, effects(model, x))
    assert agreement.min() >= 0.95, f"z > 0: {agreement[:5].round(2)}, z < 0: {agreement[5:].round(2)}"


SKIPPED = [name for name, function in FUNCTIONS.items() if function.share is not None]


@pytest.mark.parametrize("name", SKIPPED)
def test_the_signed_argument_is_explained(name):
    """Each column has its own part of the score, with the function's sign, and nothing else."""
    function, x = FUNCTIONS[name], rows()
    relevance, _ = explain(one(function), x)
    np.testing.assert_allclose(relevance, function.share * x * WEIGHTS, rtol=RELATIVE, atol=1e-9)


@pytest.mark.parametrize("name", SKIPPED)
def test_shares_of_one(name):
    """With `initial="one"` relevance starts from 1 at the signed score, so that the shares add up to 1."""
    x = rows()
    relevance, _ = explain(one(FUNCTIONS[name]), x, initial="one")
    np.testing.assert_allclose(relevance.sum(1), 1, rtol=RELATIVE)
    score = (x * WEIGHTS).sum(1, keepdims=True)
    np.testing.assert_allclose(relevance, x * WEIGHTS / score, rtol=RELATIVE, atol=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_score_of_exactly_zero(name):
    """Nothing is divided by it: its share goes to ε."""
    relevance, _ = explain(one(FUNCTIONS[name]), np.stack([np.zeros(8), np.ones(8) / WEIGHTS * ([1, -1] * 4)]))
    assert np.isfinite(relevance).all()
    assert np.abs(relevance).max() < 10


@pytest.mark.parametrize("name", ["tanh", "mean of two sigmoids"])
def test_nothing_is_skipped(name):
    """Relevance starts from the output itself, and the ledger's bias holds what f(0) keeps."""
    model, x = one(FUNCTIONS[name]), rows()
    relevance, outputs = explain(model, x, ledger=True)
    ledger = outputs["relevance_ledger"]
    np.testing.assert_allclose(ledger[0, 0], outputs["y"].sum(), rtol=1e-9)
    np.testing.assert_allclose(ledger[0, 0], relevance.sum() + ledger[:, 2:].sum(), rtol=1e-6)
    np.testing.assert_allclose(relevance.sum(1), (outputs["y"] - Runner(model)({"x": 0 * x})["y"])[:, 0], rtol=1e-3)


def test_a_function_that_turns():
    """No claim for a bell: it rises and falls. Relevance stays finite and bounded by the output."""
    bell = Function(lambda g, z: g.Exp(g.Mul(g.Mul(z, z), -0.5)), None)
    relevance, outputs = explain(one(bell), rows())
    assert np.isfinite(relevance).all()
    assert (np.abs(relevance.sum(1)) <= 3 * np.abs(outputs["y"][:, 0])).all()


def test_a_power_of_an_interval_with_zero_is_not_skipped():
    """σ(z) − ½ changes its sign, so its square is not monotone: relevance starts from the output."""
    square = Function(lambda g, z: g.Pow(g.Sub(g.Sigmoid(z), 0.5), 2.0), None)
    relevance, outputs = explain(one(square), rows())
    np.testing.assert_allclose(relevance.sum(1), outputs["y"][:, 0], rtol=1e-3)


def test_a_product_of_two_arguments():
    """Objectness × class of two scores: each factor's argument has its own part, of the sign of its effect."""
    g, second = Sketch(), np.roll(WEIGHTS, 3)[:, None]
    z, v = g.Gemm("x", WEIGHTS[:, None]), g.Gemm("x", second)
    model = g.model(g.Mul(g.Sigmoid(z), g.Sigmoid(v)), 1)
    x = rows()
    for composite in ("auto", "epsilon", "attn_lrp"):
        relevance, _ = explain(model, x, composite)
        assert correlations(relevance, effects(model, x)).min() >= 0.95, composite


@pytest.mark.parametrize("name", ["sigmoid", "1 - sigmoid", "1 / (1 + exp(z))", "exp(-softplus)", "clip(sigmoid)"])
@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("floating", [np.float32, np.float64])
def test_types_and_opsets(name, opset, floating):
    function, x = FUNCTIONS[name], rows().astype(floating)
    relevance, _ = explain(one(function, floating=floating, opset=opset), x)
    assert relevance.dtype == floating
    np.testing.assert_allclose(relevance, function.share * x * WEIGHTS, rtol=1e-3, atol=1e-6)


# ---------------------------------------------------------------------------------------------- two classes, and more


@functools.cache
def pair(name: str, composite: str = "epsilon") -> tuple[Array, Array]:
    return tuple(explain(one(PAIRS[name]), rows(), composite, target=k)[0] for k in (0, 1))  # type: ignore[return-value]


@pytest.mark.parametrize("name", PAIRS)
def test_the_first_class_has_the_second_s_negative(name):
    first, second = pair(name)
    np.testing.assert_allclose(second, PAIRS[name].share * rows() * WEIGHTS, rtol=RELATIVE, atol=1e-9)
    np.testing.assert_allclose(first, -second, rtol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_both_classes_follow_their_effects(name):
    model, x = one(PAIRS[name], bias=0.05), rows()
    for k in (0, 1):
        relevance, _ = explain(model, x, "auto", target=k)
        assert correlations(relevance, effects(model, x, k)).min() >= 0.95, f"class {k}"


@pytest.mark.parametrize("name", HEADS)
def test_each_element_is_explained_by_its_own_score(name):
    model, x = six(HEADS[name]), rows()
    for k in (0, 2, 3, 5):
        relevance, _ = explain(model, x, target=k)
        np.testing.assert_allclose(relevance, x * matrix()[:, k], rtol=1e-3, atol=1e-6, err_msg=f"element {k}")


def test_sigmoids_beside_tanh():
    """A tanh has f(0) = 0: its elements are explained themselves, beside the sigmoids' arguments."""
    model, x = six(SIGMOIDS_BESIDE_TANH), rows()
    for k in (1, 4):
        z = x @ matrix()[:, k]
        share = 1 if k < 3 else np.tanh(z) / z
        relevance, _ = explain(model, x, target=k)
        np.testing.assert_allclose(relevance, (x * matrix()[:, k]) * np.reshape(share, (-1, 1)), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["[1 - p, p]", "softmax([0, z])"])
def test_weighted_targets_add_up(name):
    """Relevance of a weighted target is the weighted sum of that of its elements."""
    explained = onnxlrp.convert(one(PAIRS[name]), "epsilon", target="weights")
    feeds = {"x": rows(), str(explained.interface.weights_input): np.array([[2.0, 5.0]])}
    relevance = Runner(explained.to_proto())(feeds)["x_relevance"]
    first, second = pair(name)
    np.testing.assert_allclose(relevance, 2 * first + 5 * second, rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------------------------------------- what the user may ask for


@pytest.mark.parametrize("name", ["sigmoid", "5 * sigmoid", "1 - sigmoid", "exp", "softplus", "hard sigmoid"])
def test_explain_probability_skips_nothing(name):
    """The seed is the output itself; the offset rule leaves f(z) − f(0) to the columns."""
    model, x = one(FUNCTIONS[name]), rows()
    relevance, outputs = explain(model, x, ledger=True, explain_probability=True)
    ledger, score = outputs["relevance_ledger"], x * WEIGHTS
    np.testing.assert_allclose(ledger[0, 0], outputs["y"].sum(), rtol=1e-9)
    rise = outputs["y"] - Runner(model)({"x": 0 * x})["y"]
    np.testing.assert_allclose(relevance, score * rise / score.sum(1, keepdims=True), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_explain_probability_of_two_classes(name):
    model, x = one(PAIRS[name]), rows()
    for k in (0, 1):
        relevance, outputs = explain(model, x, target=k, explain_probability=True, ledger=True)
        np.testing.assert_allclose(outputs["relevance_ledger"][0, 0], outputs["y"][:, k].sum(), rtol=1e-9)
        assert np.isfinite(relevance).all()


@pytest.mark.parametrize("name, sign", [("sigmoid", "+"), ("1 - sigmoid", "-"), ("[1 - p, p]", "-")])
def test_the_plan_says_what_is_explained(name, sign):
    """It names the value that is explained, and says where its sign is turned."""
    model = one((FUNCTIONS | PAIRS)[name])
    text = str(onnxlrp.convert(model, "epsilon").plan)
    score = model.graph.node[0].output[0]
    assert score in text
    assert ("minus" in text or f"-{score}" in text or f"−{score}" in text) == (sign == "-")


# ----------------------------------------------------------------------------------------------------------- drawn

INFINITE = float("inf")
STEPS = {
    "Sigmoid": (-INFINITE, INFINITE),
    "Tanh": (-INFINITE, INFINITE),
    "Softplus": (-INFINITE, INFINITE),
    "Erf": (-INFINITE, INFINITE),
    "Elu": (-INFINITE, INFINITE),
    "Neg": (-INFINITE, INFINITE),
    "Exp": (-INFINITE, 4.0),
    "Log": (0.05, INFINITE),
    "Sqrt": (0.0, INFINITE),
    "Reciprocal": (0.05, INFINITE),
}
"""Monotone operators and the interval that each is applied to."""


@st.composite
def chains(draw) -> list[tuple[str, float]]:
    """Up to five monotone steps, each only where its interval allows it; constants are added and multiplied too."""
    low, high, chain = -2.0, 2.0, []
    for _ in range(draw(st.integers(1, 5))):
        fitting = [op for op, (least, most) in STEPS.items() if least <= low and high <= most]
        powers = ["Pow"] if low >= 0.05 else []
        op = draw(st.sampled_from([*fitting, *powers, "Mul", "Add", "Sub"]))
        ranges = {"Mul": [-3.0, -0.5, 0.5, 3.0], "Add": [-0.7, 1.0, 2.5], "Sub": [1.0, 5.0], "Pow": [-1.5, 0.5, 2.0]}
        constant = draw(st.sampled_from(ranges[op])) if op in ranges else 0.0
        ends = evaluate([(op, constant)], np.array([[low], [high]]))
        if not np.isfinite(ends).all() or np.abs(ends).max() > 1e3 or np.ptp(ends) < 1e-3:
            continue
        low, high, chain = float(ends.min()), float(ends.max()), [*chain, (op, constant)]
    return chain or [("Sigmoid", 0.0)]


def write_chain(chain: list[tuple[str, float]]) -> Function:
    def write(g, z: str) -> str:
        for op, constant in chain:
            operands = {"Sub": (constant, z)}.get(op, (z, constant)) if op in ("Mul", "Add", "Sub", "Pow") else (z,)
            z = g.node(op, *operands)
        return z

    return Function(write, None)


def evaluate(chain: list[tuple[str, float]], z: Array) -> Array:
    """The chain of a column of scores."""
    g = Sketch()
    return Runner(g.model(write_chain(chain).write(g, "x"), 1, width=1))({"x": z})["y"]


@settings(deadline=None, derandomize=True, max_examples=60, database=None, suppress_health_check=list(HealthCheck))
@given(chains(), st.sampled_from(["auto", "epsilon"]))
def test_drawn_monotone_functions(chain, composite):
    """The sign of every column's relevance is the sign of its effect on the output."""
    model, x = one(write_chain(chain)), rows()
    relevance, _ = explain(model, x, composite)
    effect = effects(model, x)
    felt = np.abs(effect) > 1e-9 * np.abs(effect).max()
    assert felt.any()
    np.testing.assert_array_equal(np.sign(relevance[felt]), np.sign(effect[felt]))


def test_a_head_that_is_cast_beside_one_that_is_not():
    """The score of a probability in float32 stands beside numbers in float64, in their type."""
    w = numpy_helper.from_array(np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Split", ["z"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Sigmoid", ["a"], ["p"]),
        helper.make_node("Cast", ["p"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["b"], ["box"], to=TensorProto.DOUBLE),
        helper.make_node("Concat", ["wide", "box"], ["y"], axis=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["N", 4])
    source = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], [w]), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    rows = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon"))
    for column in range(4):
        found = explainer({"x": rows}, target=column).relevance["x"]
        np.testing.assert_allclose(found, rows * numpy_helper.to_array(w)[:, column], rtol=1e-4, atol=1e-5)
