"""`memory="low"`: relevance is computed for some samples at a time, and is that of the whole batch."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.finish import in_slices
from tests import bundled
from tests.finish import written_models
from tests.finish.written_models import parsed

ort = pytest.importorskip("onnxruntime")

CNN = """<ir_version: 10, opset_import: ["": 17]>
net (float[N, 2, 8, 8] x) => (float[N, 3] y)
<float[4, 2, 3, 3] k, float[4] b, float[3, 64] w, int64[2] shape = {-1, 64}> {
    h = Conv <pads = [1, 1, 1, 1]> (x, k, b)
    r = Relu (h)
    p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
    f = Reshape (p, shape)
    y = Gemm <transB = 1> (f, w)
}"""
COUPLED = """<ir_version: 10, opset_import: ["": 18]>
net (float[N, 4] x) => (float[N, 3] y) <float[4, 3] w, int64[1] axes = {0}> {
    m = ReduceMean <keepdims = 1> (x, axes)
    c = Sub (x, m)
    y = MatMul (c, w)
}"""
RECURRENT = """<ir_version: 10, opset_import: ["": 17]>
net (float[N, 7, 4] x) => (float[N, 3] y) <float[1, 9, 4] w, float[1, 9, 3] r, int64[1] axes = {0}> {
    t = Transpose <perm = [1, 0, 2]> (x)
    all, last = GRU <hidden_size = 3> (t, w, r)
    y = Squeeze (last, axes)
}"""
ROUNDED = """<ir_version: 10, opset_import: ["": 17]>
net (float[N, 4] x) => (float[N, 3] y) <int8[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float step = {0.1}> {
    q, scale, zero = DynamicQuantizeLinear (x)
    z = MatMulInteger (q, w, zero)
    f = Cast <to = 1> (z)
    s = Mul (scale, step)
    y = Mul (f, s)
}"""
QUANTISED = """<ir_version: 10, opset_import: ["": 17]>
net (float[N, 4] x) => (float[N, 3] y)
<int8[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, -10, 11, 12}, float step = {0.1}, uint8 zero = {128}, int8 none = {0}> {
    q = QuantizeLinear (x, step, zero)
    z = QLinearMatMul (q, step, zero, w, step, none, step, zero)
    y = DequantizeLinear (z, step, zero)
}"""
STEPS_FIRST = """<ir_version: 10, opset_import: ["": 17]>
net (float[7, N, 4] x) => (float[N, 3] y) <float[1, 9, 4] w, float[1, 9, 3] r, int64[1] axes = {0}> {
    all, last = GRU <hidden_size = 3> (x, w, r)
    y = Squeeze (last, axes)
}"""


def run(model: onnx.ModelProto, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    return written_models.run(model, feeds)


def pictures(samples: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(samples, 2, 8, 8)).astype(np.float32)


@pytest.fixture(params=[1, 9_000], ids=["one sample", "some samples"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of one sample, and of three or four of the models here."""
    monkeypatch.setattr(in_slices, "BYTES", request.param)


OPTIONS = [
    {},
    {"ledger": True},
    {"targets": 2},
    {"target": "weights"},
    {"reduce": "grid=4+top=3"},
    {"relevance_at": ["r"], "coefficients_at": ["p"], "values_at": ["h"]},
    {"concepts": ["r"]},
    {"on_demand": True},
    {"composite": "deep_lift"},
    {"composite": "integrated_gradients(steps=3)"},
]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("samples", [0, 1, 7])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_outputs_are_those_of_the_whole_batch(options: dict, samples: int) -> None:
    model, x = parsed(CNN), pictures(samples)
    whole = run(onnxlrp.convert(model, **options).to_proto(), x=x)
    sliced = run(onnxlrp.convert(model, **options, memory="low").to_proto(), x=x)
    assert list(sliced) == list(whole)
    for name, value in whole.items():
        assert sliced[name].dtype == value.dtype
        np.testing.assert_allclose(sliced[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(("options", "feeds"), [
    ({}, {"target": np.array([2])}),
    ({}, {"target": np.array([2, 0, 1, -1, 1, 0, 2])}),
    ({"targets": 2}, {"target": np.array([[2, 0]])}),
    ({"target": "weights"}, {"y_weights": np.array([[1, -1, 0]], np.float32)}),
    ({"target": "weights"}, {"y_weights": np.eye(7, 3, dtype=np.float32)}),
    ({"concepts": ["r"]}, {"r_mask": np.array([[1, 0, 1, 0]], np.float32)}),
    ({"concepts": ["r"]}, {"r_mask": np.eye(7, 4, dtype=np.float32)}),
], ids=str)  # fmt: skip
def test_a_choice_holds_for_all_samples_or_for_each(options: dict, feeds: dict) -> None:
    model, x = parsed(CNN), pictures(7)
    whole = run(onnxlrp.convert(model, **options).to_proto(), x=x, **feeds)
    sliced = run(onnxlrp.convert(model, **options, memory="low").to_proto(), x=x, **feeds)
    np.testing.assert_allclose(sliced["x_relevance"], whole["x_relevance"], rtol=1e-4, atol=1e-6)


def test_separate_samples_are_computed_once() -> None:
    explained = onnxlrp.convert(parsed(CNN), memory="low")
    assert [node.op_type for node in explained.to_proto().graph.node].count("Conv") == 0
    assert "samples at a time" in explained.notes[-1] and "after" not in explained.notes[-1]


@pytest.mark.usefixtures("few")
def test_a_batch_that_moves_is_computed_as_a_whole_and_then_in_slices() -> None:
    model, x = parsed(RECURRENT), np.random.default_rng(1).normal(size=(5, 7, 4)).astype(np.float32)
    explained = onnxlrp.convert(model, memory="low")
    assert explained.notes[-1].endswith("after the model's own outputs for all of them")
    sliced, whole = run(explained.to_proto(), x=x), run(onnxlrp.convert(model).to_proto(), x=x)
    np.testing.assert_array_equal(sliced["y"], run(model, x=x)["y"])
    np.testing.assert_allclose(sliced["x_relevance"], whole["x_relevance"], rtol=1e-4, atol=1e-6)


def test_samples_that_depend_on_each_other_have_no_relevance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_slices, "BYTES", 1)
    model, x = parsed(COUPLED), np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    sliced = run(onnxlrp.convert(model, memory="low").to_proto(), x=x)
    np.testing.assert_array_equal(sliced["y"], run(model, x=x)["y"])
    assert np.isnan(sliced["x_relevance"]).all()


def test_slices_hold_as_many_samples_as_memory_allows() -> None:
    (note,) = [note for note in onnxlrp.convert(parsed(CNN), memory="low").notes if note.startswith("memory")]
    count = int(note.split("up to ")[1].split()[0].replace(",", ""))
    sample = in_slices.BYTES / count
    assert 4 * (64 * 4 * 2) < sample < 40 * 4 * 64 * 4


def test_a_batch_that_the_model_fixes_is_refused() -> None:
    with pytest.raises(InputError, match=r"a batch of any size on axis 0; the model has x \[7, N, 4\]"):
        onnxlrp.convert(parsed(STEPS_FIRST), memory="low")


def test_inner_values_that_do_not_count_samples_are_refused() -> None:
    model = parsed(
        CNN.replace("p = MaxPool", "q = Transpose <perm = [1, 0, 2, 3]> (r)\n    n = Neg (q)\n    p = MaxPool")
    )
    model.graph.output.append(helper.make_tensor_value_info("n", 1, None))
    with pytest.raises(InputError, match="does not count the same samples"):
        onnxlrp.convert(model, memory="low", values_at=["q"])


def test_samples_that_are_rounded_together_are_refused() -> None:
    model = parsed(ROUNDED)
    with pytest.raises(InputError, match=r"DynamicQuantizeLinear '\w+' rounds all samples of a batch together"):
        onnxlrp.convert(model, memory="low")


@pytest.mark.usefixtures("few")
def test_a_quantised_model_keeps_its_bits() -> None:
    model, x = parsed(QUANTISED), np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    explained = onnxlrp.convert(model, memory="low").to_proto()
    sliced, whole = run(explained, x=x), run(onnxlrp.convert(model).to_proto(), x=x)
    np.testing.assert_array_equal(sliced["y"], run(model, x=x)["y"])
    np.testing.assert_allclose(sliced["x_relevance"], whole["x_relevance"], rtol=1e-4, atol=1e-6)


def test_the_portable_profile_has_no_slices() -> None:
    with pytest.raises(InputError, match="profile 'portable'"):
        onnxlrp.convert(parsed(CNN), memory="low", profile="portable")


def test_an_unknown_memory_is_refused() -> None:
    with pytest.raises(InputError, match="memory is one of 'normal', 'low', not 'lo'"):
        onnxlrp.convert(parsed(CNN), memory="lo")  # type: ignore[arg-type]


def test_the_explainer_takes_it_as_any_file() -> None:
    path = bundled.MODELS / "digits_cnn" / "digits_cnn.dynamo.onnx"
    with np.load(path.with_name("samples.npz")) as held:
        x = held["image"][:5]
    whole, sliced = (onnxlrp.Explainer(onnxlrp.convert(path, memory=m))(x) for m in ("normal", "low"))
    np.testing.assert_allclose(sliced.relevance["image"], whole.relevance["image"], rtol=1e-4, atol=1e-6)
