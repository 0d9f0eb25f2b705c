"""If, Loop and Scan: their bodies, and the correspondence between operands, body inputs, body outputs and outputs."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.graph.readers import is_read
from onnxlrp.operators.registry import Reversed, custom


@dataclasses.dataclass(frozen=True)
class Body:
    """A body of a control flow node, with the correspondence of its inputs and outputs to those of the node."""

    graph: ir.Graph
    states: tuple[tuple[ir.Value, ir.Value, int, int], ...] = ()
    """States that go from step to step, each (body input, body output, operand index, output index)."""
    slices: tuple[tuple[ir.Value, int], ...] = ()
    """Operands of which each step reads one slice, each (body input, operand index)."""
    stacked: tuple[tuple[ir.Value, int], ...] = ()
    """Outputs that stack one value for each step, each (body output, output index); for an If, all of its outputs."""


def bodies(node: ir.Node) -> tuple[Body, ...]:
    """Return the bodies of an If, a Loop or a Scan; empty for other nodes."""
    if node.domain not in ("", "ai.onnx"):
        return ()
    if node.op_type == "If":
        branches = (node.attributes[name].as_graph() for name in ("then_branch", "else_branch"))
        return tuple(Body(g, stacked=tuple((v, i) for i, v in enumerate(g.outputs))) for g in branches)
    if node.op_type == "Loop":
        graph = node.attributes["body"].as_graph()
        count = len(graph.inputs) - 2
        carried = tuple((graph.inputs[k + 2], graph.outputs[k + 1], k + 2, k) for k in range(count))
        rest = tuple((v, count + i) for i, v in enumerate(graph.outputs[1 + count :]))
        return (Body(graph, carried, stacked=rest),)
    if node.op_type == "Scan":
        graph = node.attributes["body"].as_graph()
        count = len(graph.inputs) - int(node.attributes["num_scan_inputs"].value)
        carried = tuple((graph.inputs[k], graph.outputs[k], k, k) for k in range(count))
        slices = tuple((v, count + i) for i, v in enumerate(graph.inputs[count:]))
        rest = tuple((v, count + i) for i, v in enumerate(graph.outputs[count:]))
        return (Body(graph, carried, slices, rest),)
    return ()


def _relevance_operands(call: Call) -> list[int]:
    """Name the operands that may carry relevance: all but the trip count and truth values, which are conditions;
    captured values are operands too."""
    first = {"If": 1, "Loop": 2}.get(call.op_type, 0)
    return [i for i, v in enumerate(call.inputs) if i >= first and (v is None or v.dtype != ir.DataType.BOOL)]


def _takes_no_step(call: Call) -> str | None:
    """Refuse a loop that never takes a step but whose stacked outputs are read: their sizes are undefined, and each
    runtime chooses its own."""
    if call.op_type != "Loop":
        return None
    trips, start = content(call.inputs[0]), content(call.inputs[1])
    never = (trips is not None and (trips <= 0).all()) or (start is not None and not start.any())
    states = len(call.attr("body").inputs) - 2
    if never and any(map(is_read, call.outputs[states:])):
        return "it never takes a step, but outputs that stack its steps are read"
    return None


@custom("If", "Loop", "Scan", operands=_relevance_operands, per_output=True, refuse=_takes_no_step)
def nested(*_: object) -> Reversed:
    """Relevance goes back through the branch or the steps that ran; every operator inside takes its own rule."""
    raise NotImplementedError("emit.reversed_control walks the bodies")
