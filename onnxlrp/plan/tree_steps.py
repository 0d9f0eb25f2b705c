"""The steps of tree ensembles: the game whose values they are explained by, and the source of its expectations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.references import Background
from onnxlrp.analysis.row_clusters import centres
from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.graph.provenance import mark_counted
from onnxlrp.operators.leaf_functions import as_ensemble
from onnxlrp.plan.steps import Step, every_step
from onnxlrp.trees.counting import branch_counts
from onnxlrp.trees.ensemble_attributes import aggregate_of, has_informative_rates
from onnxlrp.trees.forest import share_source

Game = Literal["shapley", "path", "interventional"]
_MOST_ROWS = 1000
"""Most background rows that samples are compared with."""
_ENSEMBLES = frozenset({"LeafFunction", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"})


def decide_game(step: Step, facts: Facts, game: Game) -> None:
    """Store in a tree ensemble's call the game that the composite asks for, and what the game needs of the background:
    how many rows take each branch, or the rows to compare samples with."""
    if step.operator not in _ENSEMBLES:
        return
    trees, aggregate = as_ensemble(step.call), aggregate_of(as_ensemble(step.call))
    played: Game = "path" if aggregate in ("MIN", "MAX") else game
    attributes: dict[str, ir.Attr] = {"game": ir.AttrString("game", played)}
    rows = None if facts.background is None else _rows(trees, facts.background)
    if played == "interventional":
        if rows is None or facts.background is None:
            raise InputError(
                f'{step.operator} {step.name!r}: trees="interventional" compares each sample with rows of data; give '
                'them as background=, or leave trees="shapley"'
            )
        baselines, said = _baselines(rows, facts.background.clusters)
        attributes.update(baselines)
        said = f"Interventional Shapley values; baseline: {said}."
    else:
        if rows is not None:
            taken, reached = branch_counts(trees, rows)
            attributes["covers"] = ir.AttrTensor("covers", ir.tensor(taken.astype(np.float64), name="covers"))
            _store(step.node, reached)
        source = share_source(None if rows is None else len(rows), has_informative_rates(trees))
        said = f"{_told(played, aggregate)}; covers: {source}."
    step.call = dataclasses.replace(step.call, attributes={**step.call.attributes, **attributes})
    step.why = said


def baseline_count(steps: Sequence[Step]) -> int:
    """Count the background rows, or the centres of them, that samples are compared with by the steps' values."""
    rows = [step.call.attr("background") for step in every_step(steps)]
    return max((len(r.numpy()) for r in rows if r is not None), default=0)


def baseline_note(steps: Sequence[Step], background: Background | None) -> str | None:
    """Say how many background rows the explained file was computed from; None if there are no such rows."""
    count = baseline_count(steps)
    if count:
        kind = "background rows" if background is None or background.clusters is None else "centres of background rows"
        return (
            f"trees='interventional': the explained file compares each sample with {count} {kind}; it holds what "
            "they do at the comparisons of its trees, not the rows themselves"
        )
    if background is not None and background.clusters is not None:
        return "background: centres are for trees='interventional'; all rows are used as they are"
    return None


def _baselines(rows: np.ndarray, clusters: int | None) -> tuple[dict[str, ir.Attr], str]:
    """Return the attributes of a call for the rows that samples are compared with, and what these are in words."""
    count = len(rows)
    if clusters is None and count > _MOST_ROWS:
        raise InputError(
            f"background: {count:,} rows are too many to compare each sample with: give at most {_MOST_ROWS:,}, or "
            'let k-means find centres: background=("kmeans=50", rows)'
        )
    weights, words = np.full(count, 1 / count), share_source(count, False)
    if clusters is not None:
        rows, weights = centres(rows, clusters)
        words = f"{len(rows)} centres of {words}"
    tensors = {"background": rows, "background_weights": weights}
    return {name: ir.AttrTensor(name, ir.tensor(array, name=name)) for name, array in tensors.items()}, words


def _told(game: Game, aggregate: str) -> str:
    if aggregate in ("MIN", "MAX"):
        return f"Changes along the path, because the {aggregate} of the trees is taken"
    return "Shapley values" if game == "shapley" else "Changes along the path"


def _rows(trees: Call, background: Background) -> np.ndarray:
    """Compute the background's rows at an ensemble's operand, [rows, features], in the type that it compares."""
    x = trees.operand(0)
    rows = background.at(x)
    dtype = np.float64 if x.dtype == ir.DataType.DOUBLE else np.float32
    return np.ascontiguousarray(rows.reshape(-1, rows.shape[-1]), dtype)


def _store(node: ir.Node, reached: np.ndarray) -> None:
    """Write the counts into the node of the model itself, as its hit rates, for whoever reads the file again.

    A TreeEnsemble of doubles keeps none: ONNX wants them in single precision there, and onnxruntime in double.
    """
    if node.op_type == "TreeEnsemble":
        if node.attributes["nodes_splits"].as_tensor().dtype == ir.DataType.DOUBLE:
            return
        rates = ir.tensor(reached.astype(np.float32), name="nodes_hitrates")
        node.attributes["nodes_hitrates"] = ir.AttrTensor("nodes_hitrates", rates)
    elif node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
        node.attributes.pop("nodes_hitrates_as_tensor", None)
        node.attributes["nodes_hitrates"] = ir.AttrFloat32s("nodes_hitrates", [float(n) for n in reached])
    mark_counted(node)
