"""Explained files whose description of themselves was tampered with."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from onnxlrp.errors import InvalidModelError, OnnxLrpError
from onnxlrp.runtime import Explainer, description_check

X = np.ones((2, 3), np.float32)
VALUES = [
    "", "{", "null", "true", "0", "1", "2", "-1", "1.5", "NaN", "1e999", "9" * 30, '"x"', '"logits"', "[]", '["x"]',
    "{}", '{"x": "x_relevance"}', '{"x": "logits"}', '{"y": "x_relevance"}', '{"x": 1}', '{"x": null}', "[true, 1]",
    "[" * 50_000, "[true]", "[1, 2, 3, 4, 5, 6, 7]", "token", "weights", "positive", '"target"', '"relevance_ledger"',
    '"x_relevance"',
]  # fmt: skip
"""Texts that an entry of the metadata might hold."""


def tampered(model, **entries):
    """The model with other entries in its metadata; None takes an entry out."""
    for key, value in entries.items():
        kept = [(one.key, one.value) for one in model.metadata_props if one.key != f"onnxlrp.{key}"]
        del model.metadata_props[:]
        for name, text in [*kept, *([(f"onnxlrp.{key}", value)] if value is not None else [])]:
            model.metadata_props.add(key=name, value=text)
    return model


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"version": None}, "lacks onnxlrp.version"),
        ({"composite": None}, "lacks onnxlrp.composite"),
        ({"relevance": None}, "lacks onnxlrp.relevance"),
        ({"relevance": "{"}, "onnxlrp.relevance is no JSON"),
        ({"relevance": "[" * 50_000}, "onnxlrp.relevance is no JSON"),
        ({"relevance": '["x"]'}, r"which is no .*Mapping\[str, str\]"),
        ({"relevance": "{}"}, "names no input"),
        ({"relevance": '{"x": "gone"}'}, "names an output 'gone'"),
        ({"relevance": '{"gone": "x_relevance"}'}, "names an input 'gone'"),
        ({"relevance": '{"x": "relevance_ledger"}'}, "'relevance_ledger' is named for two purposes"),
        ({"output": "x_relevance"}, "'x_relevance' is named for two purposes"),
        ({"output": "gone"}, "names an output 'gone'"),
        ({"target": "nonsense"}, "onnxlrp.target is 'nonsense'"),
        ({"target": "element"}, "elements are explained of an output"),
        ({"target_input": '"gone"'}, "names an input 'gone'"),
        ({"target_input": '"x"'}, "input 'x' is float32"),
        ({"target_input": "5"}, "no str"),
        ({"targets": "2"}, "2 targets are explained"),
        ({"targets": "0"}, "targets is 0"),
        ({"targets": "true"}, "no int"),
        ({"targets": "9" * 30}, "targets are explained"),
        ({"batch_axis": "-1"}, "the axes of samples and classes"),
        ({"class_axis": "9" * 30}, "the axes of samples and classes"),
        ({"class_axis": "0"}, "the axes of samples and classes are 0 and 0"),
        ({"steps": '["seed"]'}, "1 steps, but marks for 2"),
        ({"steps": '["seed"]', "marked": "[true]"}, "but 1 steps are named"),
        ({"marked": "[1, 0]"}, r"no tuple\[bool"),
        ({"ledger": '"x_relevance"'}, "named for two purposes"),
        ({"interactions": '"gone"'}, "names an output 'gone'"),
        ({"interactions": '"x_relevance"'}, "named for two purposes"),
        (
            {"ledger": "null", "steps": "[]", "marked": "[]", "interactions": '"relevance_ledger"'},
            "but 0 columns are named",
        ),
        ({"labels": '["a", 1]'}, "no tuple"),
        ({"label_output": '"logits"', "labels": "[1, 2]"}, "names 8 classes of 2 samples"),
        ({"seed": "none"}, "onnxlrp.seed"),
        ({"initial": "1"}, "onnxlrp.initial"),
    ],
)
def test_a_damaged_description_is_told(linear, entries, words):
    with pytest.raises(InvalidModelError, match=rf"is damaged \(.*({words}).*convert the source again"):
        Explainer(tampered(linear, **entries))({"x": X})


def test_without_any_entry_it_is_no_explained_model(linear):
    del linear.metadata_props[:]
    with pytest.raises(InvalidModelError, match="is not an explained model"):
        Explainer(linear)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "required", "weighted", "many_targets", "token", "one_score", "maps"])
def test_any_entry_with_any_value_is_an_explanation_or_an_error_in_words(kind, request):
    model = request.getfixturevalue(kind)
    entries = {one.key.removeprefix("onnxlrp."): one.value for one in model.metadata_props}
    feed = np.ones((2, 2, 3), np.float32) if kind == "token" else X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, before in entries.items():
            for value in [None, *VALUES]:
                tampered(model, **{key: value})
                try:
                    str(Explainer(model)({"x": feed}).ledger)
                except OnnxLrpError as error:
                    assert str(error)
            tampered(model, **{key: before})


@pytest.mark.parametrize("shape", [(3,), (3, 4, 3), (3, 1, 3, 1)])
def test_relevance_of_another_rank(many_targets, shape):
    """Declared ranks may be wrong, so that only a run shows it: relevance of two targets is [N, 2, 3]."""
    interface = Explainer(many_targets).interface
    feeds = {"x": np.ones((3, 3), np.float32)}
    description_check.check_values(interface, feeds, {"x_relevance": np.zeros((3, 2, 3))})
    with pytest.raises(ValueError, match="x_relevance"):
        description_check.check_values(interface, feeds, {"x_relevance": np.zeros(shape)})


def test_an_output_of_another_rank_has_no_score(linear):
    """The rank of an output may be declared wrongly, so that only a run shows it."""
    tampered(linear, class_axis=json.dumps(3))
    assert Explainer(linear)({"x": X}).score is None
