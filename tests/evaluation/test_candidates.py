"""Candidates: a composite file gives back what was measured, and candidates that explain alike are known as one."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp import composites
from onnxlrp.errors import InputError
from onnxlrp.evaluation.candidates import Candidate, RuleChoice, make_start, rule_text
from onnxlrp.evaluation.tuning_stages import inner_layers, stages_for
from onnxlrp.rules import RULES, AlphaBeta, Epsilon, Flat, Gamma, ZBox, ZPlus, parse
from tests.evaluation import tuning_nets

NAMES = ["stem", "Conv", "/body/[1]", "/body/2"]
"""A chain of convolutions: a name that is an operator's, and one with wildcards."""


@pytest.fixture(scope="module")
def model():
    return tuning_nets.chain(np.random.default_rng(0), NAMES)


def start(model, composite="auto"):
    return make_start(model, composite, {"target": "class"})


def rules_in(model, composite) -> dict:
    plan = onnxlrp.inspect(model, composite)
    return {step.name: step.rule for step in plan.steps if step.layer}


def test_every_layer_gets_the_rule_that_was_chosen_for_it(model):
    candidate = Candidate(start(model))
    candidate = candidate.with_choice(RuleChoice("all", tuple(NAMES), Gamma(0.5)))
    candidate = candidate.with_choice(RuleChoice("two", ("Conv", "/body/2"), ZPlus(epsilon=1e-3)))
    candidate = candidate.with_choice(RuleChoice("stem", ("stem",), ZBox([0.0], [1.0])))
    assert rules_in(model, candidate.composite()) == candidate.rules()
    assert [pattern for pattern, _ in candidate.overrides()] == ["stem", "[C]onv", "/body/2", "/body/[[]1]"]
    assert candidate.name.endswith("two: ZPlus(epsilon=0.001); all: Gamma(gamma=0.5)")


def test_a_choice_that_covers_another_takes_its_place(model):
    candidate = Candidate(start(model)).with_choice(RuleChoice("stem", ("stem",), Flat()))
    assert len(candidate.with_choice(RuleChoice("all", tuple(NAMES), Gamma(1.0))).choices) == 1


def test_candidates_that_explain_alike_have_one_signature(model):
    auto, plus = start(model, "auto(stabiliser='add')"), start(model, "epsilon_plus")
    by_choice = Candidate(auto).with_choice(RuleChoice("layers", tuple(NAMES), ZPlus()))
    assert by_choice.signature == Candidate(plus).signature != Candidate(auto).signature
    assert Candidate(start(model, "excitation_backprop")).signature != by_choice.signature
    assert Candidate(start(model, "deep_taylor")).signature[0] != by_choice.signature[0]


def test_rules_of_a_file_to_start_from_stay_where_they_are_needed(model, tmp_path):
    """A rule of the file that no layer takes any more would be refused by `convert`."""
    file = tmp_path / "mine.toml"
    file.write_text('composite = "epsilon"\n[[rules]]\nmatch = "Conv"\nrule = "ZPlus"\n')
    mine = start(model, file)
    assert mine.base == "epsilon" and mine.name == str(file)
    part = Candidate(mine).with_choice(RuleChoice("stem", ("stem",), Flat()))
    assert [pattern for pattern, _ in part.overrides()] == ["stem", "Conv"]
    whole = Candidate(mine).with_choice(RuleChoice("all", tuple(NAMES), Gamma(0.5)))
    for candidate in (part, whole):
        assert rules_in(model, candidate.composite()) == candidate.rules()


def test_composites_that_cannot_be_tuned_or_written(model):
    class Mine(composites.Composite):
        """A composite that has no name in files."""

    for composite, words in (("gradient", "is a gradient"), (Mine(), "register it under its name mine")):
        with pytest.raises(InputError, match=words):
            start(model, composite)


@pytest.mark.parametrize("rule", [*(kind() for kind in RULES.values()), ZBox([0.0] * 40, [1.0] * 40), AlphaBeta(1, 0)])
def test_the_text_of_a_rule_gives_it_back(rule):
    assert parse(rule_text(rule)) == rule


def test_stages_of_a_convolutional_network(model):
    first = Candidate(start(model))
    stages = {stage.name: stage for stage in stages_for(first.start.layers, (0.0, 1.0))}
    assert list(stages) == ["rule of all layers", "stem", "split", "place of the split", "finer γ"]
    stems = [one.rules()["stem"] for one in stages["stem"].vary([first])]
    assert [type(rule).__name__ for rule in stems] == ["ZBox", "Flat", "WSquare", "ZPlus", "Epsilon"]
    halves = list(stages["split"].vary([first]))
    assert {one.choices[0].names for one in halves} == {tuple(NAMES[:2]), tuple(NAMES[2:])}
    moved = {one.choices[0].names for one in stages["place of the split"].vary(halves[:1])}
    assert moved == {tuple(NAMES[1:]), tuple(NAMES[3:]), tuple(NAMES[2:])}
    gammas = [one.choices[0].rule for one in stages["finer γ"].vary([first.with_choice(halves[2].choices[0])])]
    assert gammas == [Gamma(0.177), Gamma(0.354)]


def test_the_rule_of_a_stem_outlives_that_of_all_layers(model):
    boxed = Candidate(start(model, "epsilon_gamma_box(low=0, high=1)"))
    assert [one.name for one in inner_layers(boxed)] == NAMES[1:]
    flat = Candidate(start(model)).with_choice(RuleChoice("stem", ("stem",), Epsilon()))
    assert [one.name for one in inner_layers(flat)] == NAMES[1:]


def test_stages_of_a_transformer():
    model = tuning_nets.transformer(np.random.default_rng(0))
    first = Candidate(start(model, "attn_lrp"))
    names = [stage.name for stage in stages_for(first.start.layers, None)]
    kinds = ("query, key and value", "attention output", "MLP in", "MLP out")
    assert names == ["rule of all layers", "stem", *(f"rule of {kind}" for kind in kinds), *names[-3:]]
