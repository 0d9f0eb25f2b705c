"""A study of channels: sums per channel, rankings, reference samples, regions, and a sheet of pictures."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from tests.concepts import marked
from tests.emit.test_concept_masks import network

pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
X = np.random.default_rng(0).normal(size=(9, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def study():
    return onnxlrp.concepts_of(network("float"), {"x": X}, composite="epsilon", batch_size=4)


@pytest.fixture(scope="module")
def plain():
    options = {"relevance_at": ["d"], "values_at": ["d"]}
    return onnxlrp.Explainer(onnxlrp.convert(network("float"), "epsilon", **options))(X)


def test_sums_over_places(study, plain):
    """The default is the last convolution's output, before its ReLU."""
    assert study.layer == "d" and study.relevance.shape == study.activation.shape == (9, 5)
    np.testing.assert_allclose(study.relevance, plain.relevance_at["d"].sum((2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(study.activation, plain.values_at["d"].sum((2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(study.target, plain.target)
    np.testing.assert_allclose(study.score, plain.score, rtol=1e-6)
    np.testing.assert_allclose(np.abs(study.shares["relevance"]).sum(1), 1)
    assert study.names == tuple("012345678") and study.name_of(1) == "class 1"


def test_rankings(study):
    shares = study.shares["relevance"]
    ranked = study.ranking(sample=3, count=2, references=4)
    assert [one.channel for one in ranked] == np.argsort(-shares[3])[:2].tolist()
    best = ranked[0].channel
    assert ranked[0].share == pytest.approx(shares[3].max())
    assert list(ranked[0].by_relevance) == np.argsort(-shares[:, best])[:4].tolist()
    assert list(ranked[0].by_activation) == np.argsort(-study.shares["activation"][:, best])[:4].tolist()
    target = int(study.target[0])
    mean = shares[study.target == target].mean(0)
    assert study.ranking(target=target)[0].channel == mean.argmax()
    np.testing.assert_allclose(study.by_class()[target], mean)


def test_conditional_maps_of_single_samples(study):
    every, place = study.explanation(5)
    parts = [study.explanation(5, channel)[0].relevance["x"] for channel in range(5)]
    assert place == 0
    np.testing.assert_allclose(sum(parts), every.relevance["x"], atol=1e-5)


def test_relevance_beside_a_branch_is_taken_out():
    """The shortcut of a residual block passes beside its convolution: the maps of channels are without it."""
    text = """<ir_version: 10, opset_import: ["" : 21]> net (float[N,3,8,8] x) => (float[N,4] y) {
        a = Conv<pads=[1,1,1,1]>(x, W1)  b = Relu(a)  c = Conv<pads=[1,1,1,1]>(b, W2)  d = Add(b, c)  e = Relu(d)
        f = GlobalAveragePool(e)  g = Flatten(f)  y = Gemm(g, W3) }"""
    proto, rng = onnx.parser.parse_model(text), np.random.default_rng(0)
    for name, shape in (("W1", (6, 3, 3, 3)), ("W2", (6, 6, 3, 3)), ("W3", (6, 4))):
        array = (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    study = onnxlrp.concepts_of(proto, X, composite="epsilon")
    assert study.layer == "c" and study.passes_beside
    every = study.explanation(2, range(6))[0].relevance["x"]
    parts = [study.explanation(2, channel)[0].relevance["x"] for channel in range(6)]
    np.testing.assert_allclose(sum(parts), every, atol=1e-5)
    plain = study.explanation(2)[0].relevance["x"]
    assert np.abs(plain - every).max() > 1e-3
    found = study.by_region(np.zeros((8, 8), int), count=6)
    assert abs(found.shares.sum() - found.whole.sum()) > 1e-3
    assert not onnxlrp.concepts_of(proto, X, layer="d", composite="epsilon").passes_beside


def test_regions(study):
    regions = np.zeros((8, 8), int)
    regions[:, 4:] = 1
    found = study.by_region(regions, count=5)
    assert found.shares.shape == (5, 2) and sorted(found.channels) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.shares.sum(0), found.whole, atol=1e-6)
    each = study.by_region(np.repeat(regions[None], 9, axis=0), count=5)
    np.testing.assert_allclose(each.shares, found.shares)
    with pytest.raises(InputError, match=r"regions \[3, 3\] do not fit the pictures \[9, 8, 8\]"):
        study.by_region(np.zeros((3, 3), int))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.ranking(sample=9), "there are the samples 0 to 8, not 9"),
        (lambda s: s.ranking(target=17), "no sample is explained for class 17"),
        (lambda s: s.references(5), "'d' has the channels 0 to 4, not 5"),
        (lambda s: s.references(0, "relevanse"), "not 'relevanse' .did you mean 'relevance'"),
        (lambda s: s.plot("sheet.gif"), "not as 'sheet.gif'"),
    ],
)
def test_what_there_is_not(study, ask, message):
    with pytest.raises(InputError, match=message):
        ask(study)


def test_a_model_without_convolutions():
    head = '<ir_version: 10, opset_import: ["" : 21]> net (float[N, 3] x) => (float[N, 2] y)'
    proto = onnx.parser.parse_model(head + " { h = MatMul(x, W) y = Relu(h) }")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "W"))
    with pytest.raises(InputError, match="no convolution with several places: name an inner value by layer="):
        onnxlrp.concepts_of(proto, np.ones((4, 3), np.float32))
    study = onnxlrp.concepts_of(proto, np.eye(4, 3, dtype=np.float32), layer="h")
    assert study.relevance.shape == (4, 2)
    with pytest.raises(InputError, match="a sheet of concepts is of pictures"):
        study.plot()


@pytest.mark.parametrize("about", [{"sample": 2}, {"target": 0}, {}])
def test_sheet(tmp_path, about):
    pytest.importorskip("matplotlib")
    images = marked.pictures(8, np.arange(8) < 2)
    study = onnxlrp.concepts_of(marked.model(), images, layer="r")
    figure = study.plot(tmp_path / "sheet.png", **about, references=3)
    assert (tmp_path / "sheet.png").stat().st_size > 5000
    # a label; the picture and its map where a sample is asked about; three references of each kind
    assert len(figure.axes) == 1 + (2 if "sample" in about else 0) + 6
