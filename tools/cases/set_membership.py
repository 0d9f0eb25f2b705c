"""Set members in trees: onnxruntime ignores a feature's fraction if a member is past 30, and relevance must follow.

Base and contribution must add up to the prediction, so that the explained path is the one that the runtime takes.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

import onnxlrp
from tools.cases.lib import Table, runner

ROWS = np.array([[-1.5], [-0.5], [0], [0.5], [1], [3], [3.5], [30], [40], [40.5], [1e6], [np.nan]], np.float32)
SETS: list[list[float]] = [[0, 3, 40], [0, 3, 30], [0.5, 3], [31], [-1, 3]]


def member(numbers: list[float]) -> onnx.ModelProto:
    """Make a model that gives 1 for members of the set and 2 for others."""

    def floats(values: list[float]) -> onnx.TensorProto:
        return helper.make_tensor("t", TensorProto.FLOAT, [len(values)], values)

    node = helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        nodes_modes=helper.make_tensor("m", TensorProto.UINT8, [1], [6]),
        nodes_splits=floats([0.0]),
        membership_values=floats([*numbers, float("nan")]),
        tree_roots=[0],
        nodes_featureids=[0],
        nodes_trueleafs=[1],
        nodes_falseleafs=[1],
        nodes_truenodeids=[0],
        nodes_falsenodeids=[1],
        leaf_weights=floats([1.0, 2.0]),
        leaf_targetids=[0, 0],
        n_targets=1,
        aggregate_function=1,
        post_transform=0,
    )
    graph = helper.make_graph(
        [node],
        "set",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["N", 1])],
    )
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def main() -> int:
    """Require that every row's contribution and the base value of the trees add up to its prediction."""
    table = Table("members, by onnxruntime; the largest difference of base + contribution from the prediction")
    for numbers in SETS:

        def figure(numbers: list[float] = numbers) -> tuple[bool, str]:
            model = member(numbers)
            explanation = onnxlrp.Explainer(onnxlrp.convert(model))({"X": ROWS})
            prediction = runner(model, feed="X")(ROWS)[:, 0]
            contribution = explanation.relevance["X"][:, 0]
            error = float(np.abs(contribution + explanation.base_value - prediction).max())
            same = np.array_equal(explanation.outputs["Y"][:, 0], prediction)
            found = ", ".join(f"{x:g}" for x in ROWS[prediction == 1, 0])
            return same and error < 1e-5, f"{error:.1e}   {found}"

        table.attempt(str(numbers), figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
