"""Explain one score of a product, at one token and one class, by the row and the column that make it.

Everything else there has no relevance, and its share of the arithmetic (a vocabulary's) is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.analysis.layers import Layer
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Relevance, routed
from onnxlrp.emit.walk import rounded_values
from onnxlrp.plan import Step, StepKind
from onnxlrp.targets.kind import Choice


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The layer of one score per sample: `score` [N, 1, 1] = f(row [N, 1, D]; column [N, D, 1])."""

    step: Step
    score: ir.Value
    seed: ir.Value
    """1, or 0 where no such token or class exists: [N, 1, 1]."""
    row: ir.Value
    rows: ir.Value
    """The rows that it was taken from: [N, T, D]."""
    position: ir.Value
    """Its place among them: int64 [N, 1]."""
    skipped: Sequence[Step]
    """The choice of a token, which hands all relevance on."""
    rest: Sequence[Step]

    def context(self, context: Context) -> Context:
        """The context that knows the row and the score."""
        facts = context.facts
        if self.rows in facts.nonnegative:
            facts = dataclasses.replace(facts, nonnegative=facts.nonnegative | {self.row})
        rounded = context.rounded | rounded_values([self.step], context.op.graph)
        receivers = context.receivers | {self.row, self.score}
        return dataclasses.replace(context, facts=facts, receivers=receivers, rounded=rounded)

    def spread(self, context: Context, arrived: Relevance) -> Relevance:
        """The row's relevance at its place among those of the other tokens, which have none."""
        op = context.op
        there = op.Unsqueeze(op.one_hot(self.position, op.dim(self.rows, 1), context.dtype), op.ints([2]))
        return routed(context, [arrived], self.rows, lambda tensors: op.Mul(there, tensors[0]))


def chosen(context: Context, steps: Sequence[Step], score: ir.Value, choice: Choice) -> Chosen | None:
    """The first steps for one score alone; None where they are not a product by constant columns, and perhaps the
    choice of a token downstream of it."""
    position, skipped = choice.position, steps[:0]
    if position is None and len(steps) > 1:
        position, skipped = _picked(context, steps, score), steps[:1]
        score, steps = steps[0].call.operand(0), steps[1:]
    if position is None or not steps or steps[0].outputs != (score,):
        return None
    step, layer = steps[0], steps[0].layer
    if layer is None or not _is_product(step, layer) or context.composite.seed == "gradient":
        return None
    one = _one(context, layer, choice.index, position)
    outputs, operands = (one.z,), {layer.data: one.x}
    narrow = dataclasses.replace(step, layer=one, call=one.call, operands=operands, outputs=outputs)
    seed = context.op.Unsqueeze(context.op.cast(choice.exists, context.dtype), context.op.ints([2]))
    return Chosen(narrow, one.z, seed, one.x, layer.x, position, skipped, steps[1:])


def _picked(context: Context, steps: Sequence[Step], score: ir.Value) -> ir.Value | None:
    """The position [N, 1] at which a first step takes one of the scores [N, T, V], if it does just that."""
    op, call = context.op, steps[0].call
    if (call.domain, call.op_type, steps[0].outputs) != ("", "Gather", (score,)) or call.attr("axis", 0) != 1:
        return None
    every, index = call.operand(0), call.operand(1)
    if index in context.facts.data or index.shape is None or len(index.shape) > 0:
        return None
    if sum(every in step.operands.values() for step in steps) > 1:
        return None
    wide = op.cast(index, ir.DataType.INT64)
    known = op.Where(op.Less(wide, op.ints_scalar(0)), op.Add(wide, op.dim(every, 1)), wide)
    return op.Expand(op.Reshape(known, op.ints([1, 1])), op.Concat(op.dim(every, 0), op.ints([1]), axis=0))


def _is_product(step: Step, layer: Layer) -> bool:
    if step.kind is not StepKind.LAYER or step.rule is None or step.rule.relative:
        # A relative ε is of the size of all the scores of a sample.
        return False
    product = layer.call.op_type == "MatMul" and layer.call.domain == "" and layer.data == 0
    inner = layer.x.producer() is not None
    return product and inner and [len(v.shape or ()) for v in (layer.x, layer.w)] == [3, 2]


def _one(context: Context, layer: Layer, index: ir.Value, position: ir.Value) -> Layer:
    """The row, the column and the element of the bias, and the model's own score of them."""
    op, classes = context.op, context.op.dim(layer.z, 2)
    row = op.Unsqueeze(op.GatherND(layer.x, position, batch_dims=1), op.ints([1]))
    columns = op.Gather(layer.w, op.Reshape(index, op.ints([-1])), axis=1)
    column = op.Unsqueeze(op.Transpose(columns, perm=[1, 0]), op.ints([2]))
    score = op.GatherND(layer.z, op.Concat(position, index, axis=1), batch_dims=1)
    score, bias = op.Reshape(score, op.ints([-1, 1, 1])), layer.bias
    if bias is not None:
        bias = op.Gather(op.Expand(op.Reshape(bias, op.ints([-1])), classes), index)
        bias = op.Unsqueeze(bias, op.ints([2]))
    call = dataclasses.replace(layer.call.rebind({layer.data: row, layer.weight: column}), outputs=(score,))
    return dataclasses.replace(layer, call=call, bias=bias, bias_operand=None, add=None)
