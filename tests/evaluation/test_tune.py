"""`onnxlrp.tune` as a whole, on models whose best rules are known."""

from __future__ import annotations

import inspect
import json
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.composites import from_toml
from onnxlrp.errors import InputError
from onnxlrp.evaluation.tune_model import split_samples
from onnxlrp.evaluation.tuning_search import input_box
from onnxlrp.rules import Gamma
from tests.evaluation import nets, tuning_nets
from tests.evaluation.parts import data_of


@pytest.fixture(scope="module")
def table():
    """A model on which γ is plainly better than ε, and samples."""
    random = np.random.default_rng(0)
    x = random.uniform(0.9, 0.905, (24, 6)).astype(np.float32)
    return tuning_nets.zigzag(random.permutation(np.arange(1.0, 7.0))), x


@pytest.fixture(scope="module")
def tuning(table):
    return onnxlrp.tune(*table, ["epsilon"], baseline="zero", budget=20)


def test_gamma_is_found_where_it_is_better(tuning):
    assert not tuning.auto_stays and tuning.name == tuning.winner == "auto; layers: Gamma(gamma=1.0)"
    assert tuning.difference("auto").better == tuning.name
    assert tuning.figure().low > 0 > tuning.figure("auto").high
    assert tuning.notes[0].startswith("auto; layers: Gamma(gamma=1.0) is better than auto by ")
    assert tuning.composite == onnxlrp.composites.Overridden(onnxlrp.composites.Auto(), (("hidden", Gamma(1.0)),))


def test_auto_stays_where_all_tie():
    x = np.random.default_rng(1).normal(size=(8, 1)).astype(np.float32)
    found = onnxlrp.tune(nets.linear(np.ones((1, 2))), x, budget=12)
    assert found.auto_stays and found.name == found.winner == "auto"
    assert found.difference(found.best_preset).mean == 0
    assert found.notes[0] == "auto stays: no candidate was above it in the search"
    assert tomllib.loads(found.to_toml()) == {"composite": "auto"}


def test_auto_stays_where_the_held_out_samples_do_not_bear_the_winner_out(table):
    """Below 0.8 nothing bends, so that γ and ε give one order there: the winner of the search is no better."""
    model, x = table
    held_out = np.arange(12)
    x = np.where(np.arange(24)[:, None] < 12, x * 0.5, x)
    found = onnxlrp.tune(model, x, ["epsilon"], baseline="zero", budget=12, held_out=held_out)
    assert found.auto_stays and found.name == "auto" != found.winner
    assert "auto stays: on the held-out samples the best candidate" in found.notes[0]
    assert found.held_out.samples == 12 and found.winner in found.held_out.explanations
    assert found.composite == onnxlrp.composites.Auto()


def test_the_file_gives_the_composite_back(table, tuning, tmp_path):
    tuning.save(tmp_path / "rules.toml")
    assert from_toml(tmp_path / "rules.toml") == tuning.composite
    content = (tmp_path / "rules.toml").read_text(encoding="utf-8")
    assert content.count("\n# ") > 6 and tuning.sha256 in content and "12 samples to search on, 12 held out" in content
    by_file, by_object = (
        onnxlrp.Explainer(onnxlrp.convert(table[0], composite=one))({"x": table[1]}).relevance["x"]
        for one in (tmp_path / "rules.toml", tuning.composite)
    )
    np.testing.assert_array_equal(by_file, by_object)
    with pytest.raises(InputError, match=r"ends with \.toml"):
        tuning.save(tmp_path / "rules.txt")


def test_equal_seeds_give_equal_bytes(table, tuning):
    again, other = (onnxlrp.tune(*table, ["epsilon"], baseline="zero", budget=20, seed=seed) for seed in (0, 1))
    assert again.to_toml() == tuning.to_toml() != other.to_toml()
    assert again.to_dict() == tuning.to_dict()


def test_forms_of_the_result(tuning):
    assert repr(tuning).startswith("<Tuning: auto; layers: Gamma(gamma=1.0), of ")
    content = json.loads(json.dumps(tuning.to_dict(), allow_nan=False))
    assert content["difference_from_auto"]["better"] == tuning.name
    assert content["held_out"]["samples"] == content["search_samples"] == 12
    text = str(tuning)
    assert f"{tuning.name} ←" in text and "held-out area ↑" in text and "12 held out" in text


def test_the_search_keeps_to_its_budget_and_drops_the_worse_half(table):
    for budget in (1, 9):
        found = onnxlrp.tune(*table, baseline="zero", budget=budget)
        assert len(found.candidates) <= budget, found.candidates
        assert "auto" in {one.name for one in found.candidates}
    samples = [one.samples for one in found.candidates]
    assert samples[0] == 12 and samples == sorted(samples, reverse=True) and samples[-1] == 8


