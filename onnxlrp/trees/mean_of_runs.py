"""The mean over several runs of a computation, one after the other so that its memory is that of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.trees.forest import Array
from onnxlrp.trees.loop_bodies import loop_body

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def mean_of_runs(
    op: Builder, weights: Array, shape: ir.Value, dtype: ir.DataType, compute: Callable[[Builder, ir.Value], ir.Value]
) -> ir.Value:
    """Emit a Loop whose body `compute(run, number)` emits, for a number from 0 on, int64 []; returns the sum of its
    results, which all have this shape and type, times the weights [runs]."""
    start = op.full(shape, 0, dtype)
    scalar = ir.Shape([])
    kinds = {"number": (ir.DataType.INT64, scalar), "going": (ir.DataType.BOOL, scalar), "total": (dtype, start.shape)}
    body, run = loop_body(op, "background", kinds)
    number, going, total = body.inputs
    weight = run.Gather(op.constant(weights, dtype), number, axis=0)
    body.outputs.extend([run.Identity(going), run.Add(total, run.Mul(compute(run, number), weight))])
    result = ir.val("mean_over_background", dtype, start.shape)
    operands = [op.ints_scalar(weights.size), op.constant(True), start]
    op.append(ir.Node("", "Loop", operands, [ir.AttrGraph("body", body)], outputs=[result]))
    return result
