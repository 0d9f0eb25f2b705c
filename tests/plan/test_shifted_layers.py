"""A dense layer upstream of a kernel shares out its change from the reference, as the kernel does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp

rng = np.random.default_rng(0)
WEIGHT = rng.normal(size=(4, 3)).astype(np.float32)
VECTORS, COEFFICIENTS = rng.normal(size=(6, 3)), rng.normal(size=6)
ROWS, X = (rng.normal(size=(n, 4)).astype(np.float32) for n in (30, 8))


def machine(offset: np.ndarray, scale: float = 1.0) -> onnx.ModelProto:
    """SVR(W·(x − offset) / scale + 1), support vectors divided and shifted alike."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="pca"),
        helper.make_node("Div", ["h", "scale"], ["d"]),
        helper.make_node("Add", ["d", "one"], ["z"]),
        helper.make_node(
            "SVMRegressor", ["z"], ["y"], domain="ai.onnx.ml", kernel_type="RBF", n_supports=6, rho=[0.2],
            kernel_params=[0.3 * scale**2, 0.0, 3.0], coefficients=COEFFICIENTS.tolist(),
            support_vectors=(VECTORS / scale + 1).ravel().tolist(),
        ),
    ]  # fmt: skip
    constants = {"w": WEIGHT, "b": -offset.astype(np.float32) @ WEIGHT}
    constants |= {"scale": np.float32([scale]), "one": np.float32([1])}
    graph = helper.make_graph(
        nodes,
        "pipeline",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def relevance(offset: np.ndarray, scale: float = 1.0, rule: str = "Epsilon") -> np.ndarray:
    rules = [("Gemm", f"{rule}()")]
    explained = onnxlrp.convert(machine(offset, scale), rules=rules, background=ROWS + offset, ledger=True)
    found = onnxlrp.Explainer(explained)({"x": (X + offset).astype(np.float32)})
    assert np.abs(found.ledger.gaps).max() < 1e-5
    return found.relevance["x"]


@pytest.mark.parametrize("rule", ["Epsilon", "LRP0"])
@pytest.mark.parametrize("scale", [1.0, 2.5])
@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
def test_where_the_data_lie_does_not_matter(scale, rule):
    still, moved = relevance(np.zeros(4)), relevance(np.array([3.0, -2.0, 1.0, 5.0]), scale, rule)
    np.testing.assert_allclose(moved, still, rtol=2e-2, atol=2e-3)


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
def test_a_sample_at_the_reference_has_no_relevance():
    explained = onnxlrp.convert(machine(np.ones(4)), background=ROWS)
    found = onnxlrp.Explainer(explained)({"x": ROWS.mean(0, keepdims=True)})
    np.testing.assert_allclose(found.relevance["x"], 0, atol=1e-6)
    assert "its change from the mean of the background" in str(explained.plan)
    assert "its change from" not in str(onnxlrp.convert(machine(np.ones(4))).plan)