def test_presets_are_those_that_suit_the_model():
    model, random = tuning_nets.chain(np.random.default_rng(2), ["a", "b"]), np.random.default_rng(3)
    found = onnxlrp.tune(model, random.uniform(size=(8, 1, 6, 6)).astype(np.float32), unit_size=3, budget=14)
    assert len(found.presets) == 10 and found.presets[0] == "auto"
    assert {"vgg_overview", "epsilon_gamma_box"} <= {name.partition("(")[0] for name in found.presets}
    assert found.figure(found.best_preset).mean == max(found.figure(name).mean for name in found.presets)


def test_trees_are_tuned_by_their_game():
    """Their values depend on nothing else: there are no layers, and no stage but the first."""
    node = {"nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0]}
    node |= {"nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.5, 0.0, 0.0]}
    node |= {"nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0]}
    leaf = {"target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0]}
    tree = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **node, **leaf)
    made = nets.model([tree], {"x": ["N", 2]}, {"y": ["N", 1]}, {})
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    x = np.random.default_rng(8).uniform(size=(12, 2)).astype(np.float32)
    for background, games in ((None, {"'path'"}), (x, {"'path'", "'interventional'"})):
        found = onnxlrp.tune(made, x, background=background)
        assert set(found.presets) == {"auto", *(f"auto(trees={game})" for game in games)}
        assert {one.stage for one in found.candidates} == {"preset"} and found.auto_stays


def test_bounds_of_the_stem():
    """Those of each column for a table; none where a value is missing."""
    x = np.array([[0, 1], [2, 5], [1, -1], [1, 1]], np.float32)
    for rows, box in ((x, ([0, -1], [2, 5])), (np.where(x == 5, np.nan, x), None)):
        assert input_box(SimpleNamespace(data=data_of(rows), units=SimpleNamespace(kinds={"x": "table"}))) == box


def test_a_transformer_is_tuned_by_kind_of_layer():
    model = tuning_nets.transformer(np.random.default_rng(4))
    x = np.random.default_rng(5).normal(size=(8, 3, 4)).astype(np.float32)
    found = onnxlrp.tune(model, x, budget=20)
    stages = {one.stage for one in found.candidates}
    assert stages >= {"preset", "rule of all layers", "rule of MLP in", "rule of query, key and value", "split"}
    assert found.presets == ("auto", "cp_lrp")
    assert "attn_lrp was left out: on this model it explains like auto" in found.notes
    assert "attn_lrp" not in found.held_out.explanations


def test_a_model_of_one_batch_size():
    """Halves and rungs need not fill whole batches."""
    model = tuning_nets.chain(np.random.default_rng(6), ["a", "b"], batch=4)
    x = np.random.default_rng(7).normal(size=(12, 1, 6, 6)).astype(np.float32)
    found = onnxlrp.tune(model, x, ["epsilon"], unit_size=3, budget=4, held_out=[0, 1, 2, 3, 4])
    assert (found.search_samples, found.held_out.samples) == (7, 5)
    free = tuning_nets.chain(np.random.default_rng(6), ["a", "b"])
    same = onnxlrp.tune(free, x, ["epsilon"], unit_size=3, budget=4, held_out=[0, 1, 2, 3, 4])
    assert found.figure("auto").mean == pytest.approx(same.figure("auto").mean, rel=1e-5)


def test_halves():
    searched, held_out = split_samples(9, None, 0)
    assert len(searched) == 4 and sorted({*searched, *held_out}) == list(range(9))
    searched, held_out = split_samples(6, [5, 0], 0)
    assert sorted(searched) == [1, 2, 3, 4] and list(held_out) == [0, 5]
    for count, rows, words in (
        (3, None, "at least 4 samples"),
        (6, [0], "1 of 6 samples are held out"),
        (6, [0, 6], "from 0 to 5"),
        (6, [0.5, 1], "from 0 to 5"),
        (6, range(5), "5 of 6"),
    ):
        with pytest.raises(InputError, match=words):
            split_samples(count, rows, 0)


def test_mistakes(table):
    for options, words in (
        ({"budget": 0}, "budget is a whole number from 1 on"),
        ({"composites": ["gradient_x_input"]}, "is a gradient"),
        ({"composites": ["epsilom"]}, "epsilom"),
        ({"steps": 0}, "steps"),
    ):
        with pytest.raises(InputError, match=words):
            onnxlrp.tune(*table, **options)


def test_what_evaluate_takes_too_has_the_same_default():
    """Else a model whose pixels are scaled would be tuned on other pictures than it is evaluated and explained on."""
    ours, theirs = (inspect.signature(one).parameters for one in (onnxlrp.tune, onnxlrp.evaluate))
    shared = ours.keys() & theirs.keys()
    assert {"preprocess", "baseline", "steps", "seed"} <= shared
    assert {name: ours[name].default for name in shared} == {name: theirs[name].default for name in shared}
