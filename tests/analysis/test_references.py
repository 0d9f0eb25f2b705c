"""What a kernel is explained against: background rows, the mean that a scaler takes off, or the kernel's own rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError
from tests.operators.case import onnxruntime

Array = np.ndarray
RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(6, 3)).astype(np.float32)
WEIGHTS = RNG.normal(size=6).astype(np.float32)
OFFSET, SCALE = np.array([5.0, -2.0, 1.0], np.float32), np.array([0.5, 2.0, 1.0], np.float32)
X = (OFFSET + RNG.normal(size=(4, 3)) / SCALE).astype(np.float32)
ROWS = (OFFSET + RNG.normal(size=(9, 3)) / SCALE + 0.3).astype(np.float32)
GAMMA = 0.4


def machine(before: list[onnx.NodeProto], vectors: Array = VECTORS, **tensors: Array) -> onnx.ModelProto:
    """A support vector regressor behind some nodes, the last of which makes `h`."""
    node = helper.make_node(
        "SVMRegressor",
        ["h" if before else "x"],
        ["y"],
        domain="ai.onnx.ml",
        kernel_type="RBF",
        kernel_params=[GAMMA, 0.0, 0.0],
        coefficients=WEIGHTS.tolist(),
        support_vectors=vectors.ravel().tolist(),
        n_supports=6,
        rho=[0.25],
    )
    graph = helper.make_graph(
        [*before, node],
        "machine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(v, k) for k, v in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def scaler(offset: Array = OFFSET) -> onnx.NodeProto:
    attributes = {"offset": offset.tolist(), "scale": SCALE.tolist()}
    return helper.make_node("Scaler", ["x"], ["h"], domain="ai.onnx.ml", **attributes)


def score(h: Array, vectors: Array = VECTORS) -> Array:
    return np.exp(-GAMMA * ((h[:, None] - vectors) ** 2).sum(-1)) @ WEIGHTS + 0.25


def check(source: onnx.ModelProto, base: float, said: str, **options: Any) -> Array:
    """The sum is what the score is above that of the reference, which the plan names."""
    converted = onnxlrp.convert(source, ledger=True, **options)
    assert said in "\n".join(step.why for step in converted.plan.steps)
    found = onnxruntime(converted.to_proto())({"x": X})
    np.testing.assert_allclose(found["x_relevance"].sum(1), found["y"][:, 0] - base, atol=2e-6)
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-5)
    return found["x_relevance"]


def test_own_rows():
    mean = VECTORS.mean(0, keepdims=True)
    check(machine([]), score(mean)[0], "the mean of the kernel's own rows")


def test_scaler():
    """As an operator, and as a difference and a product."""
    base = score(np.zeros((1, 3)))[0]
    one = check(machine([scaler()]), base, "the scaler upstream")
    nodes = [helper.make_node("Sub", ["x", "m"], ["d"]), helper.make_node("Mul", ["d", "s"], ["h"])]
    other = check(machine(nodes, m=OFFSET, s=SCALE), base, "the scaler upstream")
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_scaler_that_takes_off_a_minimum():
    """All vectors lie on one side of it: it offers no mean."""
    above = np.abs(VECTORS)
    check(machine([scaler()], above), score(above.mean(0, keepdims=True), above)[0], "the kernel's own rows")


def test_background():
    """Rows of the model's input, carried through the scaler: the mean of what arrives at the kernel."""
    mean = ((ROWS - OFFSET) * SCALE).mean(0, keepdims=True)
    for source, base in ((machine([scaler()]), score(mean)[0]), (machine([]), score(ROWS.mean(0, keepdims=True))[0])):
        check(source, base, "the mean of the background", background=ROWS)
    plan = onnxlrp.inspect(machine([]), background={"x": ROWS})
    assert not any("background" in note for note in plan.notes)


def test_what_takes_part_in_no_difference_has_no_relevance():
    """A feature that is what it is in the background."""
    r = check(machine([]), score(X[:1])[0], "the background", background=X[:1])
    np.testing.assert_allclose(r[0], 0, atol=1e-7)


def test_bad_background():
    with pytest.raises(InputError, match="not finite"):
        onnxlrp.convert(machine([]), background=np.full((2, 3), np.nan))
    with pytest.raises(InputError, match="the rows are"):
        onnxlrp.convert(machine([]), background=ROWS[:, :2])


def test_models_without_kernels_say_that_they_use_none():
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(np.ones((3, 2), np.float32), "w")],
    )
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    assert "nothing in this model uses background rows" in onnxlrp.convert(source, background=ROWS).notes
    assert not onnxlrp.convert(source).notes
