"""Base values of ensembles: the games of their Shapley values where no feature is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest

from onnxlrp.graph.call import Call
from onnxlrp.trees.base_scores import base_scores
from onnxlrp.trees.ensemble_attributes import forest
from tests.operators.draws.classical import MODES, Drawing, by_numbers, samples, single
from tests.oracle import tree_games
from tests.trees.in_double import roots_of

NOTHING: frozenset[int] = frozenset()


def call_of(op_type: str, **attributes) -> Call:
    label = {"label": 7} if op_type == "TreeEnsembleClassifier" else {}
    (node,) = ir.serde.deserialize_model(single(op_type, kind=11, **label, **attributes)).graph
    return Call.of(node)


def played(call: Call, background: np.ndarray) -> Call:
    """The call as the planner hands it over for interventional values."""
    more = ir.AttrTensor("background", ir.Tensor(background)), ir.AttrString("game", "interventional")
    return dataclasses.replace(call, attributes={**call.attributes, **{a.name: a for a in more}})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("targets", [1, 3])
def test_nothing_is_known(seed, targets):
    rng = np.random.default_rng(seed)
    trees = Drawing(targets=range(targets), modes=MODES, missing=True).forest(rng, 4)
    bases = {"base_values": rng.normal(size=targets).tolist()} if seed % 2 else {}
    tables = by_numbers(trees, "target", hit_rates=True, double=True)
    aggregate = ("SUM", "AVERAGE")[seed // 2]
    call = call_of("TreeEnsembleRegressor", n_targets=targets, aggregate_function=aggregate, **tables, **bases)
    roots, own = roots_of(forest(call)), np.array(bases.get("base_values", [0.0] * targets), np.float32)
    game = tree_games.path_dependent(roots, np.zeros(4), targets)
    np.testing.assert_allclose(base_scores(call), (game(NOTHING) + own)[None], atol=1e-12)
    rows = samples(rng, 6, missing=True)
    game = tree_games.interventional(roots, rows[0], rows, targets)
    np.testing.assert_allclose(base_scores(played(call, rows)), (game(NOTHING) + own)[None], atol=1e-12)


def test_one_score_for_two_classes():
    """The first class has one less the score of the second."""
    tables = by_numbers(Drawing(positive=True).forest(np.random.default_rng(0), 3), "class", hit_rates=True)
    call = call_of("TreeEnsembleClassifier", classlabels_int64s=[0, 1], base_values=[0.25], **tables)
    (score,) = tree_games.path_dependent(roots_of(forest(call)), np.zeros(4), 2)(NOTHING)[:1]
    np.testing.assert_allclose(base_scores(call), [[1 - score - 0.25, score + 0.25]])


@pytest.mark.parametrize("aggregate", ["MIN", "MAX"])
def test_the_chosen_tree_differs_from_sample_to_sample(aggregate):
    tables = by_numbers(Drawing().forest(np.random.default_rng(1), 3), "target")
    assert base_scores(call_of("TreeEnsembleRegressor", n_targets=1, aggregate_function=aggregate, **tables)) is None
