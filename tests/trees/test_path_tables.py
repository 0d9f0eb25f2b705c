"""What an explained forest file holds beside the source's own nodes, and what of these it leaves out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.operators.classical_case import explain
from tests.operators.draws.classical import GRID, Drawing, by_numbers, single
from tests.oracle import trees as oracle

TREES, SIZE = 300, 255
INNER = np.arange(SIZE) < SIZE // 2
LEAVES = np.flatnonzero(~INNER)


def nodes(rng: np.random.Generator, features: int) -> dict:
    """The nodes of full trees whose thresholds all differ."""
    per_tree = {
        "nodes_nodeids": np.arange(SIZE),
        "nodes_featureids": rng.integers(0, features, SIZE) * INNER,
        "nodes_truenodeids": np.where(INNER, 2 * np.arange(SIZE) + 1, 0),
        "nodes_falsenodeids": np.where(INNER, 2 * np.arange(SIZE) + 2, 0),
    }
    return {name: np.tile(column, TREES).tolist() for name, column in per_tree.items()} | {
        "nodes_treeids": np.repeat(np.arange(TREES), SIZE).tolist(),
        "nodes_modes": ["BRANCH_LEQ" if i else "LEAF" for i in INNER] * TREES,
        "nodes_values": rng.normal(size=TREES * SIZE).astype(np.float32).tolist(),
    }


def weights(kind: str, columns: np.ndarray) -> dict:
    """What the leaves of all trees [leaves, targets] say."""
    count = columns.shape[1]
    return {
        f"{kind}_treeids": np.repeat(np.arange(TREES), LEAVES.size * count).tolist(),
        f"{kind}_nodeids": np.tile(np.repeat(LEAVES, count), TREES).tolist(),
        f"{kind}_ids": np.tile(np.arange(count), TREES * LEAVES.size).tolist(),
        f"{kind}_weights": columns.reshape(-1).astype(np.float32).tolist(),
    }


def ratio(source: onnx.ModelProto, width: int) -> float:
    """How large the explained file is, as a part of the source's; it must explain."""
    explained = onnxlrp.convert(source, "epsilon")
    explanation = onnxlrp.Explainer(explained)({"x": np.random.default_rng(0).normal(size=(3, width)).astype("f4")})
    assert np.isfinite(explanation.relevance["x"]).all()
    return explained.to_proto().ByteSize() / source.ByteSize()


@pytest.mark.parametrize("features", [30, 3000])
def test_a_regressor_of_numbers_that_all_differ(features):
    """The worst case: nothing of the source's own is to be left out, and every comparison has a share of its own."""
    rng = np.random.default_rng(3)
    values = weights("target", rng.normal(size=(TREES * LEAVES.size, 1)))
    source = single("TreeEnsembleRegressor", features, n_targets=1, **nodes(rng, features), **values)
    assert ratio(source, features) < 1.4


def test_hit_rates_and_flags_make_room():
    """As converters write them: the file gets no larger."""
    rng = np.random.default_rng(4)
    spare = {"nodes_hitrates": [1.0] * TREES * SIZE, "nodes_missing_value_tracks_true": [0] * TREES * SIZE}
    values = weights("target", rng.normal(size=(TREES * LEAVES.size, 1)))
    assert ratio(single("TreeEnsembleRegressor", 30, n_targets=1, **nodes(rng, 30), **spare, **values), 30) < 1.12


def test_rows_of_classes_are_kept_once():
    """Of many leaves that say the same: a place in a list a leaf, whatever the number of classes."""
    rng = np.random.default_rng(5)
    values = weights("class", np.eye(9)[rng.integers(0, 9, TREES * LEAVES.size)] / TREES)
    source = single(
        "TreeEnsembleClassifier", 30, onnx.TensorProto.INT64, classlabels_int64s=range(9), **nodes(rng, 30), **values
    )
    assert ratio(source, 30) < 1.2


def test_what_is_left_out():
    """Hit rates have gone into the tables; flags stay where one is set."""
    rng = np.random.default_rng(6)
    for missing in (False, True):
        trees = Drawing(missing=missing).forest(rng, 3)
        source = single("TreeEnsembleRegressor", n_targets=1, **by_numbers(trees, "target", hit_rates=True))
        (node,) = [n for n in onnxlrp.convert(source).to_proto().graph.node if n.op_type == "TreeEnsembleRegressor"]
        own = {a.name for a in source.graph.node[0].attribute}
        left_out = {"nodes_hitrates"} | (set() if missing else {"nodes_missing_value_tracks_true"})
        assert own - {a.name for a in node.attribute} == left_out


def shared(sets: int) -> onnx.ModelProto:
    """One tree that asks for membership in pairs, each by two comparisons that lead to the same next pair: of n pairs
    there are 2 ** n ways to the last leaf. onnxmltools writes LightGBM's categories so."""
    trees = {k: [] for k in ("nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")}
    for pair in range(sets):
        for number, last in ((0, False), (1, True)):
            place = 2 * pair + number
            no = 2 * sets + 1 + pair if last else place + 1
            row = (place, "BRANCH_EQ", pair % 4, GRID[(pair + number) % 5], 2 * pair + 2, no)
            for column, value in zip(trees.values(), row, strict=True):
                column.append(value)
    # Passed, the last pair leads to the first leaf.
    leaves = range(2 * sets, 3 * sets + 1)
    for leaf in leaves:
        for column, value in zip(trees.values(), (leaf, "LEAF", 0, 0.0, 0, 0), strict=True):
            column.append(value)
    return single(
        "TreeEnsembleRegressor",
        n_targets=1,
        nodes_treeids=[0] * len(trees["modes"]),
        **{f"nodes_{name}": column for name, column in trees.items()},
        target_treeids=[0] * len(leaves),
        target_nodeids=list(leaves),
        target_ids=[0] * len(leaves),
        target_weights=np.linspace(-1, 1, len(leaves)).tolist(),
    )


@pytest.mark.parametrize("sets", [1, 12])
def test_nodes_that_several_lead_to(sets):
    """Repeated where they are few, else listed as they are."""
    source, x = shared(sets), np.random.default_rng(7).choice(GRID, (60, 4)).astype(np.float32)
    exact = oracle.explain(source.graph.node[0], x, 1)
    assert np.abs(exact.parts).max() > 0.1
    np.testing.assert_allclose(explain(source, x)["x_relevance"], exact.parts[..., 0], atol=1e-6)
