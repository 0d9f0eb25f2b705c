"""The parts of onnxscript that are not its public interface and that this package relies on, each by name.

A release of onnxscript may move them. These tests say which part is gone, and pyproject.toml holds the newest release
that was tried: raise its ceiling when the whole suite passes with the next one.
"""

from __future__ import annotations

import ast
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import onnx_ir as ir
import pytest
from onnxscript import GraphBuilder, OpBuilder
from onnxscript.rewriter import pattern
from packaging.requirements import Requirement

from onnxlrp.graph import node_inference
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.labelled_graph import LabelledGraph

ROOT = Path(__file__).parents[2]
INTERNAL = {"onnxscript._internal._inference.infer_outputs"}
"""Everything that the package imports from a module or under a name with an underscore."""
HOOKS = ("_partition_inputs_attributes", "_infer_shapes", "_annotate_node")
"""Methods of GraphBuilder that the package's own builder replaces."""


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def imported(path: Path) -> list[str]:
    """The names that a file imports from onnxscript, each with its module."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{alias.name}" for node in nodes for alias in node.names]
    return [name for name in names if name.startswith("onnxscript.")]


def test_the_list_of_internal_imports_is_complete():
    names = {name for path in (ROOT / "onnxlrp").rglob("*.py") for name in imported(path)}
    assert {name for name in names if "._" in name} == INTERNAL


def test_the_installed_release_is_within_the_bounds():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (requirement,) = [r for r in map(Requirement, stated) if r.name == "onnxscript"]
    assert any(bound.operator == "<" for bound in requirement.specifier), "onnxscript has no ceiling"
    assert version("onnxscript") in requirement.specifier


def test_inference_of_one_node():
    """It sets the types and shapes of outputs, and notes a failure in the node's metadata under our `ERROR`."""
    operand = ir.Value(name="x", shape=ir.Shape([2, 3]), type=ir.TensorType(ir.DataType.FLOAT))
    good = ir.node("Relu", [operand], version=21)
    bad = ir.node("Relu", [operand, operand], version=21)
    for node in (good, bad):
        node.outputs[0].name = "y"
        node_inference._ask(node)
    assert good.outputs[0].dtype == ir.DataType.FLOAT and good.outputs[0].shape == ir.Shape([2, 3])
    assert node_inference.ERROR not in good.metadata_props
    assert node_inference.ERROR in bad.metadata_props


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hooks_that_the_builder_replaces(hook):
    """Each exists in GraphBuilder with the same parameters; under another name ours would never be called."""
    assert hook in vars(LabelledGraph)
    assert parameters(getattr(LabelledGraph, hook)) == parameters(getattr(GraphBuilder, hook))


def test_the_list_of_hooks_is_complete():
    """A method of `LabelledGraph` that is not in `HOOKS` is public in GraphBuilder."""
    private = {
        name for name, value in vars(LabelledGraph).items() if name.startswith("_") and inspect.isfunction(value)
    }
    assert private == set(HOOKS)
    assert parameters(LabelledGraph.initializer) == parameters(GraphBuilder.initializer)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hooks_are_called(hook, monkeypatch):
    """One node that the builder appends passes through each of them."""
    calls: list[str] = []
    ours = getattr(LabelledGraph, hook)
    monkeypatch.setattr(LabelledGraph, hook, lambda self, *args: calls.append(hook) or ours(self, *args))
    operand = ir.Value(name="x", shape=ir.Shape([2]), type=ir.TensorType(ir.DataType.FLOAT))
    Builder(ir.Graph([operand], [], nodes=[], opset_imports={"": 21}), "scope").Relu(operand)
    assert calls == [hook]


def test_what_the_builder_calls_by_name():
    assert issubclass(Builder, OpBuilder)
    assert {"version", "outputs"} <= set(parameters(GraphBuilder.call_op))
    assert parameters(GraphBuilder.push_module)[:2] == ["self", "module"]


def test_patterns_are_made_of_functions():
    """The matcher of patterns takes the graph that a pattern holds."""
    assert pattern.Pattern(lambda op, x: op.Relu(x))._target_pattern is not None
    assert callable(pattern.SimplePatternMatcher)
