"""Carry relevance from embeddings to the ids that they were looked up by."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.emit.context import Context
from onnxlrp.emit.gradients import GRADIENT
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.walk import Walk
from onnxlrp.graph.call import shaped
from onnxlrp.plan.steps import Embeddings


def relevance_of_inputs(
    context: Context, wanted: Embeddings, relevance: Sequence[ir.Value], inputs: Sequence[ir.Value], targets: int
) -> list[ir.Value]:
    """The relevance of each input, from that of `wanted.ends`: an id gets the sum over its embedding.

    With several targets, all relevance has a leading axis of these.
    """
    op = context.op
    if targets == 1:
        return _of_one_target(context, wanted, relevance, inputs)
    parts = []
    for target in range(targets):
        own = [op.Gather(r, op.ints_scalar(target), axis=0) for r in relevance]
        own = [shaped(r, v) for r, v in zip(own, wanted.ends, strict=True)]
        parts.append([op.Unsqueeze(r, op.ints([0])) for r in _of_one_target(context, wanted, own, inputs)])
    return [op.Concat(*same, axis=0) for same in zip(*parts, strict=True)]


def _of_one_target(
    context: Context, wanted: Embeddings, relevance: Sequence[ir.Value], inputs: Sequence[ir.Value]
) -> list[ir.Value]:
    dtype = relevance[0].dtype
    assert dtype is not None
    receivers = frozenset({*wanted.ids, *(v for step in wanted.steps for v in step.outputs)})
    walk = Walk(dataclasses.replace(context, dtype=dtype, carried=dtype, receivers=receivers, treatments=GRADIENT))
    at_ends = dict(zip(wanted.ends, relevance, strict=True))
    for value in wanted.lookups:
        walk.start(Amount(value, at_ends[value]))
    walk.run(wanted.steps)
    return [at_ends[v] if v in at_ends else walk.amount(v, dtype) for v in inputs]
