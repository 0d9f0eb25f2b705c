"""The scale of pixels that a model's first steps tell."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime import pixel_scales
from onnxlrp.runtime.files import PREPROCESS, Preprocess, load
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.reading import open_model

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def model(steps, **constants):
    """Steps from x to h, then a pool to scores."""
    nodes = [helper.make_node(op, inputs, [output]) for op, inputs, output in steps]
    nodes += [helper.make_node("GlobalAveragePool", ["h"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    tensors = [
        numpy_helper.from_array(np.float32(value) if isinstance(value, float) else np.asarray(value), name)
        for name, value in constants.items()
    ]
    shapes = (("x", ["N", 3, 8, 8]), ("y", ["N", 3]))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    graph = helper.make_graph(nodes, "net", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def channels(values):
    return np.asarray(values, np.float32).reshape(1, 3, 1, 1)


def norm(mean, std, scale=1.0, bias=0.0):
    ones = np.ones(3, np.float32)
    scale = {"s": scale * ones, "b": bias * ones, "m": mean * ones, "v": (std * ones) ** 2}
    return model([("BatchNormalization", ["x", "s", "b", "m", "v"], "h")], **scale)


SUBTRACT_DIVIDE = [("Sub", ["x", "m"], "c"), ("Div", ["c", "s"], "h")]
QUANTISE = [("QuantizeLinear", ["x", "s", "z"], "q"), ("DequantizeLinear", ["q", "s", "z"], "h")]


@pytest.mark.parametrize(
    ("proto", "scale"),
    [
        (model(SUBTRACT_DIVIDE, m=127.0, s=128.0), "raw"),
        (model(SUBTRACT_DIVIDE, m=channels(255 * MEAN), s=channels(255 * STD)), "raw"),
        (model(SUBTRACT_DIVIDE, m=channels(MEAN), s=channels(STD)), "unit"),
        (model([("Div", ["x", "s"], "h")], s=255.0), "raw"),
        (model([("Mul", ["s", "x"], "h")], s=1 / 255), "raw"),
        (model([("Mul", ["x", "s"], "c"), ("Sub", ["c", "m"], "h")], s=255.0, m=channels(255 * MEAN)), "unit"),
        (model([("Add", ["x", "o"], "c"), ("Mul", ["c", "s"], "h")], o=1.0, s=127.5), "signed"),
        (norm(255 * MEAN, 255 * STD), "raw"),
        (norm(MEAN, STD), "unit"),
        (norm(MEAN, STD, 0.005), "unit"),  # what a layer learned says nothing of the pixels
        (norm(255 * MEAN, 255 * STD, 0.3, 2.0), "raw"),
        (norm(0.01, 0.99, 2.0, -0.8), None),
        (norm(0.4, 0.55), None),  # pixels of 0 to 1 cannot vary so much
        (norm(0.0, 1.0, 1 / 255), "raw"),  # a scale that was folded into a layer
        (model([("Mul", ["x", "s"], "h")], s=100.0), None),
        (model([("Mul", ["x", "s"], "c"), ("Add", ["c", "s"], "h")], s=0.5), "signed"),
        (model([("Mul", ["x", "s"], "c"), ("Add", ["c", "m"], "h")], s=channels(STD), m=channels(MEAN)), "imagenet"),
        (
            model([("Mul", ["x", "s"], "c"), ("Add", ["c", "m"], "h")], s=channels(255 * STD), m=channels(255 * MEAN)),
            "imagenet",
        ),
        (model(QUANTISE, s=1.0, z=np.uint8(0)), "raw"),
        (model(QUANTISE, s=1 / 255, z=np.uint8(0)), "unit"),
        (model(QUANTISE, s=2 / 255, z=np.uint8(128)), "signed"),
        (model(QUANTISE, s=4.7 / 255, z=np.uint8(114)), "imagenet"),
        (model(QUANTISE, s=1.0, z=np.int8(-128)), "raw"),
        (model(QUANTISE, s=1e-3, z=np.uint8(0)), None),
        (model([("Relu", ["x"], "h")]), None),
        (model(SUBTRACT_DIVIDE, m=0.0, s=1.0), None),
        (model([("Div", ["x", "s"], "h")], s=16.0), None),  # the 17 shades of grey of scikit-learn's digits
        (model([("Sub", ["x", "m"], "h")], m=channels([104, 117, 123])), "raw"),
    ],
)
def test_first_steps(proto, scale):
    found = pixel_scales.of_input(proto.graph, "x")
    assert (found and found.name) == scale
    if scale is not None and scale != "imagenet":
        explained = onnxlrp.convert(proto)
        assert open_model(explained).inputs["x"].pixels.name == scale


def test_the_reason_names_the_step():
    found = pixel_scales.of_input(model(SUBTRACT_DIVIDE, m=127.0, s=128.0).graph, "x")
    assert found.why == "the model itself subtracts 127 and divides by 128, at Sub 'c' and Div 'h'"


def test_a_value_that_others_read_too_ends_the_search():
    proto = model([("Sub", ["x", "m"], "c"), ("Add", ["c", "x"], "h")], m=127.0)
    assert pixel_scales.of_input(proto.graph, "x") is None


def test_pictures_are_scaled_so(tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    spec = open_model(model(SUBTRACT_DIVIDE, m=channels(MEAN), s=channels(STD))).inputs["x"]
    assert load(tmp_path / "red.png", spec).array.max() == 1
    assert load(tmp_path / "red.png", spec, PREPROCESS["raw"]).array.max() == 255
    unknown = TensorSpec("x", np.dtype(np.float32), (1, 3, 8, 8))
    assert load(tmp_path / "red.png", unknown).array.max() == 255
    assert load(tmp_path / "red.png", TensorSpec("x", np.dtype(np.uint8), (1, 3, 8, 8))).array.max() == 255


@pytest.mark.parametrize(
    ("text", "words"),
    [("123.7,116.3,103.5/58.4,57.1,57.4", r"0.4851,0.4561,0.4059/0.229,0.2239,0.2251"), ("0/255", "0/1$")],
)
def test_means_of_pixels_of_255_are_refused(text, words):
    with pytest.raises(InputError, match=f"MEAN/STD count in pixels of 0 to 1: {words}"):
        Preprocess.parse(text)


@pytest.mark.parametrize("text", ["auto", "raw", "imagenet", "0.5,0.25,0/0.5,0.25,1"])
def test_what_was_used_is_written_as_it_is_read(text):
    assert Preprocess.parse(str(Preprocess.parse(text))) == Preprocess.parse(text)


def test_results_say_what_was_used(tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(SUBTRACT_DIVIDE, m=channels(MEAN), s=channels(STD))))
    results = explainer.map({"x": tmp_path / "red.png"}, to=tmp_path / "results")
    assert results._about["preprocess"] == "unit"
    for name in ("x.npz", "x.json"):
        explainer({"x": tmp_path / "red.png"}).save(tmp_path / name)
    with np.load(tmp_path / "x.npz") as content:
        assert content["x_preprocess"] == "unit"
    assert json.loads((tmp_path / "x.json").read_text())["preprocess"] == {"x": "unit"}
