"""Explained models are built again byte by byte from what their records say."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.composites import EpsilonPlus, Overridden
from onnxlrp.convert import convert
from onnxlrp.errors import InputError
from onnxlrp.recorded_options import changed_options
from onnxlrp.records import verify
from onnxlrp.records.rebuild import rebuild
from onnxlrp.rule_overrides import parse_override
from onnxlrp.rules import Gamma
from onnxlrp.runtime.recorder import recorder_of
from tests.runtime.recorded import ROWS, SOURCE

OPTIONS = {
    "nothing": {},
    "a composite with arguments": {"composite": "epsilon(epsilon=0.01, zero_params='bias')"},
    "a composite as an object": {"composite": Overridden(EpsilonPlus(), (("Gemm", Gamma(0.3)),))},
    "rules": {"composite": "epsilon", "rules": [("*_2", "ZPlus()"), ("Gemm", Gamma(0.25))]},
    "names": {"output": "y", "inputs": ["x"]},
    "elements": {"target": "element", "targets": 2},
    "weights": {"target": "weights"},
    "two classes": {"targets": 2},
    "a required target": {"target_input": "required", "initial": "one"},
    "no target": {"target_input": "none"},
    "inner values": {"relevance_at": ("h",), "coefficients_at": ["h"], "ledger": True},
    "inner values alone": {"inputs": [], "relevance_at": ["h"]},
    "the probability": {"explain_probability": True, "on_unsupported": "stop"},
    "no tables": {"trees_table": np.bool_(False)},
    "less of it": {"reduce": {"x": "top=2"}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_same_bytes_again(options, tmp_path):
    """Whatever the options were: they come from the metadata of the explained file alone."""
    onnx.save(onnx.parser.parse_model(SOURCE), tmp_path / "m.onnx")
    explained = onnxlrp.convert(tmp_path / "m.onnx", **options)
    explained.save(tmp_path / "m.lrp.onnx")
    asked = {"target": [0, 1]} if options.get("targets") == 2 and "target" not in options else {}
    onnxlrp.Explainer(tmp_path / "m.lrp.onnx")({"x": ROWS}, **asked).save(tmp_path / "r.json")
    verification = verify(tmp_path / "r.json", inputs={"x": ROWS})
    assert verification.ok, str(verification)
    assert "note" not in {one.state for one in verification.findings}


def test_a_predicate_cannot_be_built_again(tmp_path):
    explained = onnxlrp.convert(onnx.parser.parse_model(SOURCE), rules=[(lambda step: step.layer, "ZPlus()")])
    record = recorder_of(onnxlrp.Explainer(explained)({"x": ROWS})).record()
    with pytest.raises(InputError, match="function of Python"):
        rebuild(record, onnx.parser.parse_model(SOURCE))


def test_options_are_told_where_they_are_not_the_defaults():
    given = {"model": "m.onnx", "composite": "lrp0", "target": "class", "targets": np.int64(2), "inputs": ("x",)}
    assert changed_options(convert, given) == {"targets": 2, "inputs": ["x"]}
    assert changed_options(convert, {"output": object()}) == {"output": "<object>"}


def test_overrides_as_text():
    """Names of nodes may hold `=`, and arguments of rules do."""
    assert parse_override("a=b=Gamma(gamma=0.3)") == ("a=b", Gamma(0.3))
    with pytest.raises(InputError, match="is not PATTERN=RULE"):
        parse_override("Gemm")
