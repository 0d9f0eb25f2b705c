"""Masks of concepts: ones change nothing, single channels add up, and what a mask drops is stopped in the ledger."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from tests.oracle.compare import Explained

pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
RNG = np.random.default_rng(0)
SHAPES = {"W1": (6, 3, 3, 3), "B1": (6,), "W2": (5, 6, 3, 3), "B2": (5,), "W3": (5, 4), "B3": (4,)}
WEIGHTS = {name: RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:])) for name, shape in SHAPES.items()}
X = RNG.normal(size=(2, 3, 8, 8))
CHANNELS = {"a": 6, "b": 6, "c": 6, "d": 5, "e": 5, "f": 5, "g": 5, "y": 4}
"""Inner values of the network, from the input on, with their numbers of channels."""


def network(dtype: str = "double", pool: str = "MaxPool<kernel_shape=[3,3],strides=[2,2]>") -> onnx.ModelProto:
    """Two convolutions, a pool between them, and a dense layer."""
    text = f"""<ir_version: 10, opset_import: ["" : 21]> net ({dtype}[N,3,8,8] x) => ({dtype}[N,4] y) {{
        a = Conv<pads=[1,1,1,1]>(x, W1, B1)  b = Relu(a)  c = {pool}(b)  d = Conv<pads=[1,1,1,1]>(c, W2, B2)
        e = Relu(d)  f = GlobalAveragePool(e)  g = Flatten(f)  y = Gemm(g, W3, B3) }}"""
    proto = onnx.parser.parse_model(text)
    for name, array in WEIGHTS.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(_numpy(dtype)), name))
    return proto


def _numpy(dtype: str) -> type:
    return {"double": np.float64, "float": np.float32}[dtype]


def one(count: int, channel: int) -> np.ndarray:
    return np.eye(count)[channel : channel + 1]


COMPOSITES = [
    "lrp0",
    "epsilon",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "epsilon_gamma_box(low=-3, high=3)",
    "gradient",
    "gradient_x_input",
    "deep_lift",
    "integrated_gradients(steps=3)",
]


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("value", CHANNELS)
def test_ones_change_nothing_and_single_channels_add_up(composite, value):
    plain = Explained(network(), composite=composite).run({"x": X})["x_relevance"]
    ours = Explained(network(), composite=composite, concepts=[value])
    assert ours.interface.mask_inputs == {value: f"{value}_mask"}
    np.testing.assert_array_equal(ours.run({"x": X})["x_relevance"], plain)
    count = CHANNELS[value]
    parts = [ours.run({"x": X, f"{value}_mask": one(count, i)})["x_relevance"] for i in range(count)]
    np.testing.assert_allclose(sum(parts), plain, rtol=0, atol=1e-9 * np.abs(plain).max())


@pytest.mark.parametrize("pool", ["MaxPool<kernel_shape=[3,3],strides=[2,2]>", "ReduceMax<keepdims=1>"])
def test_a_mask_upstream_of_a_pool(pool):
    """Relevance of a max pool's input is held at its output, where a mask of channels is the same."""
    proto = network(pool=pool)
    if "Reduce" in pool:
        # The largest channel at each place: the output has no channels that the mask could choose among.
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axes"))
        proto.graph.node[2].input.append("axes")
        (narrow,) = (tensor for tensor in proto.graph.initializer if tensor.name == "W2")
        narrow.CopyFrom(onnx.numpy_helper.from_array(WEIGHTS["W2"][:, :1], "W2"))
    ours = Explained(proto, composite="epsilon", concepts=["b"], relevance_at=["b"])
    every, some = ours.run({"x": X}), ours.run({"x": X, "b_mask": np.array([[0.0, 1, 2, 0, 0, -1]])})
    scaled = every["b_relevance"] * np.array([0, 1, 2, 0, 0, -1])[:, None, None]
    np.testing.assert_allclose(some["b_relevance"], scaled, atol=1e-12)
    assert np.abs(scaled).max() > 1e-3


@pytest.mark.parametrize("composite", ["lrp0", "epsilon", "epsilon_plus_flat"])
def test_relevance_upstream_is_that_of_a_layer_that_starts_there(composite):
    """A mask on one channel: its relevance alone is carried to the input, which another seed would do too."""
    ours = Explained(network(), composite=composite, concepts=["e"], relevance_at=["e", "b"])
    mask = one(5, 3)
    found = ours.run({"x": X, "e_mask": mask})
    everything = ours.run({"x": X})
    assert np.abs(found["e_relevance"][:, [0, 1, 2, 4]]).max() == 0
    np.testing.assert_array_equal(found["e_relevance"][:, 3], everything["e_relevance"][:, 3])
    assert not np.allclose(found["b_relevance"], everything["b_relevance"])


