"""The whole pipeline on one screen: read, canonicalise, analyse, plan, emit, tidy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from onnxlrp._version import __version__
from onnxlrp.analysis.facts import Facts, analyse
from onnxlrp.analysis.reach import carries, dead_ends, values_leading_to_input
from onnxlrp.analysis.references import Background
from onnxlrp.composites import Composite, Overridden
from onnxlrp.composites import parse as parse_composite
from onnxlrp.emit.emit import Emitted, Request, emit
from onnxlrp.emit.seeds import Options, layout
from onnxlrp.errors import InputError, NothingToExplainError, UnsupportedOperatorError
from onnxlrp.finish import save
from onnxlrp.finish.tidy import tidy
from onnxlrp.graph.names import Names
from onnxlrp.interface import Interface
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan import Plan, make_plan
from onnxlrp.plan.without_numbers import encoded_words, lookup_without_product
from onnxlrp.plan.working_types import type_of_layers
from onnxlrp.printable import escaped, listed
from onnxlrp.rules import Rule
from onnxlrp.rules import parse as parse_rule
from onnxlrp.runtime.checking import Comparison, compare_with_source
from onnxlrp.source.background import rows_of
from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.explained_score import ExplainedScore, explained_score
from onnxlrp.source.foreign import own_errors
from onnxlrp.source.label_output import Label, label_of, order_note
from onnxlrp.source.outputs import explained_output, hand_out_scores
from onnxlrp.source.read import Model, Source, is_score, read

Rules = Sequence[tuple[object, Rule | str]]


@dataclasses.dataclass
class Explained:
    """A model that explains itself."""

    plan: Plan
    interface: Interface
    notes: tuple[str, ...]
    _source: Source
    comparison: Comparison | None = None
    """The outputs of source and explained model side by side; None unless `convert` was called with `check=True`."""

    def to_proto(self) -> onnx.ModelProto:
        """The explained model with its weights inside. Raises InputError past 2 GB: save it then."""
        return save.to_proto(self._source)

    def save(self, path: str | Path, *, share_weights: bool = False) -> None:
        """Write one ONNX file, whole or not at all; past 2 GB its weights lie in a file beside it, `path` + ".data".

        `share_weights`: refer to the source's external weight file, in whose folder `path` must lie. A file that is
        there is replaced. Raises InputError where that would be the source or its weights, by whatever link, something
        else than a regular file, or a data file that was not written with an explained model at `path`.
        """
        save.save(self._source, Path(path), share_weights=share_weights)


@own_errors
def convert(
    model: Model,
    composite: str | Path | Composite | Overridden = "auto",
    *,
    rules: Rules = (),
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    target: str = "class",
    initial: str = "output",
    targets: int = 1,
    relevance_at: Sequence[str] = (),
    ledger: bool = False,
    explain_probability: bool = False,
    on_unsupported: str = "error",
    target_input: str = "optional",
    precision: str = "float32",
    background: Any = None,
    check: bool = False,
) -> Explained:
    """Add relevance outputs to a model: prediction and explanation from one run, in any ONNX runtime.

    Every explained input `x` gets an output `x_relevance` of its shape; the input `target` (int64, [1] or [N], default
    −1: the predicted class) chooses what is explained. `background`: rows of data, whose mean kernels are explained
    against (an array, a data frame, a dictionary of inputs, or the path of a .npy, .npz or .csv file). `check`: run
    source and explained model once on random data where onnxruntime is installed, and compare all outputs; the finding
    is `Explained.comparison`. Raises InvalidModelError, UnsupportedOperatorError (every node without a rule at once),
    NothingToExplainError, TargetError, InputError, or OutputsChangedError where the check fails; nothing is emitted
    then.

    Weights in other files are read for a model that is given by its path (or an onnx_ir model that knows its folder),
    from that folder only. Bytes and a ModelProto have none: give the path, or read the weights into the ModelProto.
    """
    _check_choices(initial=initial, on_unsupported=on_unsupported, precision=precision)
    options = Options(target, targets, target_input)
    work = _prepare(model, composite, rules, output, inputs, explain_probability, on_unsupported, background)
    if work.plan.unsupported:
        raise UnsupportedOperatorError(_unsupported_message(work.plan), tuple(work.plan.unsupported_nodes))
    reached, inner = _reached(work), _inner_values(work, relevance_at)
    _check_gradient(work, inner)
    if ledger and work.plan.composite.seed == "gradient":
        raise InputError(f"{work.plan.composite} is a gradient: it has no conservation ledger")
    axes = layout(work.score, target, list(work.source.model.graph.inputs), work.output)
    dtype = _working_type(type_of_layers(work.plan.steps, work.facts, work.score), precision)
    request = Request(
        score=work.score,
        visible=work.visible,
        label=work.label if target == "class" and axes.classes is not None else None,
        output_name=work.output,
        axes=axes,
        inputs=reached,
        inner=inner,
        options=options,
        initial=initial,
        ledger=ledger,
        dtype=dtype,
        result_dtype=ir.DataType.DOUBLE if dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT,
    )
    emitted = emit(work.op, work.facts, work.plan, request, Names(work.source.model.graph).unique)
    interface = _interface(work, emitted, request)
    tidy(work.source, work.op, interface.to_metadata())
    explained = Explained(work.plan, interface, tuple(work.plan.notes), work.source)
    if check:
        runnable = ir.serde.serialize_model(model) if isinstance(model, ir.Model) else model
        explained.comparison = compare_with_source(runnable, explained)
    return explained


@own_errors
def inspect(
    model: Model,
    composite: str | Path | Composite | Overridden = "auto",
    *,
    rules: Rules = (),
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    explain_probability: bool = False,
    background: Any = None,
) -> Plan:
    """The plan alone; what has no rule is in `Plan.unsupported`, not an error."""
    return _prepare(model, composite, rules, output, inputs, explain_probability, "error", background).plan


@dataclasses.dataclass
class _Work:
    source: Source
    op: ReverseBuilder
    facts: Facts
    plan: Plan
    score: ir.Value
    visible: ir.Value
    """The model's own output that the score is explained in place of."""
    label: Label | None
    output: str
    explained: list[ir.Value]
    overrides: list[tuple[object, Rule]]
    absorbed: dict[str, str]
    by_name: bool


