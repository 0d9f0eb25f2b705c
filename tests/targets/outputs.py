"""Models with outputs of many elements: a detector, a segmentation, a series of forecasts, and their like."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

NAMES = {"float32": "float", "float64": "double", "float16": "float16"}
"""Types of numpy and what ONNX's text calls them."""


def build(text: str, dtype: str = "float32", **weights: tuple[int, ...]) -> onnx.ModelProto:
    """A model of this text, whose FLOAT is `dtype`, with random weights of these shapes."""
    text = text.replace("FLOAT", NAMES[dtype])
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {text}')
    rng = np.random.default_rng(4)
    for name, shape in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(dtype), name))
    return proto


def detector(batch: str = "N", dtype: str = "float32", boxes: int | str = 16) -> onnx.ModelProto:
    """[N, 4 + classes, boxes]: four numbers and three classes for each of 16 places."""
    text = f"""detect (FLOAT[{batch}, 2, 4, 4] image) => (FLOAT[{batch}, 7, {boxes}] found) {{
        h = Conv <pads = [1, 1, 1, 1]> (image, w, b)
        a = Relu (h)
        map = Conv (a, v, c)
        flat = Constant <value_ints = [0, 7, -1]> ()
        found = Reshape (map, flat)
    }}"""
    return build(text, dtype, w=(5, 2, 3, 3), b=(5,), v=(7, 5, 1, 1), c=(7,))


def segmentation(dtype: str = "float32") -> onnx.ModelProto:
    """[N, classes, height, width], behind a sigmoid."""
    text = """segment (FLOAT[N, 2, 4, 5] image) => (FLOAT[N, 3, 4, 5] masks) {
        h = Conv <pads = [1, 1, 1, 1]> (image, w, b)
        a = Relu (h)
        map = Conv (a, v, c)
        masks = Sigmoid (map)
    }"""
    return build(text, dtype, w=(4, 2, 3, 3), b=(4,), v=(3, 4, 1, 1), c=(3,))


def series(dtype: str = "float32") -> onnx.ModelProto:
    """[N, steps]: a forecast of six steps."""
    text = """forecast (FLOAT[N, 4] past) => (FLOAT[N, 6] future) {
        h = Gemm (past, w, b)
        a = Relu (h)
        future = Gemm (a, v, c)
    }"""
    return build(text, dtype, w=(4, 5), b=(5,), v=(5, 6), c=(6,))


def sequence(dtype: str = "float32") -> onnx.ModelProto:
    """[N, T, V], with a length that is known at run time only."""
    text = """speak (FLOAT[N, T, 4] words) => (FLOAT[N, T, 6] scores) {
        h = MatMul (words, w)
        a = Relu (h)
        scores = MatMul (a, v)
    }"""
    return build(text, dtype, w=(4, 5), v=(5, 6))


def one_sample(dtype: str = "float32") -> onnx.ModelProto:
    """[C], without a batch axis."""
    return build("one (FLOAT[4] x) => (FLOAT[3] y) { y = MatMul (x, w) }", dtype, w=(4, 3))


SHAPES = {
    "detector": (detector, {"image": (3, 2, 4, 4)}),
    "segmentation": (segmentation, {"image": (3, 2, 4, 5)}),
    "series": (series, {"past": (3, 4)}),
    "sequence": (sequence, {"words": (3, 2, 4)}),
    "one sample": (one_sample, {"x": (4,)}),
}


def data(name: str, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Random inputs of a model of SHAPES."""
    rng = np.random.default_rng(1)
    return {key: rng.normal(size=shape).astype(dtype) for key, shape in SHAPES[name][1].items()}
