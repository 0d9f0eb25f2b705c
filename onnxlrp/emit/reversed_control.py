"""If, Loop and Scan backwards: the same branch, the same number of steps, each step walked in reverse."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.emit.reversed_body import Reverse, append, arrived_at, captured_by, record_inner_ledger
from onnxlrp.emit.reversed_loop import loop
from onnxlrp.emit.reversed_scan import scan
from onnxlrp.emit.walk import Walk
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan import Step


def control(walk: Walk, step: Step) -> None:
    """Walk the bodies of a node."""
    {"If": branches, "Loop": loop, "Scan": scan}[step.node.op_type](walk, step)


def branches(walk: Walk, step: Step) -> None:
    arrived, wanted = arrived_at(walk, step), captured_by(walk, step)
    attributes, results = [], []
    for name, body in zip(("then_branch", "else_branch"), bodies(step.node), strict=True):
        reverse = Reverse(walk, step, body)
        results = reverse.amounts([(reverse.outputs[i], r) for i, r in arrived.items()], wanted, {})
        results += [reverse.total] if reverse.total is not None else []
        attributes.append(ir.AttrGraph(name, reverse.finish([], results)))
    node = ir.Node("", "If", [step.node.inputs[0]], attributes, num_outputs=len(results))
    outs = append(walk, step, node, results)
    for value, r in zip(wanted, outs, strict=False):
        walk.send(value, r)
    if walk.ledger is not None:
        record_inner_ledger(walk, step, outs[-1])