def _label(source: Source, output: ir.Value, name: str) -> Label | None:
    """The label output that names the class to explain by default; a note says so."""
    shape = output.shape
    count = None if not shape else shape[1 if len(shape) > 1 else 0]
    label = label_of(source.model.graph, output, count) if isinstance(count, int) and count > 1 else None
    if label is not None:
        source.notes.append(
            f"the default class is the one that the label output {label.value.name!r} names, which need not be the "
            f"largest of {name!r}"
        )
    elif count == 2 and (note := order_note(source.model.graph, output, name)) is not None:
        source.notes.append(note)
    return label


def _interface(work: _Work, emitted: Emitted, request: Request) -> Interface:
    """Describe the explained model, for its metadata."""
    seed, options, label = emitted.seed, request.options, request.label
    return Interface(
        version=__version__,
        composite=str(work.plan.composite),
        output=work.output,
        source_sha256=work.source.sha256,
        rules=tuple(f"{p if isinstance(p, str) else 'predicate'}={r}" for p, r in work.overrides),
        relevance=emitted.relevance,
        relevance_at=emitted.relevance_at,
        target=options.kind,
        target_input=None if seed.target is None else seed.target.name,
        position_input=None if seed.position is None else seed.position.name,
        weights_input=None if seed.weights is None else seed.weights.name,
        required=options.target_input == "required",
        targets=options.targets,
        batch_axis=seed.axes.batch,
        class_axis=seed.axes.classes,
        output_shape=_sizes(request.visible.shape),
        label_output=None if label is None else str(label.value.name),
        labels=() if label is None else label.classes,
        ledger=emitted.ledger,
        steps=emitted.steps,
        marked=emitted.marked,
        score_is_output=work.score is work.visible,
        initial=request.initial,
        seed=work.plan.composite.seed,
        has_base=work.plan.has_base,
    )


def _sizes(shape: ir.Shape | None) -> tuple[int | str | None, ...] | None:
    return None if shape is None else tuple(d if isinstance(d, int) else d.value for d in shape)


def _prepare(
    model: Model,
    composite: str | Path | Composite | Overridden,
    rules: Rules,
    output: str | None,
    inputs: Sequence[str] | None,
    explain_probability: bool,
    on_unsupported: str,
    background: Any = None,
) -> _Work:
    """Everything up to the plan."""
    chosen = parse_composite(composite)
    overrides = [(p, parse_rule(r) if isinstance(r, str) else r) for p, r in rules]
    if isinstance(chosen, Overridden):
        overrides, chosen = [*overrides, *chosen.rules], chosen.base
    source = read(model)
    hand_out_scores(source, output)
    absorbed = canonicalise(source.model)
    graph = source.model.graph
    explained = _explained_inputs(graph, inputs)
    op = ReverseBuilder(graph, "lrp", chosen.norm.epsilon)
    value, name = explained_output(source, output)
    op.label("score")
    whole = chosen.seed == "gradient" or explain_probability
    score = ExplainedScore(value) if whole else explained_score(op, value)
    label = _label(source, value, name)
    facts = analyse(graph, explained)
    facts.background = None if background is None else Background(rows_of(background, graph.inputs))
    plan = make_plan(graph, facts, score.value, chosen, overrides, on_unsupported=on_unsupported)
    plan.notes = [*source.notes, *plan.notes, *(f"explained in place of {name!r}: {part}" for part in score.parts)]
    if facts.background is not None and not facts.background.used:
        plan.notes.append("nothing in this model uses background rows")
    return _Work(
        source, op, facts, plan, score.value, value, label, name, explained, overrides, absorbed, inputs is not None
    )


def _check_choices(initial: str, on_unsupported: str, precision: str) -> None:
    for name, value, known in (
        ("initial", initial, ("output", "one")),
        ("on_unsupported", on_unsupported, ("error", "stop")),
        ("precision", precision, ("float32", "model")),
    ):
        if value not in known:
            raise InputError(f"{name} is one of {', '.join(map(repr, known))}, not {value!r}")


