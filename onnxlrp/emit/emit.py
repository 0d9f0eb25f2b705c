"""Emit the relevance part into the model's graph: seed, reverse walk, outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.emit.at_baseline import embeddings_at_baseline, values_at_baseline
from onnxlrp.emit.coefficients import coefficient
from onnxlrp.emit.concept_masks import mask_inputs, spread_masks
from onnxlrp.emit.context import Context
from onnxlrp.emit.enlarged_map import maps_of_inputs
from onnxlrp.emit.float16 import half_seed, unscaled, widest
from onnxlrp.emit.gradients import GRADIENT
from onnxlrp.emit.interactions import interactions_of_inputs
from onnxlrp.emit.ledger import LedgerTaps
from onnxlrp.emit.multi_target import scan_targets
from onnxlrp.emit.reduced_relevance import reduced
from onnxlrp.emit.reference_inputs import reference_inputs
from onnxlrp.emit.relevance import Amount, Factor, Relevance, total
from onnxlrp.emit.relevance_of_ids import relevance_of_inputs
from onnxlrp.emit.rescaled import RESCALED, compared_values
from onnxlrp.emit.rolled_out import rollouts_of_inputs
from onnxlrp.emit.several_points import averaged
from onnxlrp.emit.slices import Chosen, chosen
from onnxlrp.emit.treatments import RELEVANCE
from onnxlrp.emit.walk import Walk, rounded_values
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan import Plan, Step
from onnxlrp.plan.asked_interactions import Interactions
from onnxlrp.plan.asked_reductions import ReducedInput
from onnxlrp.plan.concept_axes import Concept
from onnxlrp.plan.steps import ActivationMap, Embeddings, InnerMap, Rollout
from onnxlrp.rule_language import Bound
from onnxlrp.source.question import Question
from onnxlrp.targets.kind import Axes, Seed
from onnxlrp.targets.seeder import Seeder, TargetOptions


@dataclasses.dataclass
class Emitted:
    """The additions to the graph, by the names really used."""

    inputs: dict[str, str]
    """Inputs that choose the target, by the argument of an explainer's call that they take."""
    relevance: dict[str, str]
    relevance_indices: dict[str, str]
    relevance_at: dict[str, str]
    coefficients_at: dict[str, str]
    values_at: dict[str, str]
    mask_inputs: dict[str, str]
    reference_inputs: dict[str, str]
    reference_scores: str | None
    interactions: str | None
    ledger: str | None
    steps: tuple[str, ...]
    marked: tuple[bool, ...]


@dataclasses.dataclass
class Request:
    """The relevance outputs to emit, and how."""

    question: Question
    inputs: Sequence[ir.Value]
    inner: Sequence[ir.Value]
    patched: Sequence[ir.Value]
    """Inner values whose coefficients are outputs, and the values themselves."""
    shown: Sequence[ir.Value]
    """Further inner values that are outputs themselves."""
    options: TargetOptions
    initial: str
    ledger: bool
    dtype: ir.DataType
    """Type that the relevance part computes in; its outputs are of this type or float32, whichever is wider."""
    interactions: Interactions | None = None
    """Columns whose interactions are an output too; None where nobody asks for them."""
    concepts: Sequence[Concept] = ()
    """Inner values whose relevance passes a mask."""
    reductions: Mapping[ir.Value, ReducedInput] = dataclasses.field(default_factory=dict)
    """Reductions of the relevance of inputs."""
    inner_map: InnerMap | None = None
    """The inner values whose map is laid on the inputs; None where relevance itself goes to the inputs."""
    stops_at: Sequence[ir.Value] = ()
    """Inner values that the walk ends at where no input is explained."""
    forms: str = "cheapest"
    """See `Context.forms`: "plain" is for tests."""

    @property
    def ends(self) -> Sequence[ir.Value]:
        """The values that the walk ends at."""
        return self.inputs if self.inner_map is None else self.inner_map.ends

    @property
    def axes(self) -> Axes:
        """The axes of the explained score that count samples and classes."""
        assert self.question.axes is not None
        return self.question.axes


