"""Calls with `explain=False`: the outputs alone, and errors that say why there is no relevance."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.runtime.cautions import cautions
from onnxlrp.runtime.fed_inputs import program_of
from onnxlrp.runtime.joined import join
from onnxlrp.runtime.reading import open_model

pytest.importorskip("onnxruntime")

MODEL = """<ir_version: 10, opset_import: ["": 21]>
net (float[N, 2] x) => (float[N, 3] y)
<float[2, 3] w = {1, 0.5, -1, 1, 2, 0}, float[3, 3] v = {2, 0, 1, 0, 1, 1, 1, -1, 1}> {
    z = MatMul (x, w)
    h = Tanh (z)
    y = MatMul (h, v)
}"""
X = np.array([[2, 1], [0.5, 3], [1, 1]], np.float32)


def explainer(**options) -> onnxlrp.Explainer:
    options = {"on_demand": True, "composite": "epsilon"} | options
    return onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(MODEL), **options))


@pytest.mark.parametrize("target_input", ["optional", "required", "none"])
def test_outputs_target_and_score_without_relevance(target_input):
    explained = explainer(target_input=target_input, ledger=True)
    on, off = explained(X), explained(X, explain=False)
    np.testing.assert_array_equal(off.outputs["y"], on.outputs["y"])
    np.testing.assert_array_equal(off.target, on.target)
    np.testing.assert_array_equal(off.score, on.score)
    assert (dict(off.relevance), off.ledger, off.raw_score) == ({}, None, None)
    assert on.relevance["x"].shape == X.shape and on.ledger is not None


def test_a_target_is_resolved():
    off = explainer()(X, target=1, explain=False)
    np.testing.assert_array_equal(off.score, off.outputs["y"][:, 1])


def test_inner_values_and_targets():
    off = explainer(relevance_at=["h"], targets=2)(X, target=[0, 2], explain=False)
    assert not off.relevance_at and off.score.shape == (3, 2)


@pytest.mark.parametrize(
    "use",
    [
        lambda e, path: e.plot(),
        lambda e, path: e.save(path / "a.npz"),
        lambda e, path: e.save(path / "a.png"),
        lambda e, path: e.to_frame(),
        lambda e, path: e.to_shap(),
        lambda e, path: e.to_xarray(),
        lambda e, path: e.reasons(),
        lambda e, path: e.relevance["x"],
    ],
    ids=["plot", "npz", "png", "frame", "shap", "xarray", "reasons", "relevance"],
)
def test_what_needs_relevance_says_that_there_is_none(use, tmp_path):
    with pytest.raises(InputError, match="explain=False gave no relevance"):
        use(explainer()(X, explain=False), tmp_path)
    assert not list(tmp_path.iterdir())


def test_it_is_printed_without_relevance():
    explanation = explainer()(X, explain=False)
    lines = ["No relevance (explain=False): 'y' alone", "sample 0: class 1, score"]
    assert [line[: len(want)] for line, want in zip(str(explanation).splitlines(), lines, strict=False)] == lines
    assert "no input" in repr(explanation)
    assert "No relevance" in explanation._repr_html_() and "plot()" not in explanation._repr_html_()


def test_weights_of_a_call_without_relevance():
    explained = explainer(target="weights")
    off = explained(X, weights=np.ones((1, 3), np.float32), explain=False)
    assert off.score is None and "No relevance" in str(off)


def test_nothing_is_doubted():
    explained = explainer()
    assert not cautions(explained(-X * np.nan, explain=False), explained.interface, {"x": X * np.nan})


def test_a_model_without_a_switch():
    always = explainer(on_demand=False)
    for call in (always.__call__, always.map):
        with pytest.raises(InputError, match="convert it with on_demand=True"):
            call(X, explain=False)


def test_explain_is_a_truth_value():
    with pytest.raises(InputError, match="True or False, not 'no'"):
        explainer()(X, explain="no")


def test_batches():
    parts = list(explainer().map(X, batch_size=2, explain=False))
    assert [len(part.score) for part in parts] == [2, 1] and not any(part.relevance for part in parts)
    joined = join(parts)
    with pytest.raises(InputError, match="no relevance"):
        joined.relevance["x"]


def test_a_folder_of_outputs(tmp_path):
    """It is not continued with relevance, nor the other way round."""
    explained = explainer()
    results = explained.map(X, batch_size=2, to=tmp_path / "off", explain=False)
    assert set(next(results.batches())) == {"y", "target", "score"}
    with pytest.raises(InputError, match="off"):
        explained.map(X, batch_size=2, to=tmp_path / "off")


def test_a_damaged_description():
    proto = onnxlrp.convert(onnx.parser.parse_model(MODEL), on_demand=True).to_proto()
    (entry,) = [e for e in proto.metadata_props if e.key == "onnxlrp.explain_input"]
    entry.value = '"target"'
    with pytest.raises(InvalidModelError, match="cannot switch relevance"):
        onnxlrp.Explainer(proto)


def test_pixels_are_read_off_the_branch():
    """The mean that the model subtracts lies in the branches of the If."""
    text = """<ir_version: 10, opset_import: ["": 21]>
    net (float[N, 3, 4, 4] image) => (float[N, 2] y)
    <float mean = {127}, int64[2] shape = {0, -1}, float[48, 2] w, float[2, 2] v = {1, 2, -1, 1}> {
        c = Sub (image, mean)
        f = Reshape (c, shape)
        h = MatMul (f, w)
        r = Tanh (h)
        y = MatMul (r, v)
    }"""
    model = onnx.parser.parse_model(text)
    del model.graph.value_info[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((48, 2), np.float32), "w"))
    plain, switched = (onnxlrp.Explainer(onnxlrp.convert(model, on_demand=way)) for way in (False, True))
    assert switched.inputs["image"].pixels == plain.inputs["image"].pixels
    assert switched.inputs["image"].pixels is not None


def test_programs_feed_the_switch():
    proto = onnxlrp.convert(onnx.parser.parse_model(MODEL), on_demand=True, target_input="required").to_proto()
    (fed,) = [one for one in program_of(open_model(proto), "m.onnx").required if one.name == "explain"]
    assert (fed.type, fed.fill) == ("bool", 1) and "the model's own outputs alone" in fed.meaning


def test_reduced_relevance_is_empty_with_its_places():
    explained = explainer(reduce="top=1")
    off = explained(X, explain=False)
    assert not off.relevance and not off.relevance_indices
    assert explained(X).relevance_indices["x"].shape == (3, 1)
