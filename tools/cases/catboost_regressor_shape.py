"""A tree regressor that declares its output [N] though the operator gives [N, 1], as CatBoost saves it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

import onnxlrp
from tools.cases.lib import Array, Table

ROWS = np.array([[0.2, 0, 0], [0.9, 0, 0]], np.float32)
SHAPES: dict[str, Sequence[int | str] | None] = {
    "[N]": ["N"],
    "[N, 1]": ["N", 1],
    "[?]": [None],  # type: ignore[list-item]
    "no shape": None,
    "[N, 3], another": ["N", 3],
}


def stump(shape: Sequence[int | str] | None) -> onnx.ModelProto:
    """Make one comparison, 20 where x₀ is at most .5 and 10 above, in a file whose only opset is ai.onnx.ml."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["predictions"],
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_GT", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[10.0, 20.0],
        n_targets=1,
    )
    graph = helper.make_graph(
        [node],
        "stump",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("predictions", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 2)], ir_version=3)


def relevance(shape: Sequence[int | str] | None) -> Array:
    explanation = onnxlrp.Explainer(onnxlrp.convert(stump(shape)))({"features": ROWS})
    np.testing.assert_array_equal(np.ravel(explanation.outputs["predictions"]), [20, 10])
    return explanation.relevance["features"]


def main() -> int:
    """Require the same relevance whatever shape is declared: the two rows differ by the whole step of 10."""
    table = Table("relevance of the one column that is compared")
    for name, shape in SHAPES.items():

        def figure(shape: Sequence[int | str] | None = shape) -> tuple[bool, str]:
            found = relevance(shape)
            step = float(found[0, 0] - found[1, 0])
            return abs(step - 10) < 1e-4 and not found[:, 1:].any(), f"{found[0, 0]:.2f}, {found[1, 0]:.2f}"

        table.attempt(f"declared {name}", figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