def emit(op: ReverseBuilder, facts: Facts, plan: Plan, request: Request, unique: Callable[[str], str]) -> Emitted:
    """Append the relevance part; every explained input, inner value and the ledger become outputs of the graph."""
    op.label("target")
    question, options, result = request.question, request.options, widest(request.dtype)
    seeder = Seeder(op, question, options, request.dtype, unique)
    before = set(op.graph)
    seed = options.kind.seed(seeder, request.axes)
    seeding = [node for node in op.graph if node not in before]
    ledger = LedgerTaps(op, request.dtype) if request.ledger else None
    asked, required = plan.composite.is_given_in_calls, options.target_input == "required"
    references = reference_inputs(op.graph, request.inputs, unique, required=required) if asked else {}
    asked_masks = mask_inputs(op, request.concepts, result, unique, required=required)
    masks = spread_masks(op, request.concepts, asked_masks)
    context = dataclasses.replace(_context(op, facts, plan, request, references), masks=masks)
    walked = _walked(context, plan, request, seed, ledger)
    walk, scale, targets = walked.walk, walked.scale, options.targets
    op.label("relevance")
    tensors, shapes = _asked_tensors(walked, plan, request)
    wanted, ends = request.inner_map, len(request.ends)
    if ledger is not None:
        table = unscaled(op, op.cast(ledger.table(), result), scale)
        ledger.label(tensors)
        tensors.append(table)
    if targets > 1:
        tensors = scan_targets(op, walked.start, walked.first, tensors)
    if plan.composite.points is not None:
        embedded = _embedded(context, request, plan.composite.points.baseline, {})
        tensors = averaged(context, plan.composite.points, request.ends, tensors, seeding, targets, embedded)
    if isinstance(wanted, Embeddings):
        tensors[:ends] = relevance_of_inputs(walk.context, wanted, tensors[:ends], request.inputs, targets)
    op.label("relevance")
    outs, places = _outputs(op, tensors, shapes, request, unique)
    if ledger is not None:
        op.label("ledger")
        # Signed sums over all targets, as they are over the batch.
        table = tensors[-1] if targets == 1 else op.ReduceSum(tensors[-1], op.ints([0]), keepdims=0)
        outs.append(op.alias(table, unique("relevance_ledger")))
    shown = [*request.patched, *request.shown]
    values_at = [op.alias(value, unique(f"{value.name}_value")) for value in shown]
    op.graph.outputs.extend([*outs, *values_at, *places.values()])
    scores: ir.Value | None = None
    if references:
        scores = op.alias(context.baseline[question.score], unique(f"{question.name}_reference"))
        op.graph.outputs.append(scores)
    names = [str(out.name) for out in outs]
    count = len(request.inputs) + len(request.inner)
    rows, marked = ({}, set()) if ledger is None else (ledger.rows, ledger.marked)
    return Emitted(
        inputs={argument: str(value.name) for argument, value in seeder.inputs.items()},
        relevance={str(v.name): n for v, n in zip(request.inputs, names, strict=False)},
        relevance_indices={name: str(place.name) for name, place in places.items()},
        relevance_at={str(v.name): n for v, n in zip(request.inner, names[len(request.inputs) :], strict=False)},
        coefficients_at={str(v.name): n for v, n in zip(request.patched, names[count:], strict=False)},
        values_at={str(v.name): str(at.name) for v, at in zip(shown, values_at, strict=True)},
        mask_inputs={str(v.name): str(given.name) for v, given in asked_masks.items()},
        reference_inputs={str(v.name): str(given.name) for v, given in references.items()},
        reference_scores=None if scores is None else str(scores.name),
        interactions=None if request.interactions is None else names[count + len(request.patched)],
        ledger=None if ledger is None else names[-1],
        steps=tuple(rows),
        marked=tuple(step in marked for step in rows),
    )


def _context(
    op: ReverseBuilder, facts: Facts, plan: Plan, request: Request, references: Mapping[ir.Value, ir.Value]
) -> Context:
    """The context of the main graph. From here on the facts do not change."""
    facts, composite, dtype = facts.frozen(), plan.composite, request.dtype
    receivers = frozenset(
        {*(v for s in plan.steps for v in s.outputs), *request.ends, *request.stops_at, request.question.score}
    )
    treatments = GRADIENT if composite.seed == "gradient" else RELEVANCE
    rounded, ledger, forms = rounded_values(plan.steps, op.graph), request.ledger, request.forms
    exact = bool(request.patched)
    context = Context(op, facts, composite, dtype, dtype, receivers, treatments, {}, rounded, ledger, exact, forms)
    if composite.reference is None:
        return context
    score, compared = request.question.score, compared_values(plan.steps)
    given = {**references, **_embedded(context, request, composite.reference, references)}
    baseline = values_at_baseline(context, score, request.ends, compared, composite.reference, given)
    return dataclasses.replace(context, treatments=RESCALED, baseline=baseline)


