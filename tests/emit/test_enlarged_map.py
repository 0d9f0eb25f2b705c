"""Class activation maps against their formulas in numpy, from the value and its gradient."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import onnxlrp
from onnxlrp import composites
from onnxlrp.errors import InputError, NothingToExplainError
from tests.oracle.compare import Explained

Array = np.ndarray
RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 2, 9, 7))
PLAIN = """c = Conv<pads=[1, 1, 1, 1]>(x, w) d = Relu(c) p = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(d)
    e = Conv(p, u) f = Tanh(e) g = GlobalAveragePool(f) h = Flatten(g) y = MatMul(h, v)"""
WEIGHTS = {"w": (4, 2, 3, 3), "u": (5, 4, 2, 2), "v": (5, 3)}


def model(body: str, weights: dict[str, tuple[int, ...]], x: str = "double[N, 2, 9, 7] x", y: str = "double[N, 3] y"):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> g ({x}) => ({y}) {{ {body} }}')
    rng = np.random.default_rng(3)
    proto.graph.initializer.extend(
        numpy_helper.from_array(rng.normal(size=shape), name) for name, shape in weights.items()
    )
    return proto


def enlarged(array: Array, axis: int, size: int) -> Array:
    """Interpolate along an axis at the places (i + ½)·length/size − ½."""
    places = (np.arange(size) + 0.5) * array.shape[axis] / size - 0.5
    return np.apply_along_axis(lambda row: np.interp(places, np.arange(len(row)), row), axis, array)


def expected(proto: onnx.ModelProto, layer: str, name: str, x: Array, sizes: tuple[int, ...], **extra) -> Array:
    """The map [N, *sizes] of a value [N, C, ...], from its gradient."""
    shown = onnx.shape_inference.infer_shapes(proto)
    shown.graph.output.extend(v for v in shown.graph.value_info if v.name == layer)
    ours = Explained(shown, composite="gradient", relevance_at=[layer])
    outputs = ours.run({"x": x}, **extra)
    value, gradient = outputs[layer], outputs[ours.interface.relevance_at[layer]]
    space = tuple(range(2, value.ndim))
    weights = gradient.mean(space, keepdims=True) if name == "grad_cam" else np.maximum(gradient, 0)
    found = np.maximum((weights * value).sum(1), 0)
    for axis, size in enumerate(sizes, 1):
        found = enlarged(found, axis, size)
    return found


def close(ours: Array, theirs: Array) -> None:
    assert theirs.any()
    np.testing.assert_allclose(ours, np.broadcast_to(theirs, ours.shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["grad_cam", "layer_cam"])
@pytest.mark.parametrize("layer", [None, "c", "d", "p", "e", "f"])
def test_the_map_of_a_layer(name, layer):
    """By default that of the last convolution; every channel of the input holds it."""
    proto = model(PLAIN, WEIGHTS)
    composite = name if layer is None else f"{name}(layer={layer!r})"
    ours = Explained(proto, composite=composite).relevance({"x": X}, target=[1])["x"]
    close(ours, expected(proto, layer or "e", name, X, (9, 7), target=[1])[:, None])


@pytest.mark.parametrize("name", ["grad_cam", "layer_cam"])
def test_several_targets(name):
    ours = Explained(model(PLAIN, WEIGHTS), composite=name, targets=2).relevance({"x": X}, target=[[0, 2]])["x"]
    assert ours.shape == (3, 2, *X.shape[1:])
    for place, target in enumerate((0, 2)):
        close(ours[:, place], expected(model(PLAIN, WEIGHTS), "e", name, X, (9, 7), target=[target])[:, None])


def test_channels_come_last():
    """The map lies on the axes of the input, whatever their order."""
    body = f"x = Transpose<perm=[0, 3, 1, 2]>(z) {PLAIN}"
    ours = Explained(model(body, WEIGHTS, "double[N, 9, 7, 2] z"), composite="grad_cam")
    found = ours.relevance({"z": X.transpose(0, 2, 3, 1)}, target=[1])["z"]
    close(found, expected(model(PLAIN, WEIGHTS), "e", "grad_cam", X, (9, 7), target=[1])[..., None])


def test_a_picture_on_its_side_without_channels():
    """Axes are added and turned on the way to the convolution: width comes first here."""
    body = f"a = Unsqueeze(z, one) x = Transpose<perm=[0, 1, 3, 2]>(a) {PLAIN}"
    proto = model(body, {**WEIGHTS, "w": (4, 1, 3, 3)}, "double[N, 7, 9] z")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    x = X[:, :1]
    found = Explained(proto, composite="grad_cam").relevance({"z": x[:, 0].transpose(0, 2, 1)}, target=[1])["z"]
    plain = model(PLAIN, {**WEIGHTS, "w": (4, 1, 3, 3)}, "double[N, 1, 9, 7] x")
    close(found, expected(plain, "e", "grad_cam", x, (9, 7), target=[1]).transpose(0, 2, 1))


def test_a_value_with_channels_last():
    """A value is taken in the layout of the convolution upstream of it."""
    body = PLAIN.replace(
        "f = Tanh(e)", "k = Transpose<perm=[0, 2, 3, 1]>(e) l = Tanh(k) f = Transpose<perm=[0, 3, 1, 2]>(l)"
    )
    found = Explained(model(body, WEIGHTS), composite="layer_cam(layer='l')").relevance({"x": X}, target=[1])["x"]
    close(found, expected(model(PLAIN, WEIGHTS), "f", "layer_cam", X, (9, 7), target=[1])[:, None])


def test_one_axis():
    body = "c = Conv(x, w) d = Relu(c) g = GlobalAveragePool(d) h = Flatten(g) y = MatMul(h, v)"
    proto = model(body, {"w": (5, 2, 3), "v": (5, 3)}, "double[N, 2, 9] x")
    x = X[..., 0]
    found = Explained(proto, composite="grad_cam(layer='c')").relevance({"x": x}, target=[0])["x"]
    close(found, expected(proto, "c", "grad_cam", x, (9,), target=[0])[:, None])
    with pytest.raises(InputError, match="no convolution over two axes lies upstream of the score"):
        onnxlrp.convert(proto, "grad_cam")


def test_a_gate_and_a_head_of_single_places_do_not_count():
    """Convolutions of what is pooled already have no map; a gate leads past the convolution that it weighs."""
    body = """c = Conv(x, w) q = GlobalAveragePool(c) r = Conv(q, k) s = Sigmoid(r) d = Mul(s, c)
        g = GlobalAveragePool(d) e = Conv(g, u) y = Flatten(e)"""
    proto = model(body, {"w": (4, 2, 3, 3), "k": (4, 4, 1, 1), "u": (3, 4, 1, 1)})
    found = Explained(proto, composite="grad_cam").relevance({"x": X}, target=[2])["x"]
    close(found, expected(proto, "c", "grad_cam", X, (9, 7), target=[2])[:, None])
    found = Explained(proto, composite="grad_cam(layer='d')").relevance({"x": X}, target=[2])["x"]
    close(found, expected(proto, "d", "grad_cam", X, (9, 7), target=[2])[:, None])


def test_a_second_input_that_the_map_does_not_fit():
    body = PLAIN.replace("y = MatMul(h, v)", "m = MatMul(h, v) y = Add(m, t)")
    proto = model(body, WEIGHTS, "double[N, 2, 9, 7] x, double[N, 3] t")
    explained = onnxlrp.convert(proto, "grad_cam")
    assert list(explained.interface.relevance) == ["x"]
    assert any("the map has no place on t," in note for note in explained.notes)
    with pytest.raises(InputError, match="cannot be followed to those of t through"):
        onnxlrp.convert(proto, "grad_cam", inputs=["x", "t"])


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("nothing", "the model has no inner value 'nothing'"),
        ("h", "cannot be followed to those of x"),
        ("y", "does not lie between an explained input and the score"),
        ("other", "does not lie between an explained input and the score"),
    ],
)
def test_layers_without_a_map(layer, said):
    proto = model(f"{PLAIN} other = Conv(x, w)", WEIGHTS, y="double[N, 3] y, double[N, 4, 7, 5] other")
    with pytest.raises(InputError, match=said):
        onnxlrp.convert(proto, composites.GradCam(layer))


def test_a_layer_that_the_gradient_does_not_reach():
    proto = model(PLAIN.replace("y = MatMul(h, v)", "i = Cast<to=7>(h) j = Cast<to=11>(i) y = MatMul(j, v)"), WEIGHTS)
    with pytest.raises(NothingToExplainError, match="does not reach 'e'"):
        onnxlrp.convert(proto, "grad_cam")


def test_the_name_of_a_layer_is_text():
    with pytest.raises(InputError, match="layer is the name of an inner value, not 3"):
        composites.parse("grad_cam(layer=3)")


def test_the_plan_ends_at_the_layer():
    plan = onnxlrp.inspect(model(PLAIN, WEIGHTS), "grad_cam")
    assert [row.operator for row in plan.rows()] == ["MatMul", "Flatten", "GlobalAveragePool", "Tanh"]
    assert not plan.stopped
    assert "the map is max(0, the sum over the channels of 'e', weighted by the mean of the gradient" in str(plan)


def test_operators_upstream_of_the_layer_need_no_rule():
    """The way back does not go there, and nothing is computed for it."""
    explained = onnxlrp.convert(model(PLAIN, WEIGHTS), "grad_cam").to_proto()
    transposed = [n.op_type for n in explained.graph.node if n.op_type == "ConvTranspose"]
    assert not transposed


@pytest.mark.parametrize("text", ["grad_cam", "layer_cam", "grad_cam(layer='/features/conv3')"])
def test_texts_and_files_are_read_again(text, tmp_path):
    assert str(composites.parse(text)) == text
    (tmp_path / "own.toml").write_text(f'composite = "{text}"')
    overridden = composites.parse(tmp_path / "own.toml")
    assert isinstance(overridden, composites.Overridden) and overridden.base == composites.parse(text)
