"""Explanations of several batches as one."""

from __future__ import annotations

import numpy as np
import onnx.parser

import onnxlrp
from onnxlrp.runtime.joined import join

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[2, 2] x) => (float[2, 2] y) <float[2, 2] w = {1.0, -2.0, 0.5, 1.0}> { h = MatMul(x, w) y = Relu(h) }
"""


def test_batches_of_a_fixed_size_become_one():
    proto = onnx.parser.parse_model(MODEL)
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "lrp0", coefficients_at=["h"], relevance_at=["h"]))
    x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    one = join(list(explainer.map(x)))
    parts = [explainer(x[start : start + 2]) for start in (0, 2, 4)]
    for name in ("relevance_at", "coefficients_at", "values_at"):
        whole = np.concatenate([getattr(part, name)["h"] for part in parts])
        np.testing.assert_array_equal(getattr(one, name)["h"], whole)
    np.testing.assert_array_equal(one.coefficients_at["h"] * one.values_at["h"], one.relevance_at["h"])
