"""Base values of a tree ensemble: its output where nothing is known of the features."""

from __future__ import annotations

from onnxlrp.graph.call import Call
from onnxlrp.trees.ensemble_attributes import forest
from onnxlrp.trees.forest import Array, Forest
from onnxlrp.trees.rows_in_trees import Baselines, baselines_of, mean_of_rows
from onnxlrp.trees.score_columns import differ_by_sample, score_columns


def base_scores(call: Call) -> Array | None:
    """Compute the base value of each output column, [1, columns], float64.

    None if it differs from sample to sample: under MIN and MAX, where it is the base of the chosen tree, and where the
    weights that a sample reaches decide what is added to them.
    """
    trees = forest(call)
    if trees.aggregate not in ("SUM", "AVERAGE") or differ_by_sample(call, trees):
        return None
    columns = score_columns(call, trees)
    return (expected_sums(trees, baselines_of(call)) @ columns.matrix + columns.constant)[None]


def expected_sums(trees: Forest, background: Baselines | None) -> Array:
    """Compute the expected sums over the trees, [targets]: the mean over the background rows if there are any, else the
    expectation by covers."""
    if background is None:
        return trees.expectation(trees.values)[trees.roots].sum(axis=0) * trees.scale
    return mean_of_rows(trees, background)
