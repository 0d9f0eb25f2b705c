"""If, Loop and Scan: the same branch, the same number of steps, backwards. What they hand to their bodies and back."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.graph.readers import is_read
from onnxlrp.operators.registry import Reversed, custom


@dataclasses.dataclass(frozen=True)
class Body:
    """A graph inside a node, by what stands for what."""

    graph: ir.Graph
    states: tuple[tuple[ir.Value, ir.Value, int, int], ...] = ()
    """(the body's input, the body's output, operand, output): carried from step to step."""
    slices: tuple[tuple[ir.Value, int], ...] = ()
    """(the body's input, operand): one slice of the operand a step."""
    stacked: tuple[tuple[ir.Value, int], ...] = ()
    """(the body's output, output): stacked, one a step; of an If, the output itself."""


def bodies(node: ir.Node) -> tuple[Body, ...]:
    """The bodies of an If, a Loop or a Scan; none of any other node."""
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


def _behind_condition(call: Call) -> range:
    """All but the condition (and the trip count), and what the bodies take from around them."""
    return range({"If": 1, "Loop": 2}.get(call.op_type, 0), len(call.inputs))


def _takes_no_step(call: Call) -> str | None:
    """Refuse a loop that never takes a step where what its steps would make is read: nobody knows of what sizes that
    is, and runtimes make it of any."""
    if call.op_type != "Loop":
        return None
    trips, start = content(call.inputs[0]), content(call.inputs[1])
    never = (trips is not None and (trips <= 0).all()) or (start is not None and not start.any())
    states = len(call.attr("body").inputs) - 2
    if never and any(map(is_read, call.outputs[states:])):
        return "it takes no step, and what its steps would make is read"
    return None


@custom("If", "Loop", "Scan", operands=_behind_condition, per_output=True, refuse=_takes_no_step)
def nested(*_: object) -> Reversed:
    """The same branch or the same number of steps, backwards; every operator inside by its own rule."""
    raise NotImplementedError("emit.control walks the bodies")
