"""Pass that puts relevance under a switch: an If on the input `explain`, whose else-branch holds the model alone.

onnxruntime keeps every value that a branch reads from around it until the If has run, and reorders each activation of a
convolution that anything but the next convolution reads: with the model outside of the If, MobileNetV2 took 1.8 times
the source's time without relevance, and six times its memory. So relevance that reads activations has the model's
forward pass in its branch, and the other branch has the pass once more, as the source computes it. The weights lie
around the If, and are stored once.

Where relevance reads inputs and outputs only, the model stays where it is; also where its attributes are large, such as
those of trees, and where it holds float16: onnxruntime's CPU computes that in float32, and converts the weights once
for the main graph, but in every run for a branch (a BERT took 1.24 times the source's time, and takes 1.06).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.finish.branch_constants import bring_constants
from onnxlrp.finish.large_nodes import are_large
from onnxlrp.finish.unread_results import drop_unread_results
from onnxlrp.graph.call import values_in
from onnxlrp.graph.names import Names
from onnxlrp.graph.part_copies import copied_part
from onnxlrp.graph.provenance import mark_rule
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.source.read import Source

_RULE = "on demand"


@dataclasses.dataclass(frozen=True)
class Switch:
    """The input that switches relevance on and off."""

    name: str
    required: bool
    """True for an ordinary input, False for one that is true by default."""


def put_under_switch(source: Source, switch: Switch) -> None:
    """Move what only the added outputs need into the then-branch of an If; its else-branch makes them empty."""
    graph = source.model.graph
    names, outputs = Names(graph), list(graph.outputs)
    own, added = outputs[: len(source.outputs)], outputs[len(source.outputs) :]
    forward = set(upstream(own, read_by))
    stays = are_large(source, forward) or _holds_halves(graph)
    twice = not stays and _reads_activations(graph, forward, own)
    moved = [node for node in graph if twice or node not in forward]
    computed = [v for v in dict.fromkeys(own) if v.producer() is not None] if twice else []
    without = _forward_alone(source, [n for n in moved if n in forward], computed, names)
    graph.outputs.clear()
    graph.remove(moved)
    results = _handed_out([*computed, *added])
    _rename([*computed, *added], names, "explained")
    branches = {"then_branch": ir.Graph([], [*computed, *added], nodes=moved, name="explained"), "else_branch": without}
    for value in added:
        _add_empty(without, value, results[value], names)
    for name, branch in branches.items():
        bring_constants(branch, name[:4], _RULE, names)
    attributes = [ir.AttrGraph(name, branch) for name, branch in branches.items()]
    node = ir.Node("", "If", [_input(graph, switch)], attributes, outputs=list(results.values()), name="lrp.on_demand")
    mark_rule(node, _RULE)
    graph.append(node)
    graph.outputs.extend(results.get(value, value) for value in outputs)
    for value in added:
        results[value].shape = _of_any_length(results[value])


def _reads_activations(graph: ir.Graph, forward: set[ir.Node], own: Sequence[ir.Value]) -> bool:
    """Decide whether relevance reads values inside the model, and not only its inputs, outputs and constants."""
    read = {v for node in graph if node not in forward for v in read_by(node) if v is not None}
    data = {v for v in graph.inputs if not v.is_initializer()}
    for node in graph:
        if any(v in data for v in read_by(node)):
            data.update(node.outputs)
    return any(v in data and v.producer() in forward and v not in own for v in read)


def _holds_halves(graph: ir.Graph) -> bool:
    return any(value.dtype == ir.DataType.FLOAT16 for value in graph.initializers.values())


def _forward_alone(source: Source, nodes: Sequence[ir.Node], ends: Sequence[ir.Value], names: Names) -> ir.Graph:
    """Copy the model's nodes as the source has them.

    Results that only relevance reads are left out. Values have the shapes that the source declares, because onnxruntime
    chooses by shapes what to fuse: with all that are known a BERT took 1.08 times the source's time.
    """
    branch = copied_part(source.model.graph, nodes, [], ends)
    branch.name = "alone"
    drop_unread_results(branch)
    for node in branch:
        for value in node.outputs:
            if value not in branch.outputs:
                value.shape = source.inner.get(str(value.name))
                value.type = None if node.domain == "" and value.shape is None else value.type
    # Inference of ONNX that carries sizes along fails where two branches use one name.
    for part in (branch, *branch.subgraphs()):
        _rename([v for v in values_in(part) if v.name], names, "alone")
    return branch


def _handed_out(values: Sequence[ir.Value]) -> dict[ir.Value, ir.Value]:
    """Make the results of the If, which take the names, types and shapes of what its branches compute."""
    made = {}
    for value in values:
        out = made[value] = ir.Value(name=value.name, type=value.type, shape=value.shape, doc_string=value.doc_string)
        out.metadata_props.update(value.metadata_props)
    return made


def _rename(values: Iterable[ir.Value], names: Names, word: str) -> None:
    for value in values:
        value.name = names.unique(f"{value.name}_{word}")


def _add_empty(branch: ir.Graph, like: ir.Value, result: ir.Value, names: Names) -> None:
    """Add an output without elements to a branch, of the type and rank of `like`; a number has one axis then."""
    assert like.dtype is not None
    sizes = [0, *(d if isinstance(d, int) else 0 for d in list(like.shape or ())[1:])]
    tensor = ir.tensor(np.zeros(sizes, like.dtype.numpy()), dtype=like.dtype)
    node = ir.node("Constant", [], attributes={"value": tensor}, name=names.unique(f"lrp.empty.{result.name}"))
    mark_rule(node, _RULE)
    empty = node.outputs[0]
    empty.name, empty.type, empty.shape = names.unique(f"{result.name}_empty"), like.type, ir.Shape(sizes)
    branch.append(node)
    branch.outputs.append(empty)


def _of_any_length(value: ir.Value) -> ir.Shape | None:
    """Give axis 0 a symbol of its own, because it is 0 where the others of its name are not; None without axes."""
    if not value.shape:
        return None
    return ir.Shape([ir.SymbolicDim(f"{value.name}_0"), *list(value.shape)[1:]])


def _input(graph: ir.Graph, switch: Switch) -> ir.Value:
    value = ir.Value(name=switch.name, type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([1]))
    graph.inputs.append(value)
    if not switch.required:
        value.const_value = ir.tensor(np.ones(1, bool), name=switch.name)
        graph.register_initializer(value)
    return value