@dataclasses.dataclass(frozen=True)
class _Walked:
    """The walk from the score to the inputs, and what it started from."""

    walk: Walk
    start: ir.Value
    """Relevance of the score, of every target."""
    first: ir.Value
    """Relevance of the score that the walk started from, that of the first target."""
    scale: ir.Value | None
    """The number that float16 relevance was multiplied with; None if it is not scaled."""


def _walked(context: Context, plan: Plan, request: Request, seed: Seed, ledger: LedgerTaps | None) -> _Walked:
    """Walk from the score to the inputs."""
    op, score = context.op, request.question.score
    # The last product alone, where all relevance starts at one of its scores and nobody asks for more of it.
    inside = request.inner or request.patched
    one = None if inside or seed.choice is None else chosen(context, plan.steps, score, seed.choice)
    whole, score = (seed.tensor, score) if one is None else (one.seed, one.score)
    scale, start = half_seed(op, whole, score) if request.dtype == ir.DataType.FLOAT16 else (None, whole)
    first = start if request.options.targets == 1 else op.Gather(start, op.ints_scalar(0), axis=0)
    walk = Walk(context if one is None else one.context(context), ledger)
    walk.start(_start(walk.context, request, score, first))
    walk.run(plan.steps if one is None else _after_score(walk, one))
    return _Walked(walk, start, first, scale)


def _asked_tensors(
    walked: _Walked, plan: Plan, request: Request
) -> tuple[list[ir.Value], list[tuple[str, ir.Shape | None]]]:
    """Collect the relevance, coefficients and interactions that are asked for; and the name and declared shape of the
    output of each."""
    walk, scale, op, result = walked.walk, walked.scale, walked.walk.context.op, widest(request.dtype)
    values, looked_up = [*request.ends, *request.inner], _looked_up(walk, plan)
    tensors = [unscaled(op, _result(walk, looked_up, value, request), scale) for value in values]
    wanted, ends = request.inner_map, len(request.ends)
    if wanted is not None and not isinstance(wanted, Embeddings):
        tensors[:ends] = _maps(walk.context, wanted, tensors[:ends], request.inputs)
    shapes = [(f"{v.name}_relevance", v.shape) for v in [*request.inputs, *request.inner]]
    for value in request.patched:
        tensors.append(unscaled(op, coefficient(walk, plan.steps, value, result), scale))
        shapes.append((f"{value.name}_coefficient", value.shape))
    if request.interactions is not None:
        op.label("interactions")
        pairs = {name: unscaled(op, op.cast(v, result), scale) for name, v in walk.interactions.items()}
        relevance = tensors[: len(request.inputs)]
        tensors.append(interactions_of_inputs(op, request.interactions, pairs, relevance, result))
        shapes.append(_declared_pairs(request.inputs, len(request.interactions.columns)))
    return tensors, shapes


def _start(context: Context, request: Request, score: ir.Value, seed: ir.Value) -> Relevance:
    if context.composite.seed == "gradient" or request.initial == "one":
        return Amount(score, seed)
    positive = context.composite.seed == "positive"
    return Factor(score, seed, context.op.Relu(context.read(score)) if positive else score)


def _after_score(walk: Walk, one: Chosen) -> Sequence[Step]:
    """Walk from a single score to the rows [N, T, D] that its layer's row is one of; returns the steps upstream of
    them."""
    for step in one.skipped:
        walk.hand_on(step, one.score)
    walk.run([one.step])
    walk.start(one.spread(walk.context, total(walk.context, walk.relevance[one.row])))
    return one.rest


def _looked_up(walk: Walk, plan: Plan) -> Walk:
    """Walk on from the ids of embedding lookups under gradient × input: what arrives there is already the product of
    embedding and gradient, and must not be multiplied with the ids."""
    more = Walk(walk.context)
    for product in walk.products:
        more.start(product)
    more.run(plan.steps)
    return more


