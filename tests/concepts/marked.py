"""A model that sums pixels, and pictures of it, some with a mark that outweighs all else."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser


def model() -> onnx.ModelProto:
    """Scores of two classes for pictures [N, 1, 12, 12]: the sum of the upper half, and that of the lower."""
    text = """<ir_version: 10, opset_import: ["" : 21]> net (float[N,1,12,12] image) => (float[N,2] scores) {
        c = Conv(image, W)  r = Relu(c)  f = Flatten(r)  scores = MatMul(f, V) }"""
    proto = onnx.parser.parse_model(text)
    weights = np.zeros((144, 2), np.float32)
    weights[:72, 0] = weights[72:, 1] = 1
    for name, array in (("W", np.ones((1, 1, 1, 1), np.float32)), ("V", weights)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def pictures(count: int, is_marked: np.ndarray, seed: int = 0) -> np.ndarray:
    """Pictures with a blob that lies anywhere in the upper half, and a mark in a corner of some."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.1, (count, 1, 12, 12)).astype(np.float32)
    for image in images:
        down, along = rng.integers(0, 4), rng.integers(0, 10)
        image[0, down : down + 3, along : along + 3] += 1
    images[is_marked, 0, :2, :2] = 30
    return images
