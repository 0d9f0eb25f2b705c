"""Cautions on the command line: a note each on stderr, and entries of the JSON."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser
from typer.testing import CliRunner

from onnxlrp.cli import app


def call(*words):
    """Runs a command in this process."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def biased(tmp_path):
    """y = x·w + (100, −100): most of the score is the bias."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="fc")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [
            onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w"),
            onnx.numpy_helper.from_array(np.array([100, -100], np.float32), "b"),
        ],
    )
    path = tmp_path / "biased.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


@pytest.fixture
def rows(tmp_path):
    """Three samples."""
    path = tmp_path / "rows.npy"
    np.save(path, np.array([[1, 2], [3, 1], [2, 2]], np.float32))
    return path


def test_explain_tells_each_as_a_note(biased, rows):
    result = call("explain", biased, "--input", f"x={rows}", "--target", 1, "--composite", "epsilon", "--json")
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    cautions = json.loads(result.stdout)["cautions"]
    assert [caution["kind"] for caution in cautions] == ["absorbed", "negative"]
    expected = [f"note: {caution['sentence']} (onnxlrp help {caution['kind']})" for caution in cautions]
    assert notes == expected
    assert cautions[0]["samples"] == 3 and cautions[0]["first"] == 0
    assert "warning" not in result.stderr


def test_explain_is_silent_of_a_sound_explanation(biased, tmp_path):
    np.save(tmp_path / "large.npy", np.full((1, 2), 200, np.float32))
    words = ["explain", biased, "--input", f"x={tmp_path / 'large.npy'}", "--composite", "epsilon", "--json"]
    result = call(*words)
    assert result.stderr == "" and json.loads(result.stdout)["cautions"] == []


def test_a_folder_of_results_is_one_call(biased, rows, tmp_path):
    words = ["explain", biased, "--input", f"x={rows}", "-o", tmp_path / "out", "--batch-size", 1, "--json"]
    result = call(*words, "--composite", "epsilon")
    assert result.stderr.count("note: ") == 1 and "in all 3 samples" in result.stderr
    assert [caution["samples"] for caution in json.loads(result.stdout)["cautions"]] == [3]


def test_check_says_where_it_went(biased, rows):
    words = ["check", biased, "--input", f"x={rows}", "--composite", "epsilon"]
    assert "note: less than half of the score" in call(*words).stderr
    (caution,) = json.loads(call(*words, "--json").stdout)["cautions"]
    assert "stays in the bias of 'fc'" in caution["sentence"]


def test_check_has_no_doubts_about_noise(biased, tmp_path):
    """Random inputs: what an explanation of them lacks is no property of the model; the tables say where it went."""
    explained = tmp_path / "explained.onnx"
    call("convert", biased, "-o", explained, "--composite", "epsilon")
    (note,) = call("check", explained).stderr.splitlines()
    assert note.startswith("note: compared with ") and str(biased) in note


def test_a_plan_that_warns_is_no_note(tmp_path):
    """The plan's own warning, that ZPlus meets negative relevance, has one heading."""
    onnx.save(
        parser.parse_model(
            '<ir_version: 8, opset_import: ["" : 17]> g (float[N,1,4,4] x) => (float[N,4] y)'
            " <float[2,1,4,4] v = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,-5}, float[2,4] w = {"
            "1,2,3,4,5,6,7,8}> { c = Conv(x, v) t = Tanh(c) f = Flatten(t) y = MatMul(f, w) }"
        ),
        tmp_path / "signed.onnx",
    )
    told = call("inspect", tmp_path / "signed.onnx", "--composite", "epsilon_plus").stdout
    assert "\nwarning: ZPlus takes" in told and "note: warning" not in told
    told = call("convert", tmp_path / "signed.onnx", "-o", tmp_path / "e.onnx", "--composite", "epsilon_plus").stderr
    assert told.startswith("warning: ZPlus takes")
