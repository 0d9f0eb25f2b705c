"""The difference between the scores of a sample and a reference."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

import onnxlrp
from onnxlrp.errors import InputError, TargetError
from tests.oracle.compare import Explained

RNG = np.random.default_rng(3)
X, REFERENCE = RNG.normal(size=(2, 4, 4))
NET = "h = Gemm(x, W, B)  a = Tanh(h)  y = MatMul(a, V)"
GIVEN = "deep_lift(baseline='input')"


def model(body: str = NET, inputs: str = "double[N, 4] x", outputs: str = "double[N, 3] y") -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> net ({inputs}) => ({outputs}) {{ {body} }}'
    )
    rng = np.random.default_rng(1)
    for name, shape in (("W", (4, 5)), ("B", (5,)), ("V", (5, 3))):
        if name in body:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape), name))
    return proto


def explainer(proto: onnx.ModelProto, **options) -> onnxlrp.Explainer:
    return onnxlrp.Explainer(onnxlrp.convert(proto, GIVEN, **options))


@pytest.mark.parametrize("target", [None, 1, [0, 1, 2, 0]])
def test_relevance_adds_up_to_the_difference(target):
    """Both scores are of the class of the sample; a row of its own is what a constant baseline gives."""
    ours = explainer(model())
    found, there = ours.compare({"x": X}, {"x": REFERENCE}, target=target), ours({"x": REFERENCE}).outputs["y"]
    rows = np.arange(4)
    np.testing.assert_allclose(found.base_value, there[rows, found.target], atol=1e-12)
    np.testing.assert_allclose(found.raw_score, found.outputs["y"][rows, found.target], atol=1e-12)
    np.testing.assert_allclose(found.relevance["x"].sum(1), found.raw_score - found.base_value, atol=1e-12)
    for row in range(4):
        constant = onnxlrp.convert(model(), onnxlrp.composites.DeepLift(baseline=REFERENCE[row]))
        alone = onnxlrp.Explainer(constant)({"x": X[row : row + 1]}, target=found.target[row])
        np.testing.assert_allclose(found.relevance["x"][row], alone.relevance["x"][0], atol=1e-12)


@pytest.mark.filterwarnings("error::onnxlrp.errors.ExplanationWarning")
def test_one_reference_serves_all_samples_and_equal_values_get_nothing():
    ours, reference = explainer(model()), X.copy()[:1]
    found = ours.compare(X, reference, target=0)
    every = ours.compare({"x": X}, {"x": np.repeat(reference, 4, axis=0)}, target=0)
    np.testing.assert_allclose(found.relevance["x"], every.relevance["x"], atol=1e-12)
    assert not found.relevance["x"][0].any()
    reference[0, 2] += 1
    assert np.flatnonzero(ours.compare(X[:1], reference, target=0).relevance["x"][0]).tolist() == [2]


def test_without_a_reference_it_is_0():
    """Where the target is required, so are the references, and the explainer gives zeros."""
    wanted = onnxlrp.Explainer(onnxlrp.convert(model(), "deep_lift"))({"x": X}, target=1).relevance["x"]
    for how in ("optional", "required", "none"):
        ours = explainer(model(), target_input=how)
        found = ours({"x": X}, **({} if how == "none" else {"target": 1}))
        assert how == "none" or np.allclose(found.relevance["x"], wanted, atol=1e-12)
        np.testing.assert_allclose(found.relevance["x"].sum(1) + found.base_value, found.raw_score, atol=1e-12)
        assert set(found.outputs) == set(ours.outputs) == {"y"} and set(ours.inputs) == {"x"}
        other = ours.compare({"x": X}, {"x": REFERENCE})
        assert np.abs(other.relevance["x"] - found.relevance["x"]).max() > 1e-3


def test_inputs_that_are_not_explained_keep_their_values():
    body = "h = Gemm(x, W, B)  g = Mul(h, m)  a = Relu(g)  y = MatMul(a, V)"
    ours = explainer(model(body, "double[N, 4] x, double[N, 5] m"), inputs=["x"])
    mask = (RNG.random(size=(4, 5)) > 0.5).astype(float)
    found = ours.compare({"x": X, "m": mask}, {"x": REFERENCE}, target=2)
    there = ours({"x": REFERENCE, "m": mask}).outputs["y"][:, 2]
    np.testing.assert_allclose(found.relevance["x"].sum(1), found.outputs["y"][:, 2] - there, atol=1e-12)
    with pytest.raises(InputError, match="m has no reference"):
        ours.compare({"x": X, "m": mask}, {"x": REFERENCE, "m": mask})


def test_the_difference_of_margins_upstream_of_a_softmax():
    """What is explained is the score that the softmax is computed from, at both samples."""
    body = "h = Gemm(x, W, B)  a = Relu(h)  z = MatMul(a, V)  y = Softmax(z)"
    ours = explainer(model(body))
    found = ours.compare({"x": X}, {"x": REFERENCE}, target=1)
    parts = model("h = Gemm(x, W, B)  a = Relu(h)  y = MatMul(a, V)")
    plain = explainer(parts)
    scores, there = (plain({"x": value}).outputs["y"][:, 1] for value in (X, REFERENCE))
    np.testing.assert_allclose(found.base_value, there, atol=1e-12)
    np.testing.assert_allclose(found.raw_score, scores, atol=1e-12)


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("kind", ["class", "element", "weights"])
def test_every_kind_of_target(kind, targets):
    if kind == "weights" and targets == 2:
        pytest.skip("weights are one target")
    ours = explainer(model(), target=kind, targets=targets)
    asked = {"weights": [1.0, -1.0, 0.0]} if kind == "weights" else {"target": [0, 2] if targets == 2 else 2}
    if kind == "element":
        asked = {"target": [[0], [2]] if targets == 2 else (2,)}
    found = ours.compare({"x": X}, {"x": REFERENCE}, **asked)
    np.testing.assert_allclose(found.relevance["x"].sum(-1), found.raw_score - found.base_value, atol=1e-9)


def test_the_bare_graph_takes_it_too():
    """Names, declared shapes, and a reference that is broadcast along other axes."""
    ours = Explained(model(), composite=GIVEN)
    assert ours.interface.reference_inputs == {"x": "x_reference"}
    assert ours.interface.reference_scores == "y_reference"
    outputs = ours.runner({"x": X, "target": np.array([1]), "x_reference": np.full((1, 1), 0.3)})
    constant = Explained(model(), composite="deep_lift(baseline=0.3)").run({"x": X}, target=[1])
    np.testing.assert_allclose(outputs["x_relevance"], constant["x_relevance"], atol=1e-12)
    assert outputs["y_reference"].shape == (4, 3)


def test_models_and_references_that_do_not_fit():
    plain = onnxlrp.Explainer(onnxlrp.convert(model(), "epsilon"))
    with pytest.raises(InputError, match=r"takes no reference: .*deep_lift\(baseline='input'\)"):
        plain.compare({"x": X}, {"x": REFERENCE})
    ours = explainer(model())
    for reference, words in (
        ({"x": REFERENCE[:3]}, "give one reference, or one for each sample"),
        ({"x": REFERENCE[:, :3]}, "axis 1 must be 4"),
        ({"x": REFERENCE.astype(np.float32)}, "astype"),
        ({"z": REFERENCE}, "no input 'z'"),
        ({}, "needs a value"),
    ):
        with pytest.raises(InputError, match=words):
            ours.compare({"x": X}, reference)
    with pytest.raises(TargetError):
        ours.compare({"x": X}, {"x": REFERENCE}, target=3)
    with pytest.raises(InputError, match="baseline"):
        onnxlrp.convert(model(), "deep_lift(baseline='inputs')")


def test_numbers_only():
    """Between whole numbers there is no change that a multiplier could be taken with."""
    proto = model("f = Cast<to = 11>(n)  y = Gemm(f, W, B)", "int64[N, 4] n", "double[N, 5] y")
    with pytest.raises(onnxlrp.errors.NothingToExplainError, match="INT64"):
        onnxlrp.convert(proto, GIVEN)


def test_one_reference_where_the_model_fixes_the_number_of_samples():
    ours = explainer(model(inputs="double[4, 4] x", outputs="double[4, 3] y"))
    found = ours.compare(X, REFERENCE[:1], target=0)
    every = ours.compare(X, np.repeat(REFERENCE[:1], 4, axis=0), target=0)
    np.testing.assert_array_equal(found.relevance["x"], every.relevance["x"])
    with pytest.raises(InputError, match="give one reference, or one for each sample"):
        ours.compare(X, REFERENCE[:2])


def test_identifiers_may_stand_in_the_reference_too():
    ours = explainer(model())
    rows = [{"customer": "C", **{f"c{i}": value for i, value in enumerate(row)}} for row in X.tolist()]
    found = ours.compare(rows, rows[:1], target=0, ids="customer")
    assert found.ids["customer"].tolist() == ["C"] * 4 and not found.relevance["x"][0].any()
    without = [{name: row[name] for name in row if name != "customer"} for row in rows[:1]]
    np.testing.assert_array_equal(
        ours.compare(rows, without, target=0, ids="customer").relevance["x"], found.relevance["x"]
    )


def test_pictures_are_scaled_as_in_a_call(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 128)).save(tmp_path / "a.png")
    body = "c = Sub(x, M)  d = Div(c, S)  p = GlobalAveragePool(d)  y = Flatten(p)"
    proto = model(body, "float[N, 3, 4, 4] x", "float[N, 3] y")
    for name, value in (("M", 0.5), ("S", 0.25)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([value]), name))
    ours = explainer(proto)
    compared = ours.compare(tmp_path / "a.png", np.zeros((1, 3, 4, 4), np.float32))
    np.testing.assert_array_equal(compared.inputs["x"], ours(tmp_path / "a.png").inputs["x"])
    assert compared.inputs["x"].max() == 1
