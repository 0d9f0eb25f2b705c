"""Losses over classes, written out: class weights are constants and carry no relevance to the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _chosen(op: Builder, call: Call, scores: ir.Value) -> ir.Value:
    """Compute `−w[t]·scores[n, t, …]` for the labels t, reduced as the call says; an ignored label has weight 0."""
    one, labels, reduction = op.ints([1]), op.cast(call.operand(1), ir.DataType.INT64), call.attr("reduction", "mean")
    ignored = None
    if call.attributes.get("ignore_index") is not None:
        ignored = op.Equal(labels, op.ints_scalar(int(call.attr("ignore_index"))))
        labels = op.Where(ignored, op.ints_scalar(0), labels)
    loss = op.Neg(op.Squeeze(op.GatherElements(scores, op.Unsqueeze(labels, one), axis=1), one))
    # Gather from a constant table would be an embedding of the labels; GatherND is not.
    weight = None if call.input(2) is None else op.GatherND(call.operand(2), op.Unsqueeze(labels, op.ints([-1])))
    loss = loss if weight is None else op.Mul(loss, weight)
    if ignored is not None:
        # Where drops the relevance of ignored samples; a product with 0 would pass it.
        zero = op.number(0.0, scores)
        loss = op.Where(ignored, zero, loss)
        weight = op.Where(ignored, zero, op.number(1.0, scores) if weight is None else weight)
    if reduction == "none":
        return loss
    if reduction == "mean" and weight is None:
        return op.ReduceMean(loss, keepdims=0)
    total = op.ReduceSum(loss, keepdims=0)
    return total if weight is None or reduction == "sum" else op.Div(total, op.ReduceSum(weight, keepdims=0))


@decomposed("NegativeLogLikelihoodLoss")
def negative_log_likelihood(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the scores of the labels, weighted and summed."""
    return [_chosen(op, call, call.operand(0))]


@decomposed("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a log-softmax and its values at the labels."""
    logarithms = op.LogSoftmax(call.operand(0), axis=1)
    return [_chosen(op, call, logarithms), logarithms]
