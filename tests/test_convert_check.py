"""`convert(check=True)` and `onnxlrp convert`: source and explained model are run once, and their outputs compared."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import app
from onnxlrp.errors import OutputsChangedError
from onnxlrp.operators import registry
from onnxlrp.runtime.checking import compare_with_source


def gelu(inputs=(("x", TensorProto.FLOAT, ["N", 4]),)):
    """A matrix product and onnxruntime's own GELU."""
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["z"]),
        helper.make_node("Gelu", ["z"], ["y"], domain="com.microsoft"),
    ]
    return graph(nodes, inputs, {"W": weight})


def graph(nodes, inputs, constants=None):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(v, k) for k, v in (constants or {}).items()],
    )
    domains = {"": 21, **{n.domain: 1 for n in nodes if n.domain}}
    return helper.make_model(made, opset_imports=[helper.make_opsetid(k, v) for k, v in domains.items()], ir_version=10)


@pytest.fixture
def broken(monkeypatch):
    """A handler that writes GELU out as another function."""
    key = ("com.microsoft", "Gelu")
    entry = dataclasses.replace(registry._OPERATORS[key], function=lambda op, call: [op.Sigmoid(call.operand(0))])
    monkeypatch.setitem(registry._OPERATORS, key, entry)


def test_equal_outputs_are_said():
    explained = onnxlrp.convert(gelu(), check=True)
    assert [one.name for one in explained.comparison.outputs] == ["y"]
    assert explained.comparison.outputs[0].ok and not explained.comparison.skipped
    assert "outputs are" in explained.comparison.text


def test_without_check_nothing_is_run():
    assert onnxlrp.convert(gelu()).comparison is None


def test_a_broken_handler_is_caught(broken):
    with pytest.raises(OutputsChangedError, match="output 'y' differs by"):
        onnxlrp.convert(gelu(), check=True)


def test_the_command_writes_nothing_where_a_handler_is_broken(broken, tmp_path):
    source, out = tmp_path / "source.onnx", tmp_path / "out.onnx"
    onnx.save(gelu(), source)
    result = CliRunner().invoke(app, ["convert", str(source), "-o", str(out)])
    assert result.exit_code == 4 and "output 'y' differs by" in result.stderr and "--no-check" in result.stderr
    assert not out.exists()
    assert CliRunner().invoke(app, ["convert", str(source), "-o", str(out), "--no-check"]).exit_code == 0
    assert out.exists()


def test_the_command_reports_the_check(tmp_path):
    source, out = tmp_path / "source.onnx", tmp_path / "out.onnx"
    onnx.save(gelu(), source)
    assert "outputs are" in CliRunner().invoke(app, ["convert", str(source), "-o", str(out)]).stdout
    result = CliRunner().invoke(app, ["convert", str(source), "-o", str(out), "--force", "--json"])
    assert [one["name"] for one in json.loads(result.stdout)["check"]["outputs"]] == ["y"]


@pytest.mark.parametrize(
    "options",
    [
        {"target": "weights"},
        {"target_input": "required"},
        {"target_input": "none"},
        {"targets": 2},
        {"composite": "gradient"},
        {"ledger": True},
        {"relevance_at": ["z"]},
    ],
    ids=str,
)
def test_every_kind_of_interface_is_run(options):
    assert onnxlrp.convert(gelu(), check=True, **options).comparison.outputs[0].ok


@pytest.mark.parametrize("form", ["path", "bytes", "ir"])
def test_every_form_of_a_source(form, tmp_path):
    model = gelu()
    onnx.save(model, tmp_path / "source.onnx")
    made = {
        "path": tmp_path / "source.onnx",
        "bytes": model.SerializeToString(),
        "ir": __import__("onnx_ir").from_proto(model),
    }
    assert onnxlrp.convert(made[form], check=True).comparison.outputs[0].ok


def test_a_source_that_does_not_run_on_random_data_is_said():
    """Two inputs of sizes that must agree, although the file gives each a symbol of its own."""
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    model = graph(nodes, [("x", TensorProto.FLOAT, ["N", "M"])], {"shape": np.array([7, 11, 13])})
    found = onnxlrp.convert(model, target="weights", check=True).comparison
    assert not found.outputs and "does not run on these inputs" in found.skipped


def test_a_source_that_draws_numbers_is_said():
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["noise"]), helper.make_node("Add", ["x", "noise"], ["y"])]
    found = onnxlrp.convert(graph(nodes, [("x", TensorProto.FLOAT, [2, 3])]), check=True).comparison
    assert not found.outputs and "every run" in found.skipped


def test_without_onnxruntime_the_check_is_skipped(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = onnxlrp.convert(gelu(), check=True).comparison
    assert not found.outputs and "pip install" in found.skipped


def test_an_explained_model_that_does_not_run_is_a_failure():
    explained = onnxlrp.convert(gelu()).to_proto()
    for node in explained.graph.node:
        if node.op_type == "MatMul" and "y" not in node.output:
            node.op_type = "NoSuchOperator"
    with pytest.raises(OutputsChangedError, match="does not run where its source does"):
        compare_with_source(gelu(), explained)


def test_rounding_that_the_source_shows_itself_counts_as_equal():
    """A small number by two large ones: onnxruntime's optimisations change its last digits, and so may ours."""
    from onnxlrp.runtime.checking import OutputCheck, _with_rounding

    off = OutputCheck("y", 2e-5, 1e-5)
    assert _with_rounding([off], [OutputCheck("y", 1e-5, 1e-5)])[0].ok
    assert not _with_rounding([off], [OutputCheck("y", 5e-6, 1e-5)])[0].ok
    assert not _with_rounding([OutputCheck("y", 2e-3, 1e-5)], [OutputCheck("y", 5e-3, 1e-5)])[0].ok
    assert not _with_rounding([OutputCheck("y", float("inf"), 0.0)], [OutputCheck("y", 1e-5, 0.0)])[0].ok
