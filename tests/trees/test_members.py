"""Sets, and chains of single numbers, along the path that onnxruntime takes: contributions and base add up to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from tests.operators.case import onnxruntime

pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
X = [-(2.0**31), -3e9, -3.5, -1, -0.5, 0, 0.5, 1, 1.5, 2.5, 3, 30, 31.5, 32, 40, 40.5, 50, 64, 65, 3e9, np.inf, np.nan]


def members(sets: Sequence[Sequence[float]], flags: Sequence[int], kind: int = FLOAT) -> onnx.ModelProto:
    """`TreeEnsemble` that asks one set after another; the leaf of each is for a target of its own."""
    count = len(sets)
    values = [v for s in sets for v in (*s, np.nan)]

    def tensor(numbers: Sequence[float], type_: int = kind) -> onnx.TensorProto:
        return helper.make_tensor("t", type_, [len(numbers)], numbers)

    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_modes=tensor([6] * count, TensorProto.UINT8),
        nodes_splits=tensor([0.0] * count),
        membership_values=tensor(values),
        nodes_featureids=[0] * count,
        nodes_missing_value_tracks_true=list(flags),
        nodes_truenodeids=list(range(count)),
        nodes_trueleafs=[1] * count,
        nodes_falsenodeids=[*range(1, count), count],
        nodes_falseleafs=[0] * (count - 1) + [1],
        tree_roots=[0],
        leaf_weights=tensor([1.0] * count + [5.0]),
        leaf_targetids=list(range(count + 1)),
        n_targets=count + 1,
        aggregate_function=1,
    )
    return graph(node, 5, kind, count + 1)


def chain(
    numbers: Sequence[float],
    flags: Sequence[int],
    kind: int = FLOAT,
    weights: Sequence[float] = (),
    thresholds: Sequence[float] = (),
) -> onnx.ModelProto:
    """`TreeEnsembleRegressor` that asks for one number after another; the leaf of each is for a target of its own."""
    count = len(numbers)
    leaves = [count + i for i in range(count + 1)]
    given = [float(w) for w in weights or [1] * count + [5]]
    values = [float(v) for v in (*numbers, *(thresholds or [0] * (count + 1)))]
    lists = {"nodes_values": values, "target_weights": given}
    if kind == DOUBLE:
        lists = {f"{n}_as_tensor": helper.make_tensor(n, kind, [len(v)], v) for n, v in lists.items()}
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_treeids=[0] * (2 * count + 1),
        nodes_nodeids=list(range(2 * count + 1)),
        nodes_featureids=[0] * (2 * count + 1),
        nodes_modes=["BRANCH_EQ"] * count + ["LEAF"] * (count + 1),
        nodes_missing_value_tracks_true=[*flags] + [0] * (count + 1),
        nodes_truenodeids=[*leaves[:-1]] + [0] * (count + 1),
        nodes_falsenodeids=[*range(1, count), leaves[-1]] + [0] * (count + 1),
        target_treeids=[0] * (count + 1),
        target_nodeids=leaves,
        target_ids=list(range(count + 1)),
        n_targets=count + 1,
        **lists,
    )
    return graph(node, 3, kind, count + 1)


def graph(node: onnx.NodeProto, version: int, kind: int, targets: int) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", kind, ["N", 1])
    y = helper.make_tensor_value_info("y", kind if version == 5 else FLOAT, ["N", targets])
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=imports, ir_version=10)


def check(source: onnx.ModelProto, numbers: Sequence[float] = X) -> np.ndarray:
    """What no feature did is one number, the tree's base: of every row, whatever the targets weigh. Gives `y`."""
    kind = source.graph.input[0].type.tensor_type.elem_type
    x = np.array(numbers, helper.tensor_dtype_to_np_dtype(kind))[:, None]
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, target="weights"), ["CPUExecutionProvider"])
    y = onnxruntime(source)({"x": x})["y"]
    weights = 2.0 ** np.arange(y.shape[1])[None].astype(y.dtype)
    found = explainer({"x": x}, weights=weights)
    np.testing.assert_array_equal(found.outputs["y"], y)
    base = (y * weights).sum(1) - found.relevance["x"][:, 0]
    np.testing.assert_allclose(base, np.full(len(x), base[0]), atol=1e-4)
    return y


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE], ids=["float", "double"])
@pytest.mark.parametrize("flag", [0, 1], ids=["", "NaN is a member"])
@pytest.mark.parametrize(
    "numbers", [[0, 3, 40], [40, 1], [31], [30, 0], [-1, 3], [2.5, 1], [64.0], [-(2.0**31), 40]], ids=str
)
def test_a_set(numbers, flag, kind):
    """Exact where all members are between 0 and 30, else without the feature's fraction."""
    y = check(members([numbers], [flag], kind))
    inside = y[:, 0] == 1
    assert inside.any() and not inside.all()
    assert inside[X.index(1.5)] == (1 in numbers and max(numbers) > 30)
    assert inside[-1] == (flag or -(2.0**31) in numbers)


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE], ids=["float", "double"])
@pytest.mark.parametrize("flags", [[0, 1], [1, 0]], ids=str)
@pytest.mark.parametrize("sets", [([1, 0], [3]), ([0, 1], [3, 30]), ([40], [3])], ids=str)
def test_a_set_after_a_set(sets, flags, kind):
    check(members(sets, flags, kind))


@pytest.mark.parametrize("flags", [[0, 1, 0], [1, 0, 0]], ids=str)
@pytest.mark.parametrize("numbers", [[3, 32, 40], [3, 2.5, 1], [0, 1, 3], [40, 64, 65]], ids=str)
@pytest.mark.parametrize("kind", [FLOAT, DOUBLE], ids=["float", "double"])
def test_a_chain_of_numbers(kind, numbers, flags):
    """onnxruntime joins small whole numbers, though their leaves are of different targets."""
    y = check(chain(numbers, flags, kind))
    largest = 64 if kind == DOUBLE else 32
    joined = all(1 <= n <= largest and n == int(n) for n in numbers[:2]) and not flags[0]
    assert y[X.index(numbers[1])][0 if joined else 1] == 1


@pytest.mark.parametrize(
    ("more", "joined"),
    [({"weights": [1, 2, 5]}, False), ({"thresholds": [0, 1, 0]}, False), ({"thresholds": [2, 2, 0]}, True)],
    ids=str,
)
def test_leaves_that_are_told_apart(more, joined):
    """By their weight, or by a threshold that no leaf reads."""
    y = check(chain([1, 3], [0, 0], **more))
    assert (y[X.index(3)][0] == 1) == joined
