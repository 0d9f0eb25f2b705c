"""Families of models, and the composite that is suggested for each."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.composites import COMPOSITES
from onnxlrp.composites.good_for import GOOD_FOR
from onnxlrp.plan.model_family import model_family, suggested_composite
from tests.evaluation import nets


def attention():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"], "scores"),
        helper.make_node("Softmax", ["s"], ["p"], "weights", axis=1),
        helper.make_node("Mul", ["p", "x"], ["m"], "mixed"),
        helper.make_node("MatMul", ["m", "v"], ["y"], "last"),
    ]
    weights = {"w": np.eye(4), "v": np.eye(4, 3)}
    return nets.model(nodes, {"x": ["N", 4]}, {"y": ["N", 3]}, weights)


MODELS = {
    "dense": lambda: nets.linear(np.eye(4, 3), True),
    "convolutions": lambda: nets.convolutions(np.random.default_rng(0)),
    "attention": attention,
}


@pytest.mark.parametrize("family", MODELS)
def test_a_model_has_its_family_and_a_reason(family):
    plan = onnxlrp.inspect(MODELS[family]())
    assert model_family(plan) == family
    name, why = suggested_composite(plan)
    assert name == "auto" and why
    assert ("epsilon" in why) == (family == "dense")


def test_every_composite_says_what_it_is_good_for():
    assert set(GOOD_FOR) == set(COMPOSITES)
    assert all(sentence.startswith("For ") and sentence.endswith(".") for sentence in GOOD_FOR.values())
