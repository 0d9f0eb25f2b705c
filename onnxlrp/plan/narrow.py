"""Decide which part of a product's output relevance arrives at: some of its columns, or one score alone.

Queries, keys and values are often the columns of one product. Under a rule that treats attention's weights as
constants, relevance arrives at the values alone, and two thirds of the arithmetic on the way back would be done on
zeros. So would nearly all of it at the last product of a language model, where each sample explains one score, at one
token and for one class of a large vocabulary.
"""

from __future__ import annotations

import dataclasses
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
    width = _size(value, -1)
    if not width:
        return None
    found: list[np.ndarray] = []
    # A value, its axis that counts the columns, and for each place along it the columns that are there.
    waiting = [(value, len(value.shape or ()) - 1, np.arange(width)[:, None])]
    while waiting:
        value, axis, columns = waiting.pop()
        for step in senders[value]:
            if step is None or step.call.domain != "":
                return None
            pieces, moved = _taken(step.call, axis, columns), _moved(step.call, axis, columns)
            if pieces is not None:
                found += [piece.reshape(-1) for v, piece in pieces if v in senders]
            elif moved is not None:
                waiting.append((step.outputs[0], *moved))
            else:
                return None
    every = np.concatenate([*found, np.arange(0)])
    reached = range(int(every.min()), int(every.max()) + 1) if every.size else range(width)
    return None if len(reached) == width else reached


def _taken(call: Call, axis: int, columns: np.ndarray) -> list[tuple[ir.Value, np.ndarray]] | None:
    """List what comes out of a node that takes a value apart along the axis, with its columns; None for any other."""
    if call.op_type not in ("Split", "Gather", "Slice"):
        return None
    rank = call.rank()
    along = int(call.attr("axis", 0)) % rank
    if call.op_type == "Split" and along == axis:
        sizes = [size for v in call.outputs if (size := _size(v, axis)) is not None]
        pieces = zip(call.outputs, np.split(columns, np.cumsum(sizes)[:-1]), strict=False)
        return list(pieces) if len(sizes) == len(call.outputs) else None
    if call.op_type == "Gather" and along == axis:
        places = content(call.input(1))
        return None if places is None else [(call.outputs[0], columns[places % len(columns)])]
    if call.op_type == "Slice":
        starts, stops, axes, steps = (content(call.input(i)) for i in range(1, 5))
        if starts is None or stops is None or axes is None or (call.input(4) is not None and steps is None):
            return None
        if [int(a) % rank for a in axes] == [axis]:
            step = None if steps is None else steps.item()
            return [(call.outputs[0], columns[starts.item() : stops.item() : step])]
    return None


def _moved(call: Call, axis: int, columns: np.ndarray) -> tuple[int, np.ndarray] | None:
    """Find the axis in the output of a node that only moves values; None where it is no longer there."""
    if call.op_type in ("Identity", "Cast"):
        return axis, columns
    if call.op_type not in ("Transpose", "Squeeze", "Unsqueeze", "Reshape"):
        return None
    rank, out = call.rank(), call.outputs[0].shape
    if call.op_type == "Transpose":
        return call.ints("perm", list(range(rank))[::-1]).index(axis), columns
    axes = content(call.input(1))
    if call.op_type == "Squeeze" and axes is not None:
        left = [a for a in range(rank) if a not in axes % rank]
        return (left.index(axis), columns) if axis in left else None
    if call.op_type == "Unsqueeze" and axes is not None:
        rank += axes.size
        return [a for a in range(rank) if a not in axes % rank][axis], columns
    if call.op_type == "Reshape" and axis == rank - 1 and out is not None:
        width = 1
        for at in reversed(range(len(out))):
            size = out[at]
            if not isinstance(size, int):
                return None
            width *= size
            if width == len(columns):
                return at, columns.reshape(size, -1)
    return None


def _size(value: ir.Value, axis: int) -> int | None:
    size = None if not value.shape else value.shape[axis]
    return size if isinstance(size, int) else None