def _result(walk: Walk, looked_up: Walk, value: ir.Value, request: Request) -> ir.Value:
    """The relevance of an input or inner value, in its shape and the type of the relevance outputs."""
    op, composite, dtype = walk.context.op, walk.context.composite, widest(request.dtype)
    amount = walk.amount(value, dtype)
    if value in walk.relevance and composite.seed == "gradient" and composite.times_input:
        amount = op.Mul(amount, dataclasses.replace(walk.context, dtype=dtype).finite(value))
    if value in walk.context.baseline:
        amount = op.Mul(amount, op.cast(op.Sub(value, walk.context.baseline[value]), dtype))
    return op.Add(amount, looked_up.amount(value, dtype)) if value in looked_up.relevance else amount


def _embedded(
    context: Context, request: Request, baseline: Bound, references: Mapping[ir.Value, ir.Value]
) -> dict[ir.Value, ir.Value]:
    """The embeddings of ids that are a baseline, by the model's own; none where there is no baseline."""
    wanted = request.inner_map
    if not isinstance(wanted, Embeddings) or baseline is None:
        return {}
    return embeddings_at_baseline(context, wanted, baseline, references)


def _maps(
    context: Context, wanted: ActivationMap | Rollout, gradients: Sequence[ir.Value], inputs: Sequence[ir.Value]
) -> list[ir.Value]:
    """The maps on the inputs, from the gradients at `wanted.ends`."""
    if isinstance(wanted, ActivationMap):
        return maps_of_inputs(context.op, wanted, gradients[0], inputs)
    return rollouts_of_inputs(context, wanted, gradients, inputs)


def _declared_pairs(inputs: Sequence[ir.Value], columns: int) -> tuple[str, ir.Shape | None]:
    """Name the output of interactions between all columns of the inputs, [N, columns, columns]."""
    name = f"{inputs[0].name}_interactions" if len(inputs) == 1 else "interactions"
    return name, None if inputs[0].shape is None else ir.Shape([inputs[0].shape[0], columns, columns])


def _outputs(
    op: ReverseBuilder,
    tensors: Sequence[ir.Value],
    shapes: Sequence[tuple[str, ir.Shape | None]],
    request: Request,
    unique: Callable[[str], str],
) -> tuple[list[ir.Value], dict[str, ir.Value]]:
    """Give results the names and shapes of outputs, those of the first ones, the inputs, reduced where that is asked
    for; the other outputs, by the input, hold the places of its most relevant elements."""
    outs, places = [], {}
    for index, (tensor, (name, shape)) in enumerate(zip(tensors, shapes, strict=False)):
        value = request.inputs[index] if index < len(request.inputs) else None
        asked = None if value is None else request.reductions.get(value)
        if value is None or asked is None:
            outs.append(_output(op, tensor, unique(name), shape, request.options.targets))
            continue
        whole = tensor if asked.has_no_batch else _samples_first(op, tensor, shape, request.options.targets)
        op.label("reduced relevance")
        parts = reduced(op, whole, asked, request.options.targets)
        outs.append(_named(op, parts[0], unique(name), asked.result_shape, request.options.targets))
        if parts[1] is not None:
            named = unique(f"{name}_indices")
            places[str(value.name)] = _named(op, parts[1], named, asked.result_shape, request.options.targets)
        op.label("relevance")
    return outs, places


def _output(op: ReverseBuilder, tensor: ir.Value, name: str, shape: ir.Shape | None, targets: int) -> ir.Value:
    """Give a result the name and shape of an output: [N, …] for one target; for K targets [K, N, …] is transposed to
    [N, K, …], and a result of one number for each target stays [K]."""
    return _named(op, _samples_first(op, tensor, shape, targets), name, shape, targets)


def _samples_first(op: ReverseBuilder, tensor: ir.Value, shape: ir.Shape | None, targets: int) -> ir.Value:
    """Transpose [K, N, …] to [N, K, …]."""
    return op.Transpose(tensor, perm=[1, 0, *range(2, len(shape) + 1)]) if targets > 1 and shape else tensor


def _named(op: ReverseBuilder, tensor: ir.Value, name: str, shape: ir.Shape | None, targets: int) -> ir.Value:
    """Make an output of its declared shape; K targets have an axis after that of the samples."""
    out = op.alias(tensor, name)
    if targets == 1:
        out.shape = shape
    elif shape is not None:
        out.shape = ir.Shape([*shape[:1], targets, *shape[1:]])
    return out
