"""`--reduce` and `--no-inputs` on the command line."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.cli.test_commands import call, refused
from tests.reduced import model, sample


@pytest.fixture
def source(tmp_path):
    """A model of pictures, and two pictures for it."""
    onnx.save(model("NCHW"), tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", sample("NCHW", {"N": 2, "H": 20, "W": 24}))
    return tmp_path


@pytest.mark.parametrize("how", ["grid=4+top=3", "x=grid=4+top=3"])
def test_reduced(source, how):
    explained = source / "model.lrp.onnx"
    said = call("convert", source / "model.onnx", "-o", explained, "--reduce", how).stdout
    assert "relevance of 'x' is output 'x_relevance', reduced to grid=4+top=3" in said
    assert "its places are output 'x_relevance_indices'" in said
    assert onnxlrp.Explainer(explained).interface.reduce == {"x": "grid=4+top=3"}
    said = call("explain", explained, "--input", f"x={source / 'x.npy'}", "-o", source / "out.csv").stdout
    assert "Σ kept relevance" in said
    head = (source / "out.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head.endswith("input,rank,index,axis_1,axis_2,relevance")


def test_check_says_why_it_knows_nothing_of_conservation(source):
    explained = source / "model.lrp.onnx"
    call("convert", source / "model.onnx", "-o", explained, "--reduce", "top=3", "--ledger")
    assert "keeps the largest relevance only" in call("check", explained).stdout
    call("convert", source / "model.onnx", "-o", explained, "--reduce", "grid=3", "--ledger", "--force")
    assert "at the output" in call("check", explained).stdout


def test_json_names_the_reduction(source):
    said = call("convert", source / "model.onnx", "-o", source / "model.lrp.onnx", "--reduce", "top=3", "--json").stdout
    interface = json.loads(said)["interface"]
    assert interface["reduce"] == {"x": "top=3"}
    assert interface["relevance_indices"] == {"x": "x_relevance_indices"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--reduce", "gird=4"], "is no reduction of relevance"),
        (["--reduce", "x=top"], "takes a whole number"),
        (["--reduce", "top=3+grid=4"], "an order"),
        (["--reduce", "top=3", "--reduce", "x=grid=3"], "one reduction an input"),
        (["--reduce", "top=3", "--reduce", "top=4"], "one reduction an input"),
    ],
)
def test_wrong_usage(source, options, words):
    said = call("convert", source / "model.onnx", "-o", source / "model.lrp.onnx", *options, status=2).stderr
    assert words in " ".join(said.split())


def test_an_input_that_does_not_exist(source):
    said = refused("convert", source / "model.onnx", "-o", source / "out.onnx", "--reduce", "y=top=3")
    assert "no relevance of 'y'" in said


def test_no_inputs(source):
    explained = source / "inner.lrp.onnx"
    said = call(
        "convert", source / "model.onnx", "-o", explained, "--no-inputs", "--relevance-at", "r", "--ledger"
    ).stdout
    assert "relevance of the inner value 'r' is output 'r_relevance'" in said
    said = call("explain", explained, "--input", f"x={source / 'x.npy'}", "-o", source / "inner.csv").stdout
    assert "Σ relevance r" in said
    head, *rows = (source / "inner.csv").read_text(encoding="utf-8").splitlines()
    assert head.endswith("input,axis_1,axis_2,axis_3,relevance")
    assert len(rows) == 2 * 4 * 20 * 24
    assert "at input r" in call("check", explained).stdout


@pytest.mark.parametrize("options", [["--no-inputs"], ["--no-inputs", "--relevance-at", "r", "--input", "x"]])
def test_no_inputs_needs_inner_values_alone(source, options):
    said = call("convert", source / "model.onnx", "-o", source / "out.onnx", *options, status=2).stderr
    assert "without --input" in " ".join(said.split())