def _working_type(layers: ir.DataType, precision: str) -> ir.DataType:
    """The type of the relevance part for layers of some type."""
    if precision == "model" and layers == ir.DataType.BFLOAT16:
        raise InputError("precision='model': onnxruntime has no bfloat16 kernels for it; leave precision='float32'")
    return layers if precision == "model" or layers == ir.DataType.DOUBLE else ir.DataType.FLOAT


def _explained_inputs(graph: ir.Graph, names: Sequence[str] | None) -> list[ir.Value]:
    every = {str(v.name): v for v in graph.inputs}
    if names is None:
        return [v for v in graph.inputs if carries(v) and not _is_empty(v)]
    unknown = [n for n in names if n not in every]
    if unknown:
        raise InputError(f"the model has no input {', '.join(map(repr, unknown))}; its inputs: {listed(every)}")
    if empty := [n for n in names if _is_empty(every[n])]:
        raise NothingToExplainError(f"the input {empty[0]!r} is declared of shape {every[empty[0]].shape}: it is empty")
    return [every[n] for n in names]


def _is_empty(value: ir.Value) -> bool:
    """Decide whether an input is declared without elements."""
    return value.shape is not None and 0 in value.shape


def _unsupported_message(plan: Plan) -> str:
    shown = plan.unsupported[:12]
    more = len(plan.unsupported) - len(shown)
    lines = "\n".join(f"  {escaped(name)}" for name in shown) + (f"\n  … and {more} more" if more else "")
    return (
        f"{len(plan.unsupported)} node(s) between the explained output and the inputs have no rule:\n{lines}\n"
        "Register a handler with @onnxlrp.operator, explain another output, or convert with on_unsupported='stop'."
    )


def _reached(work: _Work) -> list[ir.Value]:
    """The explained inputs that relevance reaches."""
    arrived = {v for s in work.plan.steps for v in s.operands.values()} | {work.score}
    words = _words_without_gradient(work)
    work.plan.notes += words.values()
    reached = [v for v in work.explained if v in arrived and v not in words]
    if not reached:
        empty = [f"the input {v.name!r} is declared empty" for v in work.source.model.graph.inputs if _is_empty(v)]
        stopped = [*words.values(), *work.plan.stopped, *empty] or dead_ends(work.score, work.facts.data)
        stops = "; ".join(stopped[:5]) or f"no path leads from {work.output!r} to an input"
        raise NothingToExplainError(
            f"relevance of {work.output!r} reaches none of the inputs: {stops.rstrip('.')}. A value upstream of it can "
            "be explained: make it an output of the model, and name it by output="
        )
    missed = [v for v in work.explained if v not in reached]
    if missed and work.by_name:
        names = listed(v.name for v in missed)
        stops = "; ".join([*words.values(), *work.plan.stopped][:5])
        raise NothingToExplainError(f"relevance of {work.output!r} does not reach {names}: {stops}")
    for value in missed:
        where = dead_ends(work.score, values_leading_to_input(work.source.model.graph, work.facts.data, [value]))
        if where and (value.dtype == ir.DataType.STRING or is_score(value)):
            work.plan.notes.append(f"relevance does not reach the input {value.name!r}: {'; '.join(where[:3])}")
    return reached


def _words_without_gradient(work: _Work) -> dict[ir.Value, str]:
    """The explained inputs that a gradient says nothing of, each with what the plan says instead."""
    words = encoded_words(work.plan.steps, work.explained) if work.plan.composite.seed == "gradient" else []
    return {
        v: f"the input {v.name!r} holds words, which have no gradient: a composite of LRP explains it" for v in words
    }


def _check_gradient(work: _Work, inner: Sequence[ir.Value]) -> None:
    """Raise InputError where a gradient, or its product with the input, is not defined."""
    composite = work.plan.composite
    if composite.seed != "gradient":
        return
    for value in encoded_words(work.plan.steps, inner):
        raise InputError(f"{composite}: {value.name!r} holds words, which have no gradient: take a composite of LRP")
    step = lookup_without_product(work.plan.steps) if composite.times_input else None
    if step is not None:
        raise InputError(
            f"{composite}: {step.operator} node {step.name!r} looks an embedding up inside a loop or branch, or in a "
            "table of integers; take composite='gradient', or one of LRP"
        )


def _inner_values(work: _Work, names: Sequence[str]) -> list[ir.Value]:
    every = {str(v.name): v for n in work.source.model.graph for v in n.outputs}
    receivers = {v for s in work.plan.steps for v in s.outputs}
    found = []
    for name in names:
        if name in work.absorbed:
            raise InputError(f"{name!r} lies inside one step: {work.absorbed[name]}")
        if name not in every:
            raise InputError(f"the model has no inner value {name!r}; `onnxlrp inspect` lists the steps")
        if every[name] not in receivers:
            raise InputError(
                f"no relevance arrives at {name!r}: it lies inside a step that is explained as one, or off the path"
            )
        found.append(every[name])
    return found
