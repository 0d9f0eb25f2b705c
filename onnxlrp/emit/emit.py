"""Emit the relevance part into the model's graph: seed, reverse walk, outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.emit import multi_target
from onnxlrp.emit.context import Context
from onnxlrp.emit.float16 import half_seed, unscaled
from onnxlrp.emit.gradients import GRADIENT
from onnxlrp.emit.interactions import interactions_of_inputs
from onnxlrp.emit.ledger import LedgerTaps
from onnxlrp.emit.relevance import Amount, Factor, Relevance
from onnxlrp.emit.slices import chosen
from onnxlrp.emit.treatments import RELEVANCE
from onnxlrp.emit.walk import Walk, rounded_values
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan import Plan
from onnxlrp.plan.asked_interactions import Interactions
from onnxlrp.source.label_output import Label
from onnxlrp.targets.kind import Axes
from onnxlrp.targets.seeder import Seeder, TargetOptions


@dataclasses.dataclass
class Emitted:
    """The additions to the graph, by the names really used."""

    inputs: dict[str, str]
    """Inputs that choose the target, by the argument of an explainer's call that they take."""
    relevance: dict[str, str]
    relevance_at: dict[str, str]
    interactions: str | None
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
    interactions: Interactions | None = None
    """Columns whose interactions are an output too; None where nobody asks for them."""
    forms: str = "cheapest"
    """See `Context.forms`: "plain" is for tests."""


def emit(op: ReverseBuilder, facts: Facts, plan: Plan, request: Request, unique: Callable[[str], str]) -> Emitted:
    """Append the relevance part; every explained input, inner value and the ledger become outputs of the graph."""
    op.label("target")
    seeder = Seeder(
        op, request.score, request.visible, request.label, request.options, request.dtype, unique, request.output_name
    )
    seed = request.options.kind.seed(seeder, request.axes)
    ledger = LedgerTaps(op, request.dtype) if request.ledger else None
    context = _context(op, facts, plan, request)
    # The last product alone, where all relevance starts at one of its scores and nobody asks for more of it.
    one = None if request.inner or seed.choice is None else chosen(context, plan.steps, request.score, seed.choice)
    whole, score = (seed.tensor, request.score) if one is None else (one.seed, one.score)
    half = request.dtype == ir.DataType.FLOAT16
    scale, start = half_seed(op, whole, score) if half else (None, whole)
    first = start if request.options.targets == 1 else multi_target.placeholder(op, start)
    walk = Walk(context if one is None else one.context(context), ledger)
    walk.start(_start(walk.context, request, score, first))
    if one is not None:
        for step in one.skipped:
            walk.hand_on(step, one.score)
        walk.run([one.step])
        walk.start(one.spread(walk.context, walk.relevance[one.row].total(walk.context)))
    walk.run(plan.steps if one is None else one.rest)
    op.label("relevance")
    values, looked_up = (*request.inputs, *request.inner), _looked_up(walk, plan)
    tensors = [unscaled(op, _result(walk, looked_up, value, request), scale) for value in values]
    ranks = [len(value.shape or ()) for value in values]
    if request.interactions is not None:
        op.label("interactions")
        pairs = {name: unscaled(op, op.cast(v, request.result_dtype), scale) for name, v in walk.interactions.items()}
        relevance = tensors[: len(request.inputs)]
        tensors.append(interactions_of_inputs(op, request.interactions, pairs, relevance, request.result_dtype))
        ranks.append(3)
    if ledger is not None:
        table = unscaled(op, op.cast(ledger.table(), request.result_dtype), scale)
        ledger.label(tensors)
        tensors, ranks = [*tensors, table], [*ranks, 2]
    if request.options.targets > 1:
        stacked = multi_target.scan_targets(op, start, first, tensors)
        tensors = [multi_target.after_batch(op, t, rank) for t, rank in zip(stacked, ranks, strict=True)]
        if ledger is not None:
            # Signed sums over all targets, as they are over the batch.
            op.label("ledger")
            tensors[-1] = op.ReduceSum(stacked[-1], op.ints([0]), keepdims=0)
    inputs = {argument: str(value.name) for argument, value in seeder.inputs.items()}
    return _name_outputs(op, request, inputs, tensors, ledger, unique)


