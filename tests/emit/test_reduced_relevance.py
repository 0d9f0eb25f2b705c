"""Reduced relevance equals the reduction done in numpy."""

from __future__ import annotations

import functools

import hypothesis.strategies as st
import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime.reduced_inputs import laid_out
from tests.reduced import LAYOUTS, model, reduced, sample

SPACE = ("H", "W", "D", "T")


@functools.cache
def explainer(name, how, targets, fixed=()):
    """The explainer of a layout, without a reduction where `how` is empty."""
    options = {"reduce": how} if how else {}
    return onnxlrp.Explainer(onnxlrp.convert(model(name, dict(fixed)), "epsilon", targets=targets, **options))


def same(name, how, sizes, targets=1, fixed=()):
    """Compare reduced relevance with full relevance that numpy reduces."""
    x, asked = sample(name, sizes), None if targets == 1 else [2, 1, 3][:targets]
    full = explainer(name, "", targets).compute(explainer(name, "", targets).prepare(x), asked).relevance["x"]
    got = explainer(name, how, targets, fixed)
    explanation = got.compute(got.prepare(x), asked)
    wanted, places = reduced(full, how, LAYOUTS[name].channels, targets)
    found = explanation.relevance["x"]
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    declared = next(one.shape for one in got._session.get_outputs() if one.name == "x_relevance")
    assert all(one == two for one, two in zip(declared, wanted.shape, strict=True) if isinstance(one, int))
    precision = 2e-3 if found.dtype == np.float16 else 1e-5
    size = float(np.abs(full).max(initial=1e-6)) * max(full.size // max(len(full), 1), 1)
    assert np.allclose(found, wanted, rtol=precision, atol=1e-6 * size)
    if places is None:
        assert not explanation.relevance_indices
    else:
        _same_places(explanation.relevance_indices["x"], places, full, how, LAYOUTS[name].channels, targets)


def _same_places(found, places, full, how, channels, targets):
    """Rounding may swap elements of nearly equal size, so the elements at the places are compared."""
    assert found.dtype == np.int64
    assert found.shape == places.shape
    assert np.array_equal(found < 0, places < 0)
    sums = "+".join(part for part in how.split("+") if part[:3] not in ("top", "flo")) or "float32"
    kept, _ = reduced(full, sums, channels, targets)
    flat = kept.reshape(*places.shape[:-1], kept.size // max(int(np.prod(places.shape[:-1])), 1))
    if flat.size:
        sizes = [np.abs(np.take_along_axis(flat, np.maximum(one, 0), -1)) for one in (found, places)]
        assert np.allclose(*sizes, rtol=1e-4, atol=1e-5 * float(np.abs(flat).max()))
        assert all(len({*row[row >= 0]}) == (row >= 0).sum() for row in found.reshape(-1, found.shape[-1]))


def hows(name):
    """Reductions that a layout has."""
    parts = [st.sampled_from(["", "top=1", "top=3", "top=7"]), st.sampled_from(["", "float16"])]
    if name != "columns":
        parts.insert(0, st.sampled_from(["", "grid=1", "grid=2", "grid=3", "grid=5", "grid=8"]))
    if LAYOUTS[name].channels is not None:
        parts.insert(0, st.sampled_from(["", "channels"]))
    joined = st.tuples(*parts).map(lambda some: "+".join(part for part in some if part))
    return joined.filter(lambda how: how and not ("grid=1" in how.split("+") and "top" in how) and not
                         ("grid=2" in how and "top=7" in how))  # fmt: skip


@pytest.mark.slow
@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.data())
def test_equals_the_reduction_in_numpy(data):
    name = data.draw(st.sampled_from(sorted(LAYOUTS)))
    how = data.draw(hows(name))
    if name in ("NCT", "NTC", "NTF", "ids") and "grid" in how and "top" in how:
        how = how.replace("top=7", "top=1").replace("top=3", "top=1")
    sizes = {size: data.draw(st.integers(1, 9)) for size in SPACE} | {"N": data.draw(st.integers(0, 3))}
    same(name, how, sizes, data.draw(st.sampled_from([1, 2])))


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.data())
def test_known_sizes(data):
    name = data.draw(st.sampled_from(["NCHW", "NHWC", "NCT", "NTC", "NCDHW"]))
    sizes = {size: data.draw(st.integers(3, 9)) for size in SPACE} | {"N": 2}
    fixed = tuple((size, sizes[size]) for size in SPACE)
    same(name, data.draw(st.sampled_from(["channels", "grid=4", "grid=5", "top=4", "grid=4+top=3"])), sizes, 1, fixed)


def test_cells_of_a_long_series_are_computed_in_the_graph():
    sizes = {"N": 2, "T": 9001}
    same("NCT", "grid=10", sizes, fixed=(("T", 9001),))
    proto = onnxlrp.convert(model("NCT", sizes), reduce="grid=10").to_proto()
    assert proto.ByteSize() < 40_000


