"""Decide which part of a product's output relevance arrives at: some of its columns, or one score alone.

Queries, keys and values are often the columns of one product. Under a rule that treats attention's weights as
constants, relevance arrives at the values alone, and two thirds of the arithmetic on the way back would be done on
zeros. So would nearly all of it at the last product of a language model, where each sample explains one score, at one
token and for one class of a large vocabulary.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.plan.steps import Step

Senders = Mapping[ir.Value, Sequence[Step | None]]
"""The steps that send relevance to each value; None for the seed."""


@dataclasses.dataclass(frozen=True)
class SingleScore:
    """The steps where one element of a product [N, T, V] is explained for each sample."""

    choice: Sequence[Step]
    """The Gather that takes the token's scores, if any: it hands all relevance on."""
    product: Step
    rest: Sequence[Step]


def decide_columns(steps: Sequence[Step], scores: Collection[ir.Value]) -> None:
    """Set `Step.columns` of each product."""
    senders = _senders(steps, scores)
    for step in steps:
        if _is_product(step) and step.outputs[0] in senders:
            step.columns = _columns(step.outputs[0], senders)


def single_score(steps: Sequence[Step], score: ir.Value, data: Collection[ir.Value]) -> SingleScore | None:
    """Find the last product with constant columns if relevance starts at one of its scores alone; None if the score
    comes from anything else."""
    choice = steps[: len(steps) > 1 and _chooses_token(steps[0], score, data)]
    rest, every = steps[len(choice) :], choice[0].call.operand(0) if choice else score
    if not rest or rest[0].outputs != (every,) or len(_senders(steps, [score])[every]) > 1:
        return None
    layer = rest[0].layer if _is_product(rest[0]) else None
    if layer is None or layer.x.producer() is None or len(layer.x.shape or ()) != 3:
        return None
    return SingleScore(choice, rest[0], rest[1:])


def _chooses_token(step: Step, score: ir.Value, data: Collection[ir.Value]) -> bool:
    """Decide whether a step takes the scores [N, V] at one place, the same for all samples, out of [N, T, V]."""
    call = step.call
    if (call.domain, call.op_type, step.outputs) != ("", "Gather", (score,)) or call.attr("axis", 0) != 1:
        return False
    index = call.operand(1)
    return index not in data and index.shape is not None and len(index.shape) == 0


def _senders(steps: Sequence[Step], scores: Collection[ir.Value]) -> Senders:
    senders: dict[ir.Value, list[Step | None]] = {score: [None] for score in scores}
    for step in steps:
        if any(v in senders for v in step.outputs):
            for value in step.receivers:
                senders.setdefault(value, []).append(step)
    return senders


def _is_product(step: Step) -> bool:
    """Decide whether a step is `x·W` whose columns, along the last axis of its output, may be explained one by one.
    Under a relative ε they may not: its size is computed from all of them."""
    layer, rule = step.layer, step.rule
    if layer is None or rule is None or rule.relative:
        return False
    call = layer.call
    return (call.domain, layer.data) == ("", 0) and call.op_type in ("MatMul", "Gemm") and len(layer.w.shape or ()) == 2


def _columns(value: ir.Value, senders: Senders) -> range | None:
    """Return the columns of a product's output from the first to the last that receives relevance; None if that is all
    of them, or any may."""
    *others, width = value.shape or (None,)
    if not isinstance(width, int) or width == 0:
        return None
    reached = [np.arange(0)]
    # A value, and the numbers of its columns in its own rank: of size 1 along every axis that counts anything else.
    waiting = [(value, np.arange(width).reshape([1] * len(others) + [width]))]
    while waiting:
        value, columns = waiting.pop()
        for step in senders[value]:
            pieces = None if step is None or step.call.domain != "" else _moved(step.call, columns)
            if step is None or pieces is None:
                reached.append(columns.ravel())
            else:
                waiting += [(v, piece) for v, piece in zip(step.call.outputs, pieces, strict=True) if v in senders]
    every = np.concatenate(reached)
    found = range(int(every.min()), int(every.max()) + 1) if every.size else range(width)
    return None if len(found) == width else found


def _moved(call: Call, columns: np.ndarray) -> list[np.ndarray] | None:
    """Move numbered columns as a node moves values, to each of its outputs; None for a node that does anything else."""
    kind, out = call.op_type, call.outputs[0].shape
    if kind in ("Identity", "Cast"):
        return [columns]
    if kind == "Transpose":
        return [columns.transpose(call.attr("perm"))]
    if kind in ("Split", "Gather", "Slice"):
        return _cut(call, columns)
    axes = content(call.input(1))
    if kind in ("Squeeze", "Unsqueeze") and axes is not None:
        return [(np.squeeze if kind == "Squeeze" else np.expand_dims)(columns, tuple(axes))]
    if kind == "Reshape" and columns.shape[-1:] == (columns.size,) and out is not None:
        for at in reversed(range(len(out))):
            sizes = [size for size in out[at:] if isinstance(size, int)]
            if len(sizes) == len(out) - at and math.prod(sizes) == columns.size:
                return [columns.reshape([1] * at + sizes)]
    return None


def _cut(call: Call, columns: np.ndarray) -> list[np.ndarray] | None:
    """Take numbered columns apart as a Split, Gather or Slice does; None along an axis that counts anything else."""
    axes = content(call.input(3)) if call.op_type == "Slice" else np.array([call.attr("axis", 0)])
    if axes is None or axes.size > 1 or columns.shape[axis := axes.item()] == 1:
        return None
    if call.op_type == "Split":
        sizes = [v.shape[axis] for v in call.outputs if v.shape and isinstance(v.shape[axis], int)]
        return np.split(columns, np.cumsum(sizes)[:-1], axis) if len(sizes) == len(call.outputs) else None
    places = content(call.input(1))
    if call.op_type == "Slice":
        starts, stops, steps = places, content(call.input(2)), content(call.input(4))
        if starts is None or stops is None or (call.input(4) is not None and steps is None):
            return None
        step = None if steps is None else steps.item()
        places = np.arange(columns.shape[axis])[starts.item() : stops.item() : step]
    return None if places is None else [columns.take(places, axis, mode="wrap")]
