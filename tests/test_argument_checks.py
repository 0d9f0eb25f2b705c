"""Arguments of `convert` of the wrong form: each refusal names the argument, and nothing is guessed."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from tests.targets.outputs import series

LISTS = ("inputs", "relevance_at", "coefficients_at", "values_at", "concepts")
FLAGS = ("ledger", "explain_probability", "interactions", "on_demand", "trees_table", "check")


@pytest.mark.parametrize("name", LISTS)
def test_a_text_is_no_list_of_names(name):
    with pytest.raises(InputError, match=rf"{name} is a list of names, such as \['past'\]"):
        onnxlrp.convert(series(), **{name: "past"})


@pytest.mark.parametrize("value", ["no", 0, 1, None, np.array([True])])
@pytest.mark.parametrize("name", FLAGS)
def test_a_switch_is_true_or_false(name, value):
    with pytest.raises(InputError, match=f"{name} is True or False"):
        onnxlrp.convert(series(), **{name: value})


@pytest.mark.parametrize("rules", [{"Gemm": "ZPlus"}, ("Gemm", "ZPlus"), "Gemm=ZPlus", [("Gemm",)], [3]])
def test_rules_are_pairs(rules):
    with pytest.raises(InputError, match="rules is a list of pairs"):
        onnxlrp.convert(series(), rules=rules)


@pytest.mark.parametrize("targets", [True, 2.0, "2", 0, None])
def test_the_number_of_targets_is_whole(targets):
    with pytest.raises(InputError, match="targets is a whole number from 1 on"):
        onnxlrp.convert(series(), targets=targets)


def test_numbers_and_switches_of_numpy():
    explained = onnxlrp.convert(series(), targets=np.int64(2), on_demand=np.bool_(True), rules=[["Gemm", "ZPlus"]])
    assert explained.interface.targets == 2 and explained.interface.explain_input == "explain"
    again = onnxlrp.convert(series(), targets=2, on_demand=True, rules=[("Gemm", "ZPlus")])
    assert explained.to_proto().SerializeToString() == again.to_proto().SerializeToString()
    explainer = onnxlrp.Explainer(explained, threads=np.int32(1))
    assert explainer(np.ones((1, 4), np.float32), target=[0, 1]).relevance["past"].shape == (1, 2, 4)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".json"])
def test_a_folder_that_does_not_exist(tmp_path, suffix):
    explanation = onnxlrp.Explainer(onnxlrp.convert(series()))(np.ones((1, 4), np.float32))
    with pytest.raises(InputError, match=r"there is no folder '.*none'"):
        explanation.save(tmp_path / "none" / f"result{suffix}")
