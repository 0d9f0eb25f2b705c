"""Explanations of models that reduce their relevance."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.interface import Interface
from onnxlrp.runtime.joined import join
from onnxlrp.runtime.reduced_inputs import laid_out
from tests.reduced import LAYOUTS, model, reduced, sample

SIZES = {"N": 3, "H": 7, "W": 5, "D": 4, "T": 11}
HOWS = {
    "NCHW": ["channels", "grid=3", "grid=9", "top=4", "channels+top=4", "grid=3+top=4"],
    "NHWC": ["channels", "grid=3", "top=4", "grid=3+top=4+float16"],
    "NHW": ["grid=3"],
    "NCT": ["channels", "grid=4", "top=40"],
    "NTC": ["channels", "grid=4"],
    "NCDHW": ["channels", "grid=3"],
    "columns": ["top=3", "float16"],
    "ids": ["top=3", "grid=4"],
}


def explained(name, how, targets=1, **options):
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(name), "epsilon", targets=targets, reduce=how, **options))
    return explainer(sample(name, SIZES), None if targets == 1 else [2, 0])


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize(("name", "how"), [(name, how) for name, hows in HOWS.items() for how in hows])
def test_laid_out_over_the_input_sums_stay(name, how, targets):
    """Reducing what was laid out gives the reduced relevance again."""
    explanation = explained(name, how, targets)
    whole = laid_out(explanation)
    x, relevance = sample(name, SIZES), whole.relevance["x"]
    shape = list(x.shape)
    channels = LAYOUTS[name].channels
    if "channels" in how or "grid" in how:
        shape = [1 if axis == channels else size for axis, size in enumerate(shape)]
    assert relevance.shape == (*shape[:1], *([targets] if targets > 1 else []), *shape[1:])
    again, places = reduced(relevance, how, channels, targets)
    assert np.allclose(again, explanation.relevance["x"], atol=1e-3 if "float16" in how else 1e-5)
    if places is not None:
        kept = explanation.relevance["x"] != 0
        assert np.array_equal(places[kept], explanation.relevance_indices["x"][kept])
    assert not whole.relevance_indices
    assert whole.interface.reduce == {}


def test_what_is_not_reduced_stays_the_object_it_is():
    explanation = onnxlrp.Explainer(onnxlrp.convert(model("NCHW")))(sample("NCHW", SIZES))
    assert laid_out(explanation) is explanation


def test_map_and_join():
    explainer = onnxlrp.Explainer(onnxlrp.convert(model("NCHW"), reduce="grid=3+top=4"))
    x = sample("NCHW", SIZES)
    parts, whole = list(explainer.map(x, batch_size=2)), explainer(x)
    joined = join(parts)
    assert np.allclose(joined.relevance["x"], whole.relevance["x"], atol=1e-6)
    assert np.array_equal(joined.relevance_indices["x"], whole.relevance_indices["x"])


def test_map_to_a_folder(tmp_path):
    explainer = onnxlrp.Explainer(onnxlrp.convert(model("NCHW"), reduce="top=4"))
    results = explainer.map(sample("NCHW", SIZES), batch_size=2, to=tmp_path / "results")
    assert results["x_relevance"].shape == results["x_relevance_indices"].shape == (3, 4)
    assert results["x_relevance_indices"].dtype == np.int64


def test_no_output_of_the_model_is_taken_for_its_own():
    explainer = onnxlrp.Explainer(onnxlrp.convert(model("NCHW"), reduce="top=4"))
    assert [*explainer.outputs] == ["y"]
    assert [*explainer(sample("NCHW", SIZES)).outputs] == ["y"]


@pytest.mark.parametrize("how", ["channels", "grid=3", "top=1", "grid=3+top=1", "float16"])
@pytest.mark.parametrize("ledger", [False, True])
def test_no_caution_that_the_full_relevance_does_not_raise(how, ledger):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            explained("NCHW", {}, ledger=ledger)
        except onnxlrp.errors.ExplanationWarning as full:
            with pytest.raises(onnxlrp.errors.ExplanationWarning) as got:
                explained("NCHW", how, ledger=ledger)
            assert {c.kind for c in got.value.cautions} <= {c.kind for c in full.cautions}
        else:
            explained("NCHW", how, ledger=ledger)


def test_the_largest_alone_are_not_doubted_to_be_too_little():
    """One of seven equal columns holds a seventh of the score, and nothing is lost for all that."""
    proto = model("columns")
    proto.graph.initializer[0].CopyFrom(onnxlrp_weights())
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "epsilon", reduce="top=1", ledger=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = explainer(np.ones((2, 7), np.float32), target=0)
    assert np.allclose(explanation.relevance["x"], 1)
    assert onnxlrp.runtime.checking.conservation(explanation) is None


def onnxlrp_weights():
    import onnx.numpy_helper

    return onnx.numpy_helper.from_array(np.ones((7, 4), np.float32), "w")


@pytest.mark.parametrize(
    "change",
    [
        {"reduce": {"x": "nonsense"}},
        {"reduce": {"other": "channels"}},
        {"reduce": {"x": "grid=3"}},
        {"relevance_indices": {}},
        {"relevance_indices": {"x": "y"}},
        {"channel_axes": {"x": 99}},
    ],
)
def test_a_damaged_description_is_found(change):
    proto = onnxlrp.convert(model("NCHW"), reduce="top=4").to_proto()
    known = {entry.key: entry.value for entry in proto.metadata_props}
    interface = dataclasses.replace(Interface.from_metadata(known), **change)
    for key, value in interface.to_metadata().items():
        next(entry for entry in proto.metadata_props if entry.key == key).value = value
    with pytest.raises(InvalidModelError, match="damaged"):
        onnxlrp.Explainer(proto)


def test_captum_needs_the_shape_of_the_input():
    from onnxlrp.integrations.model_with_explainers import ModelWithExplainers

    with pytest.raises(InputError, match="convert without reduce"):
        ModelWithExplainers(onnxlrp.convert(model("NCHW"), reduce="grid=3"), None, None, {})
    with pytest.raises(InputError, match="convert without reduce"):
        ModelWithExplainers(model("NCHW").SerializeToString(), None, None, {"reduce": "grid=3"}).explainer(
            "class", ["x"]
        )


def test_an_overflow_of_float16_names_it():
    explainer = onnxlrp.Explainer(onnxlrp.convert(model("columns"), "epsilon", reduce="float16"))
    with pytest.warns(onnxlrp.errors.ExplanationWarning, match="float16, which holds 65,504 at most"):
        explainer(np.full((1, 7), 1e6, np.float32))
