"""Slices of a product x·W where the plan says that relevance arrives at some columns alone, or at one score."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.analysis.layers import Layer
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Relevance, routed
from onnxlrp.emit.walk import rounded_values
from onnxlrp.plan import Step, single_score
from onnxlrp.targets.kind import Choice


def narrowed(context: Context, step: Step, arrived: Relevance) -> tuple[Step, Relevance]:
    """The layer's step on the columns that have relevance alone, and its relevance."""
    layer, columns = step.layer, step.columns
    if layer is None or columns is None:
        return step, arrived
    op, start, stop, bias = context.op, [columns.start], [columns.stop], layer.bias

    def cut(value: ir.Value | None, axis: int = -1) -> ir.Value:
        return op.Slice(value, op.ints(start), op.ints(stop), op.ints([axis]))

    w, z = cut(layer.w, 0 if layer.call.attr("transB", 0) else 1), cut(layer.z)
    if bias is not None and (not bias.shape or bias.shape[-1] != 1):
        bias = cut(bias)
    call = dataclasses.replace(layer.call.rebind({layer.weight: w}), outputs=(z,))
    layer = dataclasses.replace(layer, call=call, bias=bias, add=None)
    step = dataclasses.replace(step, layer=layer, call=call, outputs=(z,))
    return step, routed(context, [arrived], z, lambda r: cut(r[0]))


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The layer of one score per sample: `score` [N, 1, 1] = f(row [N, 1, D]; column [N, D, 1])."""

    step: Step
    score: ir.Value
    seed: ir.Value
    """1, or 0 where no such token or class exists: [N, 1, 1]."""
    row: ir.Value
    rows: ir.Value
    """The rows of all tokens, one of which is the layer's row: [N, T, D]."""
    position: ir.Value
    """The place of the layer's row among `rows`: int64 [N, 1]."""
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
    """Make the layer of one score per sample, from the first steps; None where the plan says that the score is none of
    a single product."""
    planned = single_score(steps, score, context.facts.data)
    layer = None if planned is None else planned.product.layer
    passed = [] if planned is None else [*planned.choice, planned.product]
    if any(v in context.masks for step in passed for v in step.outputs):
        return None
    if planned is None or layer is None or (choice.position is None and not planned.choice):
        return None
    position = _position(context, planned.choice[0]) if choice.position is None else choice.position
    one = _one(context, layer, choice.index, position)
    outputs, operands = (one.z,), {layer.data: one.x}
    narrow = dataclasses.replace(planned.product, layer=one, call=one.call, operands=operands, outputs=outputs)
    seed = context.op.Unsqueeze(context.op.cast(choice.exists, context.dtype), context.op.ints([2]))
    return Chosen(narrow, one.z, seed, one.x, layer.x, position, planned.choice, planned.rest)


def _position(context: Context, gather: Step) -> ir.Value:
    """The position [N, 1] at which a Gather takes one of the scores [N, T, V]."""
    op, every = context.op, gather.call.operand(0)
    wide = op.cast(gather.call.operand(1), ir.DataType.INT64)
    known = op.Where(op.Less(wide, op.ints_scalar(0)), op.Add(wide, op.dim(every, 1)), wide)
    return op.Expand(op.Reshape(known, op.ints([1, 1])), op.Concat(op.dim(every, 0), op.ints([1]), axis=0))


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
