"""The page of messages: every error class and every kind of caution has its section, and messages name it."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest

from onnxlrp import errors
from onnxlrp.runtime.cautions import KINDS
from onnxlrp.view.messages import sections
from tests.cli.test_commands import DIGITS, call, refused
from tests.test_house import ROOT

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.OnnxLrpError)]


def test_every_error_and_every_caution_has_a_section():
    words = {one.word for one in CLASSES}
    assert len(words) == len(CLASSES)
    assert {*sections()} == {*words, *KINDS, "pixels", "record", "drift"}
    for one in CLASSES:
        assert f"`{one.__name__}`" in sections()[one.word]


def test_the_page_is_in_the_wheel():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["docs/messages.md"] == "onnxlrp/_docs/messages.md"


def test_help_prints_a_section_or_lists_all():
    assert call("help", "target").stdout.startswith("`TargetError`: a target does not exist")
    assert "](" not in call("help", "operator").stdout
    listed = call("help").stdout.splitlines()
    assert len(listed) == len(sections()) and listed[0].startswith("model: `InvalidModelError`")
    assert json.loads(call("help", "zero", "--json").stdout) == {"zero": sections()["zero"]}
    assert "did you mean 'absorbed'" in " ".join(call("help", "absorbd", status=2).stderr.replace("│", "").split())


@pytest.mark.parametrize(
    ("words", "word"), [(["inspect", "no_such.onnx"], "model"), (["inspect", DIGITS, "--output", "no_such"], "input")]
)
def test_an_error_names_its_word(words, word):
    assert refused(*words).endswith(f"more: onnxlrp help {word}\n")


def test_a_caution_names_its_kind(tmp_path):
    np.save(tmp_path / "x.npy", np.full((1, 1, 8, 8), np.nan, np.float32))
    assert "(onnxlrp help nan)" in call("explain", DIGITS, "--input", f"image={tmp_path / 'x.npy'}").stderr
