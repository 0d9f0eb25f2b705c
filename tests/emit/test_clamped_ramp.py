"""The ramp min(k/ε, 1) of a clamped denominator, as one HardSigmoid."""

from __future__ import annotations

import numpy as np
import onnx.helper
import onnx.parser

import onnxlrp
from onnxlrp.rules import Epsilon

MODEL = """
<ir_version: 10, opset_import: ["": 21]> tiny (float[N, 2] x) => (float[N, 2] y)
<float[2, 2] w = {1, 0.5, -1, 1}, float[2, 2] v = {2, -1, 1, 1}> { z = MatMul(x, w)  h = Relu(z)  y = MatMul(h, v) }
"""


def test_its_beta_is_not_zero_which_a_runtime_takes_for_the_default():
    """findings/hard_sigmoid_zero.sh: OpenVINO adds 0.5 where a file says 0."""
    rule = Epsilon(1e-6, stabiliser="clamp")
    explained = onnxlrp.convert(onnx.parser.parse_model(MODEL), "epsilon", rules=(("MatMul", rule),))
    nodes = [node for node in explained.to_proto().graph.node if node.op_type == "HardSigmoid"]
    betas = [onnx.helper.get_node_attr_value(node, "beta") for node in nodes]
    assert betas and all(0 < beta < 1e-20 for beta in betas)
    relevance = onnxlrp.Explainer(explained)({"x": np.array([[2, 1]], np.float32)}, target=0).relevance["x"]
    np.testing.assert_allclose(relevance, [[5, -1]], atol=1e-6)
