"""Layer, instance and group norm: relevance `x·Jᵀ(R/s(y))` (docs/rules.md, Softmax and norms), and a closed ledger."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.interface import Interface
from tests.operators.case import Case, reference

RNG = np.random.default_rng(3)
SHAPE = (2, 4, 3, 5)
CASES = {
    "LayerNormalization": (Case("LayerNormalization", [], attributes={"axis": 2}), (3, 5), (2, 3)),
    "InstanceNormalization": (Case("InstanceNormalization", []), (4,), (2, 3)),
    "GroupNormalization": (Case("GroupNormalization", [], attributes={"num_groups": 2}), (4,), None),
}


@pytest.mark.parametrize("name", CASES)
def test_relevance_is_the_formula(name):
    case, parameters, axes = CASES[name]
    case.operands = [RNG.normal(size=SHAPE), RNG.normal(size=parameters), RNG.normal(size=parameters)]
    explained = onnxlrp.convert(case.model(), "epsilon", target="weights", initial="one", ledger=True).to_proto()
    weights = RNG.normal(size=SHAPE)
    x, gamma, beta = case.operands
    out = reference(explained)({"x0": x, "y_weights": weights})
    if axes is None:
        # Two channels a group: [N, groups, channels of a group, height, width].
        x, weights = x.reshape(2, 2, 2, 3, 5), weights.reshape(2, 2, 2, 3, 5)
        gamma, beta, axes = gamma.reshape(1, 2, 2, 1, 1), beta.reshape(1, 2, 2, 1, 1), (2, 3, 4)
    elif len(parameters) == 1:
        gamma, beta = gamma.reshape(1, 4, 1, 1), beta.reshape(1, 4, 1, 1)
    sigma = np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    y = gamma * (x - x.mean(axes, keepdims=True)) / sigma + beta
    share = weights / (y + np.where(y >= 0, 1e-6, -1e-6))
    back = gamma * share / sigma
    expected = x * (back - back.mean(axes, keepdims=True))
    np.testing.assert_allclose(
        out["x0_relevance"].reshape(x.shape), expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max()
    )
    interface = Interface.from_metadata({m.key: m.value for m in explained.metadata_props})
    arrives, *rest = out[interface.ledger][0]
    assert abs(arrives - sum(rest)) <= 1e-4 * np.abs(out[interface.ledger]).max()
    assert interface.marked == (False,)


def test_a_norm_and_its_mean_add_up():
    """Explained together, each by its own rule: seeds of 1 at the scores, what comes back is the sum."""
    x, scale, shift = RNG.normal(size=(2, 3)), RNG.normal(size=3), RNG.normal(size=3)
    case = Case("LayerNormalization", [x, scale, shift], outputs=2, attributes={"epsilon": 1e-5})
    model = case.model()
    names = list(model.graph.node[0].output)
    graph = model.graph
    graph.node.append(helper.make_node("Concat", names, ["both"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("both", onnx.TensorProto.DOUBLE, [2, 4]))
    explained = onnxlrp.convert(model, "lrp0", target="weights", initial="one").to_proto()
    run = reference(explained)

    def relevance(weights: np.ndarray) -> np.ndarray:
        return run({"x0": x, "both_weights": weights})["x0_relevance"]

    norm, mean = np.eye(4)[[0, 0]], np.eye(4)[[3, 3]]
    assert relevance(norm).any() and relevance(mean).any()
    np.testing.assert_allclose(relevance(norm + mean), relevance(norm) + relevance(mean), rtol=1e-9)