def _context(op: ReverseBuilder, facts: Facts, plan: Plan, request: Request) -> Context:
    """The context of the main graph. From here on the facts do not change."""
    receivers = {v for s in plan.steps for v in s.outputs} | {*request.inputs, request.score}
    return Context(
        op,
        facts.frozen(),
        plan.composite,
        request.dtype,
        request.dtype,
        frozenset(receivers),
        GRADIENT if plan.composite.seed == "gradient" else RELEVANCE,
        rounded_values(plan.steps, op.graph),
        request.ledger,
        request.forms,
    )


def _start(context: Context, request: Request, score: ir.Value, seed: ir.Value) -> Relevance:
    if context.composite.seed == "gradient" or request.initial == "one":
        return Amount(score, seed)
    positive = context.composite.seed == "positive"
    return Factor(score, seed, context.op.Relu(context.read(score)) if positive else score)


def _looked_up(walk: Walk, plan: Plan) -> Walk:
    """Walk on from the ids of embedding lookups under gradient × input.

    What arrives there is already the product of embedding and gradient, and must not be multiplied with the ids.
    """
    more = Walk(walk.context)
    for product in walk.products:
        more.start(product)
    more.run(plan.steps)
    return more


def _result(walk: Walk, looked_up: Walk, value: ir.Value, request: Request) -> ir.Value:
    """The relevance of an input or inner value, in its shape and the type of the relevance outputs."""
    op, composite, dtype = walk.context.op, walk.context.composite, request.result_dtype
    amount, product = (way.amount(value, dtype) for way in (walk, looked_up))
    if amount is None:
        amount = op.full(op.shape(value), 0, dtype)
    elif composite.seed == "gradient" and composite.times_input:
        amount = op.Mul(amount, dataclasses.replace(walk.context, dtype=dtype).finite(value))
    return op.cast(amount, dtype) if product is None else op.Add(amount, product)


def _name_outputs(
    op: ReverseBuilder,
    request: Request,
    inputs: dict[str, str],
    tensors: Sequence[ir.Value],
    ledger: LedgerTaps | None,
    unique: Callable[[str], str],
) -> Emitted:
    values, outs = [*request.inputs, *request.inner], []
    wanted = [f"{v.name}_relevance" for v in values]
    if request.interactions is not None:
        wanted.append(f"{values[0].name}_interactions" if len(request.inputs) == 1 else "interactions")
    wanted += ["relevance_ledger"] if ledger is not None else []
    for tensor, name in zip(tensors, wanted, strict=True):
        op.label("ledger" if name == "relevance_ledger" else "relevance")
        outs.append(op.alias(tensor, unique(name)))
        outs[-1].shape = tensor.shape
    op.graph.outputs.extend(outs)
    for value, out in zip(values, outs, strict=False):
        if request.options.targets == 1:
            out.shape = value.shape
        elif value.shape is not None:
            out.shape = ir.Shape([*value.shape[:1], request.options.targets, *value.shape[1:]])
    if request.interactions is not None:
        _declare_pairs(outs[len(values)], request)
    names, split = [str(out.name) for out in outs], len(request.inputs)
    steps = () if ledger is None else tuple(ledger.rows)
    return Emitted(
        inputs,
        {str(v.name): n for v, n in zip(request.inputs, names, strict=False)},
        {str(v.name): n for v, n in zip(request.inner, names[split:], strict=False)},
        None if request.interactions is None else names[len(values)],
        None if ledger is None else names[-1],
        steps,
        tuple(ledger is not None and step in ledger.marked for step in steps),
    )


def _declare_pairs(out: ir.Value, request: Request) -> None:
    """Declare the shape of the interactions: [N, columns, columns], or [N, K, columns, columns] for K targets."""
    assert request.interactions is not None
    samples, columns, targets = request.inputs[0].shape, len(request.interactions.columns), request.options.targets
    assert samples is not None
    out.shape = ir.Shape([samples[0], *([targets] if targets > 1 else []), columns, columns])