@pytest.mark.parametrize("k", [20, 300])
def test_fewer_elements_than_asked_for(k):
    same("NCT", f"top={k}", {"N": 2, "T": 5})


@pytest.mark.parametrize("shape", ["3, 5, 6", "3, H, W"])
@pytest.mark.parametrize("result", ["[2]", "[1, 2]"])
def test_a_picture_without_an_axis_of_samples(shape, result):
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 21]> one (float[{shape}] x) => (float{result} y) '
        "<float[2, 3, 1, 1] w = {1, 2, -1, 0.5, 1, 1}> { i = Constant<value_ints=[0]>() t = Unsqueeze(x, i) "
        f"h = Conv(t, w) p = GlobalAveragePool(h) s = Constant<value_ints={result}>() y = Reshape(p, s) }}"
    )
    x = np.random.default_rng(0).standard_normal((3, 5, 6)).astype(np.float32)
    for targets, asked in ((1, None), (2, [1, 0])):
        full = onnxlrp.Explainer(onnxlrp.convert(proto, "epsilon", targets=targets))(x, asked).relevance["x"]
        batched = full[None] if targets == 1 else np.moveaxis(full, 1, 0)[None]
        for how in ("channels", "grid=2", "top=4", "channels+top=3"):
            got = onnxlrp.Explainer(onnxlrp.convert(proto, "epsilon", targets=targets, reduce=how))(x, asked)
            wanted, places = reduced(batched, how, 1, targets)
            assert np.allclose(got.relevance["x"], wanted, atol=1e-6)
            assert places is None or np.array_equal(got.relevance_indices["x"], places)
            laid = laid_out(got).relevance["x"]
            assert laid.ndim == full.ndim
            assert np.isclose(laid.sum(), got.relevance["x"].sum(), atol=1e-5)
            assert str(got)


def test_float16_alone_keeps_the_shape():
    same("NCHW", "float16", {"N": 2, "H": 4, "W": 5})


@pytest.mark.parametrize("composite", ["integrated_gradients", "grad_cam", "gradient", "deep_lift"])
def test_other_methods(composite):
    x = sample("NCHW", {"N": 2, "H": 6, "W": 7})
    full, got = (onnxlrp.Explainer(onnxlrp.convert(model("NCHW"), composite, **options))(x)
                 for options in ({}, {"reduce": "grid=4"}))  # fmt: skip
    assert np.allclose(got.relevance["x"], reduced(full.relevance["x"], "grid=4", 1)[0], atol=1e-5)


def test_other_outputs_stay():
    options = {"composite": "epsilon", "ledger": True, "relevance_at": ["r"]}
    x = sample("NCHW", {"N": 2, "H": 6, "W": 7})
    full, got = (onnxlrp.Explainer(onnxlrp.convert(model("NCHW"), **options, **more))(x)
                 for more in ({}, {"reduce": "grid=4+top=3"}))  # fmt: skip
    assert np.array_equal(full.relevance_at["r"], got.relevance_at["r"])
    assert np.array_equal(full.ledger.values, got.ledger.values)
    assert np.array_equal(full.outputs["y"], got.outputs["y"])


def test_names_that_the_model_has_already():
    proto = model("NCHW")
    proto.graph.node[-1].output[0] = "x_relevance_indices"
    proto.graph.output[0].name = "x_relevance_indices"
    explained = onnxlrp.convert(proto, reduce="top=3")
    assert explained.interface.relevance_indices == {"x": "x_relevance_indices_1"}
    assert onnxlrp.Explainer(explained)(sample("NCHW", {"N": 1, "H": 3, "W": 3})).relevance_indices["x"].shape == (1, 3)


def test_each_input_by_its_name():
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> two (float[N, 4] a, float[N, 6] b) => (float[N, 2] y) '
        "<float[4, 2] v = {1, 2, 3, 4, 5, 6, 7, 8}, float[6, 2] w = {1, -2, 3, 4, -5, 6, 7, 8, 9, 1, 2, 3}> "
        "{ p = MatMul(a, v) q = MatMul(b, w) y = Add(p, q) }"
    )
    with pytest.raises(InputError, match=r"2 inputs are explained.*\{'a': 'top=2'\}"):
        onnxlrp.convert(proto, reduce="top=2")
    with pytest.raises(InputError, match="no relevance of 'c'"):
        onnxlrp.convert(proto, reduce={"c": "top=2"})
    explanation = onnxlrp.Explainer(onnxlrp.convert(proto, reduce={"b": "top=2"}))(
        {"a": np.ones((3, 4), np.float32), "b": np.ones((3, 6), np.float32)}
    )
    assert explanation.relevance["a"].shape == (3, 4)
    assert explanation.relevance["b"].shape == (3, 2)
    assert [*explanation.relevance_indices] == ["b"]
