"""Tables of patterns against quadrature and brute force."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.trees.leaf_groups import leaf_groups
from onnxlrp.trees.table_budget import TableBudget
from onnxlrp.trees.unfolded import ROOT, unfolded
from tests.operators.draws.classical import MODES, Drawing, by_numbers, samples, single
from tests.oracle import trees as oracle
from tests.trees.in_double import forest_of

Array = np.ndarray


@pytest.mark.parametrize("tables", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 4, 6])
@pytest.mark.parametrize("targets", [(0,), (0, 1, 2)])
def test_both_ways_are_shapley_values(tables, depth, targets):
    """Both ways give the sums over all subsets of features, for leaves of one and of several targets."""
    rng = np.random.default_rng(depth)
    drawn = Drawing(depth=depth, modes=MODES, missing=True, targets=targets).forest(rng, 5)
    source = single("TreeEnsembleRegressor", n_targets=3, **by_numbers(drawn, "target", hit_rates=True))
    x = samples(rng, 10, missing=True).astype(np.float32)
    explained = onnxlrp.convert(source, trees_table=tables)
    found = onnxlrp.Explainer(explained)({"x": x}, target=0).relevance["x"]
    exact = oracle.explain(source.graph.node[0], x, 3)
    np.testing.assert_allclose(found, exact.parts[..., 0], atol=1e-5)
    operators = [node.op_type for node in explained.to_proto().graph.node]
    assert ("ReduceSum" in operators) != tables


def test_groups_hold_every_leaf_once():
    """Each leaf is in one group; a group has at most three comparisons, and all its leaves share the way to it."""
    trees = unfolded(forest_of(Drawing(depth=7).forest(np.random.default_rng(3), 6)))
    groups = leaf_groups(trees)
    leaves = 2 * np.argwhere(trees.below < 0)[:, 0] + np.argwhere(trees.below < 0)[:, 1]
    np.testing.assert_array_equal(np.sort(groups.leaves), np.sort(leaves))
    assert (np.diff(groups.group) >= 0).all()
    edges, _ = groups.paths
    for leaf, group in enumerate(groups.group):
        way = [e for e in edges[leaf] if e != ROOT]
        inside = {int(k) for k in groups.inside[group] if k >= 0}
        above = [e for e in way if e // 2 not in inside]
        assert (above[0] if above else ROOT) == groups.edge[group]
        assert len(above) == groups.above[group]


def test_tables_share_one_budget():
    """Ensembles of one model take tables from one budget in turn; the last ones are computed by quadrature."""
    budget = TableBudget(100)
    assert budget.take(60)
    assert not budget.take(60)
    assert budget.take(40)
