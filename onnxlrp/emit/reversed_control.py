"""If, Loop and Scan backwards: the same branch, the same number of steps, each step walked in reverse."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.emit.backward import Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.reversed_body import Reverse, absorbed_inside, arrived_at, captured_by
from onnxlrp.emit.reversed_loop import reverse_loop
from onnxlrp.emit.reversed_scan import reverse_scan
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan import Step


def control(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Walk the bodies of a node."""
    return {"If": branches, "Loop": reverse_loop, "Scan": reverse_scan}[step.node.op_type](context, step, arrived)


def branches(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Walk both branches of an If; the one that was not taken is not run on the way back either."""
    came, wanted = arrived_at(context, arrived), captured_by(context, step)
    attributes, results, sides = [], [], [Reverse(context, step, body) for body in bodies(step.node)]
    for name, side in zip(("then_branch", "else_branch"), sides, strict=True):
        results = side.amounts([Amount(side.graph.outputs[i], r) for i, r in came.items()], wanted)
        results += [side.total] if side.total is not None else []
        attributes.append(ir.AttrGraph(name, side.finish([], results)))
    outs = sides[0].append([step.node.inputs[0]], attributes, results)
    parts = [Amount(v, r) for v, r in zip(wanted, outs, strict=False)]
    total = outs[-1] if context.keeps_ledger else None
    return Backward(parts, lambda: absorbed_inside(context, total), all(side.conserves for side in sides))
