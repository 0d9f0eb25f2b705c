"""Explanations that end at inner values: the same relevance there, and nothing upstream of them."""

from __future__ import annotations

import numpy as np
import onnx.numpy_helper
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError

SIZES = {"a": (4, 3, 3, 3), "b": (5, 4, 3, 3), "c": (6, 5, 1, 1), "s": (6, 4, 1, 1), "w": (6, 3)}


def model():
    """Three convolutions, with a branch around the last two, and a dense layer."""
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> three (float[N, 3, 8, 8] x) => (float[N, 3] y) {'
        "p = Conv<pads=[1,1,1,1]>(x, a) early = Relu(p) q = Conv<pads=[1,1,1,1]>(early, b) late = Relu(q) "
        "r = Conv(late, c) around = Conv(early, s) sum = Add(r, around) last = Relu(sum) "
        "g = GlobalAveragePool(last) f = Flatten(g) y = MatMul(f, w) }"
    )
    random = np.random.default_rng(0)
    for name, size in SIZES.items():
        array = random.standard_normal(size).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


X = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
COMPOSITES = ["epsilon", "epsilon_plus_flat", "epsilon_gamma_box(low=-3, high=3)", "gradient", "excitation_backprop"]


def call(explained, **options):
    explainer = onnxlrp.Explainer(explained)
    return explainer.compute(explainer.prepare(X), **options)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize(
    "names", [["early"], ["late"], ["last"], ["late", "last"], ["early", "late"], ["f"], ["late", "y"]]
)
def test_relevance_is_that_of_the_whole_explanation(composite, names):
    whole = call(onnxlrp.convert(model(), composite, relevance_at=names))
    part = call(onnxlrp.convert(model(), composite, inputs=[], relevance_at=names))
    assert part.relevance == {}
    for name in names:
        scale = np.abs(whole.relevance_at[name]).max()
        assert np.allclose(part.relevance_at[name], whole.relevance_at[name], atol=1e-5 * scale)
    assert np.allclose(part.outputs["y"], whole.outputs["y"], rtol=1e-5)


def test_nothing_upstream_is_walked():
    explained = onnxlrp.convert(model(), "epsilon", inputs=[], relevance_at=["late"])
    assert [step.name for step in explained.plan.steps if "Conv" in step.operator] == [
        step.name for step in onnxlrp.inspect(model(), "epsilon").steps if step.node.outputs[0].name == "r"
    ]
    assert explained.interface.stops_at == ("late",)
    assert "relevance ends at late, and nothing upstream is walked" in " ".join(explained.notes)
    whole = onnxlrp.convert(model(), "epsilon", relevance_at=["late"])
    assert len(explained.to_proto().graph.node) < len(whole.to_proto().graph.node)


def test_ends_are_those_that_lie_upstream_of_no_other():
    interface = onnxlrp.convert(model(), "epsilon", inputs=[], relevance_at=["last", "early", "late"]).interface
    assert interface.stops_at == ("early",)


@pytest.mark.parametrize("targets", [1, 2])
def test_targets_and_coefficients(targets):
    options = {"targets": targets, "relevance_at": ["late"], "coefficients_at": ["late"]}
    target = [1] if targets == 1 else [1, 2]
    whole = call(onnxlrp.convert(model(), "lrp0", **options), target=target)
    part = call(onnxlrp.convert(model(), "lrp0", inputs=[], **options), target=target)
    for field in ("relevance_at", "coefficients_at", "values_at"):
        got, wanted = getattr(part, field)["late"], getattr(whole, field)["late"]
        assert np.allclose(got, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_coefficients_alone():
    part = call(onnxlrp.convert(model(), "lrp0", inputs=[], coefficients_at=["late"]))
    assert part.coefficients_at["late"].shape == (2, 5, 8, 8)
    assert part.relevance_at == {}


def test_the_ledger_closes():
    explanation = call(onnxlrp.convert(model(), "epsilon", inputs=[], relevance_at=["early"], ledger=True))
    sums = onnxlrp.runtime.checking.conservation(explanation)
    assert sums.ok
    assert np.isclose(sums.seeds, explanation.score.sum(), rtol=1e-3)


def test_cautions_read_the_relevance_where_it_ends():
    """All columns of the score come from the late layer alone if the branch around it is 0."""
    proto = model()
    around = next(one for one in proto.graph.initializer if one.name == "s")
    around.CopyFrom(onnx.numpy_helper.from_array(np.zeros(SIZES["s"], np.float32), "s"))
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "lrp0", inputs=[], relevance_at=["late"]))
    watch, explanation = explainer.watch(), explainer.compute(explainer.prepare(X), [1])
    watch.see(explanation)
    assert "absorbed" not in {one.kind for one in watch.cautions()}
    total = explanation.relevance_at["late"].sum((1, 2, 3))
    assert np.allclose(total, explanation.score, rtol=1e-3)


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
@pytest.mark.parametrize("names", [["late"], ["f"], ["late", "f"]])
def test_views(tmp_path, names):
    explanation = onnxlrp.Explainer(onnxlrp.convert(model(), inputs=[], relevance_at=names))(X)
    assert names[0] in str(explanation)
    assert names[0] in repr(onnxlrp.Explainer(onnxlrp.convert(model(), inputs=[], relevance_at=names)))
    for suffix in ("csv", "json", "npz"):
        explanation.save(tmp_path / f"one.{suffix}")
    if names == ["late"]:
        rows = (tmp_path / "one.csv").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 1 + 2 * 5 * 8 * 8
    with np.load(tmp_path / "one.npz") as arrays:
        assert np.array_equal(arrays[f"{names[0]}_relevance"], explanation.relevance_at[names[0]])


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
@pytest.mark.parametrize("names", [["late"], ["f"], ["late", "f"]])
def test_figures(names):
    pytest.importorskip("matplotlib")
    assert onnxlrp.Explainer(onnxlrp.convert(model(), inputs=[], relevance_at=names))(X).plot() is not None


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
def test_map_to_a_folder(tmp_path):
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(), inputs=[], relevance_at=["late"]))
    results = explainer.map(X, batch_size=1, to=tmp_path / "results")
    assert results["late_relevance"].shape == (2, 5, 8, 8)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name the inner values to explain by relevance_at"),
        ({"relevance_at": ["y"]}, "'y' is the explained score itself"),
        ({"relevance_at": ["nowhere"]}, "no inner value 'nowhere'"),
        ({"relevance_at": ["late"], "composite": "grad_cam"}, "is computed for inputs"),
        ({"relevance_at": ["late"], "composite": "integrated_gradients"}, "is computed for inputs"),
        ({"relevance_at": ["late"], "composite": "deep_lift"}, "is computed for inputs"),
        ({"relevance_at": ["late"], "reduce": "top=3"}, "no input is explained"),
        ({"relevance_at": ["late"], "reduce": {"x": "top=3"}}, "no input is explained"),
        ({"relevance_at": ["late"], "interactions": True}, "interactions"),
    ],
)
def test_refused(options, words):
    with pytest.raises(InputError, match=words):
        onnxlrp.convert(model(), inputs=[], **options)


def test_a_damaged_description_is_found():
    proto = onnxlrp.convert(model(), inputs=[], relevance_at=["late"]).to_proto()
    entry = next(one for one in proto.metadata_props if one.key == "onnxlrp.stops_at")
    for value in ("[]", '["early"]'):
        entry.value = value
        with pytest.raises(InvalidModelError, match="damaged"):
            onnxlrp.Explainer(proto)
