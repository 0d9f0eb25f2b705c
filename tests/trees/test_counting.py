"""Rows of data down the trees: the same branches as the runtime takes, and hit rates that say the same again."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import onnxlrp
from onnxlrp.graph.call import Call
from onnxlrp.trees.counting import branch_counts, taken_branches
from onnxlrp.trees.ensemble_attributes import forest
from onnxlrp.trees.forest import LEAF
from tests.operators.case import onnxruntime
from tests.operators.draws.classical import MODES, Drawing, by_numbers, by_tables, samples, single

DRAWING = Drawing(modes=(*MODES, "BRANCH_MEMBER"), missing=True)


def call_of(source: onnx.ModelProto) -> Call:
    (node,) = ir.serde.deserialize_model(source).graph
    return Call.of(node)


def leaves_told_apart(rng: np.random.Generator, kind: str) -> tuple[onnx.ModelProto, int]:
    """A tree whose leaves are for targets of their own, so that the output says which one a row reaches."""
    tree = DRAWING.tree(rng) if kind == "sets" else Drawing(modes=MODES, missing=True).tree(rng)
    while not tree.mode:
        tree = DRAWING.tree(rng)
    leaves, rest = [], [tree]
    while rest:
        one = rest.pop(0)
        rest += [side for side in (one.yes, one.no) if side is not None]
        leaves += [] if one.mode else [one]
    for number, leaf in enumerate(leaves):
        leaf.weights = {number: 1.0 + number}
    if kind == "sets":
        return single("TreeEnsemble", version=5, **by_tables([tree], len(leaves))), len(leaves)
    return single("TreeEnsembleRegressor", n_targets=len(leaves), **by_numbers([tree], "target")), len(leaves)


@pytest.mark.parametrize("kind", ["sets", "comparisons"])
def test_rows_reach_the_leaves_that_the_runtime_says(kind):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        source, count = leaves_told_apart(rng, kind)
        x = samples(rng, 40, missing=True).astype(np.float32)
        expected = (onnxruntime(source)({"x": x})["y"] != 0).sum(0)
        trees = forest(call_of(source))
        taken = taken_branches(trees, x)
        reached = np.zeros(count)
        for side, children in enumerate((trees.yes, trees.no)):
            leads = (trees.mode != LEAF) & (trees.mode[children] == LEAF)
            np.add.at(reached, trees.has_weight[children[leads]].argmax(1), taken[leads, side])
        np.testing.assert_array_equal(reached, expected)


def test_counts_add_up_and_chunks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    source = single("TreeEnsembleRegressor", n_targets=1, **by_numbers(Drawing().forest(rng, 5), "target"))
    x = samples(rng, 50).astype(np.float32)
    trees = forest(call_of(source))
    taken = taken_branches(trees, x)
    assert (taken[trees.roots].sum(1)[trees.mode[trees.roots] != LEAF] == 50).all()
    monkeypatch.setattr("onnxlrp.trees.counting._AT_ONCE", 7)
    np.testing.assert_array_equal(taken_branches(trees, x), taken)


def test_hit_rates_of_the_file_say_what_the_rows_said():
    """Shares that are read from the counts in a file are those of the rows, wherever a row comes by."""
    rng = np.random.default_rng(2)
    call = call_of(single("TreeEnsembleRegressor", n_targets=1, **by_numbers(Drawing().forest(rng, 5), "target")))
    taken, reached = branch_counts(call, samples(rng, 60).astype(np.float32))
    rates = ir.AttrFloat32s("nodes_hitrates", reached.tolist())
    told = forest(dataclasses.replace(call, attributes={**call.attributes, "nodes_hitrates": rates})).told_share
    counts = taken.sum(1)
    np.testing.assert_array_equal(np.isfinite(told), counts > 0)
    np.testing.assert_allclose(told[counts > 0], taken[counts > 0, 0] / counts[counts > 0])


def test_hit_rates_of_sets():
    """The operator with tables has rates of comparisons alone: a set's own, not those of its members."""
    rng = np.random.default_rng(2)
    source = single("TreeEnsemble", version=5, **by_tables([t for t in DRAWING.forest(rng, 8) if t.mode], 1))
    call = call_of(source)
    _, reached = branch_counts(call, samples(rng, 60, missing=True).astype(np.float32))
    modes = call.attr("nodes_modes").numpy()
    assert reached.shape == modes.shape and (reached[np.array(call.attr("tree_roots"))] == 60).all()
    for side in ("true", "false"):
        inner = np.flatnonzero(np.array(call.attr(f"nodes_{side}leafs")) == 0)
        assert (reached[np.array(call.attr(f"nodes_{side}nodeids"))[inner]] <= reached[inner]).all()


@pytest.mark.parametrize("game", ["shapley", "path", "interventional"])
def test_a_background_of_doubles(game):
    """Trees in double precision run as before; a TreeEnsemble of them has no attribute for the counts."""
    rng = np.random.default_rng(1)
    trees = [tree for tree in Drawing().forest(rng, 6) if tree.mode]
    tables = by_tables(trees, 1, floating=np.float64)
    source = single("TreeEnsemble", kind=onnx.TensorProto.DOUBLE, version=5, **tables)
    x = samples(rng, 30)
    converted = onnxlrp.convert(source, onnxlrp.composites.Auto(trees=game), background=x)
    found = onnxlrp.Explainer(converted)({"x": x})
    np.testing.assert_allclose(found.outputs["y"], onnxruntime(source)({"x": x})["y"], rtol=1e-12)
    assert found.base_value is not None
    np.testing.assert_allclose(found.relevance["x"].sum(1) + found.base_value, found.raw_score, atol=1e-12)
    if game == "interventional":  # the others count the grid as a row where no row takes a branch
        np.testing.assert_allclose(found.base_value[0], found.outputs["y"].mean(), atol=1e-12)
