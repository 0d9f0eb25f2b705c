"""Emit the relevance part into the model's graph: seed, reverse walk, outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.composites import Composite
from onnxlrp.emit import multi_target
from onnxlrp.emit.float16 import half_seed, unscaled
from onnxlrp.emit.gradients import GRADIENT
from onnxlrp.emit.ledger import Ledger
from onnxlrp.emit.single_score import Chosen, chosen
from onnxlrp.emit.treatments import RELEVANCE
from onnxlrp.emit.walk import Treat, Walk
from onnxlrp.graph.builder import Builder
from onnxlrp.plan import Plan, StepKind
from onnxlrp.source.label_output import Label
from onnxlrp.targets.kind import Axes, Seed
from onnxlrp.targets.options import TargetOptions
from onnxlrp.targets.seeder import Seeder


@dataclasses.dataclass
class Emitted:
    """The additions to the graph, by the names really used."""

    inputs: dict[str, str]
    """Inputs that choose the target, by the argument of an explainer's call that they take."""
    relevance: dict[str, str]
    relevance_at: dict[str, str]
    ledger: str | None
    steps: tuple[str, ...]
    marked: tuple[bool, ...]


@dataclasses.dataclass
class Request:
    """The relevance outputs to emit, and how."""

    score: ir.Value
    visible: ir.Value
    """The model's own output: the default class is its largest element, not the largest of the score."""
    label: Label | None
    """The label output whose class is explained by default."""
    output_name: str
    axes: Axes
    inputs: Sequence[ir.Value]
    inner: Sequence[ir.Value]
    options: TargetOptions
    initial: str
    ledger: bool
    dtype: ir.DataType
    """Type that the relevance part computes in."""
    result_dtype: ir.DataType
    """Type of the relevance outputs."""


def emit(op: Builder, facts: Facts, plan: Plan, request: Request, unique: Callable[[str], str]) -> Emitted:
    """Append the relevance part; every explained input, inner value and the ledger become outputs of the graph."""
    op.label("target")
    seeder = Seeder(
        op, request.score, request.visible, request.label, request.options, request.dtype, unique, request.output_name
    )
    seed = seeder.build(request.axes)
    receivers = {v for s in plan.steps for v in s.outputs} | set(request.inputs)
    ledger = Ledger(op, request.dtype) if request.ledger else None
    walk = Walk(op, facts, plan.composite, request.dtype, receivers, ledger, plan.overrides)
    walk.note_rounded(plan.steps)
    one = _one_score(walk, plan, request, seed)
    whole, score = (seed.tensor, request.score) if one is None else (one.seed, one.score)
    half = request.dtype == ir.DataType.FLOAT16
    scale, start = half_seed(op, whole, score) if half else (None, whole)
    first = start if request.options.targets == 1 else multi_target.placeholder(op, start)
    _start(walk, request, score, first)
    treatments = GRADIENT if walk.gradient else RELEVANCE
    if one is not None:
        walk.run([one.step], treatments)
        one.spread(walk)
    walk.run(plan.steps if one is None else one.rest, treatments)
    walk.dtype = request.result_dtype
    op.label("relevance")
    results: list[tuple[str, ir.Value, int]] = []
    looked_up = _looked_up(walk, plan, treatments)
    for value in (*request.inputs, *request.inner):
        amount = _result(walk, value, plan.composite, request)
        if value in looked_up.relevance:
            amount = op.Add(amount, op.cast(looked_up.amount(value), request.result_dtype))
        results.append((str(value.name), unscaled(op, amount, scale), len(value.shape or ())))
    if ledger is not None:
        results.append(("ledger", unscaled(op, op.cast(ledger.table(), request.result_dtype), scale), 2))
    tensors = [tensor for _, tensor, _ in results]
    if request.options.targets > 1:
        stacked = multi_target.scan(op, start, first, tensors)
        tensors = [multi_target.behind_batch(op, t, rank) for t, (_, _, rank) in zip(stacked, results, strict=True)]
        if ledger is not None:
            # Signed sums over all targets, as they are over the batch.
            tensors[-1] = op.ReduceSum(stacked[-1], op.ints([0]), keepdims=0)
    inputs = {argument: str(value.name) for argument, value in seeder.inputs.items()}
    return _name_outputs(op, request, inputs, tensors, ledger, unique)


def _one_score(walk: Walk, plan: Plan, request: Request, seed: Seed) -> Chosen | None:
    """The last product alone, where all relevance starts at one of its scores and nobody asks for more of it."""
    if seed.choice is None or request.inner:
        return None
    return chosen(walk, plan.steps, request.score, seed.choice)


def _start(walk: Walk, request: Request, score: ir.Value, seed: ir.Value) -> None:
    walk.receivers.add(score)
    if walk.gradient or request.initial == "one":
        walk.send(score, seed)
    elif walk.composite.seed == "positive":
        walk.send(score, seed, walk.op.Relu(walk.read(score)))
    else:
        walk.send(score, seed, score)


def _looked_up(walk: Walk, plan: Plan, treatments: Mapping[StepKind, Treat]) -> Walk:
    """Walk on from the ids of embedding lookups under gradient × input.

    What arrives there is already the product of embedding and gradient, and must not be multiplied with the ids.
    """
    more = Walk(walk.op, walk.facts, walk.composite, walk.carried, walk.receivers)
    for ids, product in walk.embedded:
        more.send(ids, product)
    more.run(plan.steps, treatments)
    more.dtype = walk.dtype
    return more


def _result(walk: Walk, value: ir.Value, composite: Composite, request: Request) -> ir.Value:
    """The relevance of an input or inner value, in its shape and the type of the relevance outputs."""
    op = walk.op
    if value not in walk.relevance:
        amount = op.full(op.shape(value), 0, request.result_dtype)
    else:
        amount = walk.amount(value)
        if walk.gradient and composite.times_input:
            amount = op.Mul(amount, walk.finite(value))
    return op.cast(amount, request.result_dtype)


def _name_outputs(
    op: Builder,
    request: Request,
    inputs: dict[str, str],
    tensors: Sequence[ir.Value],
    ledger: Ledger | None,
    unique: Callable[[str], str],
) -> Emitted:
    names: list[str] = []
    values = [*request.inputs, *request.inner]
    wanted = [f"{v.name}_relevance" for v in values] + (["relevance_ledger"] if ledger is not None else [])
    for tensor, name in zip(tensors, wanted, strict=True):
        out = op.alias(tensor, unique(name))
        out.shape = tensor.shape
        op.graph.outputs.append(out)
        names.append(str(out.name))
    for value, out in zip(values, op.graph.outputs[len(op.graph.outputs) - len(tensors) :], strict=False):
        if request.options.targets == 1:
            out.shape = value.shape
        elif value.shape is not None:
            out.shape = ir.Shape([*value.shape[:1], request.options.targets, *value.shape[1:]])
    split = len(request.inputs)
    rows = [] if ledger is None else list(ledger.rows.values())
    return Emitted(
        inputs,
        {str(v.name): n for v, n in zip(request.inputs, names, strict=False)},
        {str(v.name): n for v, n in zip(request.inner, names[split:], strict=False)},
        None if ledger is None else names[-1],
        tuple(r.name for r in rows),
        tuple(r.marked for r in rows),
    )
