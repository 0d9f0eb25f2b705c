"""Base values of a tree ensemble: its output where nothing is known of the features."""

from __future__ import annotations

from onnxlrp.graph.call import Call
from onnxlrp.trees.ensemble_attributes import forest
from onnxlrp.trees.forest import Array
from onnxlrp.trees.score_columns import score_columns


def base_scores(call: Call) -> Array | None:
    """Compute the base value of each output column, [1, columns], float64: the sum of the roots' expectations.

    None where it depends on the sample (the chosen tree of MIN and MAX), or on background rows.
    """
    trees = forest(call)
    if trees.aggregate not in ("SUM", "AVERAGE") or call.attr("game") == "interventional":
        return None
    columns = score_columns(call, trees)
    sums = trees.expectation(trees.values)[trees.roots].sum(axis=0) * trees.scale
    return (sums @ columns.matrix + columns.constant)[None]