def test_several_concepts_and_a_mask_a_sample():
    ours = Explained(network(), composite="epsilon", concepts=["b", "e"])
    masks = {"b": np.stack([np.eye(6)[1], np.ones(6)]), "e": np.stack([np.ones(5), np.eye(5)[2]])}
    both = ours.run({"x": X, **{f"{name}_mask": mask for name, mask in masks.items()}})["x_relevance"]
    for i in range(2):
        alone = {f"{name}_mask": mask[i : i + 1] for name, mask in masks.items()}
        np.testing.assert_allclose(both[i : i + 1], ours.run({"x": X[i : i + 1], **alone})["x_relevance"], atol=1e-12)


def test_several_targets():
    three = Explained(network(), composite="epsilon", concepts=["b"], targets=3)
    single = Explained(network(), composite="epsilon", concepts=["b"])
    mask = {"b_mask": one(6, 2)}
    found = three.run({"x": X, **mask, "target": np.array([[0, 1, 3]])})["x_relevance"]
    for k, target in enumerate((0, 1, 3)):
        want = single.run({"x": X, **mask, "target": np.array([target])})["x_relevance"]
        np.testing.assert_allclose(found[:, k], want, atol=1e-12)


def test_the_ledger_closes_with_what_masks_drop():
    ours = Explained(network(), composite="epsilon", concepts=["b", "e"], ledger=True)
    feeds = {"x": X, "b_mask": one(6, 2), "e_mask": np.array([[0.0, 2, 0, -1, 0]])}
    found = ours.run(feeds)
    arrives, passed, bias, epsilon, stopped = table = found["relevance_ledger"].T
    np.testing.assert_allclose(arrives, passed + bias + epsilon + stopped, atol=1e-9 * np.abs(table).max())
    seeds = found["y"].max(1).sum()
    np.testing.assert_allclose(seeds, found["x_relevance"].sum() + (bias + epsilon + stopped).sum(), rtol=1e-9)
    assert (np.abs(stopped) > 1e-6).sum() == 2
    assert np.abs(ours.run({"x": X})["relevance_ledger"][:, 4]).max() < 1e-12


def test_coefficients_pass_the_mask_too():
    names = {"concepts": ["e"], "relevance_at": ["e"], "coefficients_at": ["e"]}
    found = Explained(network(), composite="epsilon", **names).run({"x": X, "e_mask": one(5, 1)})
    np.testing.assert_allclose(found["e_coefficient"] * found["e_value"], found["e_relevance"], atol=1e-12)
    assert np.abs(found["e_coefficient"][:, 0]).max() == 0


@pytest.mark.parametrize("target_input", ["required", "none"])
def test_forms_of_the_target(target_input):
    """A required target makes masks required; without a target they stay optional."""
    proto = onnxlrp.convert(network("float"), "epsilon", concepts=["b"], target_input=target_input).to_proto()
    names, defaults = [v.name for v in proto.graph.input], {t.name for t in proto.graph.initializer}
    assert names == ["x", *(["target"] if target_input == "required" else []), "b_mask"]
    assert ("b_mask" in defaults) == (target_input == "none")
    explainer = onnxlrp.Explainer(proto)
    plain = onnxlrp.Explainer(onnxlrp.convert(network("float"), "epsilon"))
    x = X.astype(np.float32)
    np.testing.assert_array_equal(explainer(x).relevance["x"], plain(x).relevance["x"])
    assert np.abs(explainer(x, channels=2).relevance["x"] - plain(x).relevance["x"]).max() > 1e-4


def test_names_that_are_taken():
    proto = network("float")
    proto.graph.node[0].output[0] = proto.graph.node[1].input[0] = "b_mask"
    explained = onnxlrp.convert(proto, "epsilon", concepts=["b"])
    assert explained.interface.mask_inputs == {"b": "b_mask_1"}


def test_the_body_of_a_model_of_words():
    """The last product of one token's score is narrowed to it, unless a mask lies there."""
    text = """<ir_version: 10, opset_import: ["" : 21]> net (double[N,T,3] x) => (double[N,T,4] y) {
        h = MatMul(x, V)  r = Relu(h)  y = MatMul(r, U) }"""
    proto = onnx.parser.parse_model(text)
    for name, shape in (("V", (3, 6)), ("U", (6, 4))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(RNG.normal(size=shape), name))
    x = {"x": RNG.normal(size=(2, 5, 3))}
    plain = Explained(proto, composite="epsilon", target="token").run(x)["x_relevance"]
    for value, count in (("r", 6), ("y", 4)):
        ours = Explained(proto, composite="epsilon", target="token", concepts=[value])
        parts = [ours.run({**x, f"{value}_mask": one(count, i)})["x_relevance"] for i in range(count)]
        np.testing.assert_allclose(ours.run(x)["x_relevance"], plain, atol=1e-12)
        np.testing.assert_allclose(sum(parts), plain, atol=1e-12)
