"""The whole pipeline on one screen: read, canonicalise, analyse, plan, emit, tidy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
import onnx_ir as ir

from onnxlrp._version import __version__
from onnxlrp.analysis.facts import Facts, analyse
from onnxlrp.analysis.reach import carries, dead_ends, values_leading_to_input
from onnxlrp.analysis.references import Background
from onnxlrp.collector import paused_collector
from onnxlrp.composites import Composite, Overridden
from onnxlrp.composites import parse as parse_composite
from onnxlrp.emit.emit import Emitted, Request, emit
from onnxlrp.errors import InputError, NothingToExplainError, UnsupportedOperatorError
from onnxlrp.finish import save
from onnxlrp.finish.tidy import tidy
from onnxlrp.graph.names import Names
from onnxlrp.interface import Interface
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan import Plan, Step, make_plan
from onnxlrp.plan.without_numbers import encoded_words, lookup_without_product
from onnxlrp.plan.working_types import type_of_layers
from onnxlrp.printable import escaped, listed
from onnxlrp.reprs import counted, cut
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
from onnxlrp.targets import kind_named
from onnxlrp.targets.options import TargetOptions

Rules = Sequence[tuple[str | Callable[[Step], bool], Rule | str]]
"""Patterns (a node's name with wildcards, an operator, a function of a step), each with its rule."""


@dataclasses.dataclass
class Explained:
    """A model that explains itself: the result of `convert`.

    ```python
    explained = onnxlrp.convert("model.onnx")
    explained.interface.relevance  # {"image": "image_relevance"}
    explained.save("model.lrp.onnx")
    ```
    """

    plan: Plan
    """Every step from the explained score to the inputs, its rule, and why; `print` shows it as a table."""
    interface: Interface
    """Names and meaning of the inputs and outputs that were added."""
    notes: tuple[str, ...]
    """Sentences about what was decided or is unusual; the plan shows them too."""
    _source: Source
    comparison: Comparison | None = None
    """The outputs of source and explained model side by side; None unless `convert` was called with `check=True`."""

    def __repr__(self) -> str:
        inputs, nodes = counted(len(self.interface.relevance), "input"), counted(len(self.plan.rows()), "node")
        return (
            f"<Explained {cut(self._source.name)}: {inputs}, composite {cut(self.plan.composite)}, {nodes} explained>"
        )

    def to_proto(self) -> onnx.ModelProto:
        """Return the explained model with its weights inside. Raises InputError past 2 GB: save it then."""
        return save.to_proto(self._source)

    def save(self, path: str | Path, *, share_weights: bool = False) -> None:
        """Write one ONNX file, whole or not at all; past 2 GB its weights lie in a file beside it, `path` + ".data".

        Parameters
        ----------
        path
            The file to write. A file that is there is replaced.
        share_weights
            True refers to the source's external weight file, in whose folder `path` must lie, and writes no weights.

        Raises
        ------
        InputError
            `path` is the source or its weights, by whatever link, or no regular file; or its data file was not written
            with an explained model at `path`; or the file cannot be written.

        Examples
        --------
        ```python
        onnxlrp.convert("model.onnx").save("model.lrp.onnx")
        ```
        """
        save.save(self._source, Path(path), share_weights=share_weights)


@own_errors
@paused_collector()
def convert(
    model: Model,
    composite: str | Path | Composite | Overridden = "auto",
    *,
    rules: Rules = (),
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    target: Literal["class", "token", "weights"] = "class",
    initial: Literal["output", "one"] = "output",
    targets: int = 1,
    relevance_at: Sequence[str] = (),
    ledger: bool = False,
    explain_probability: bool = False,
    on_unsupported: Literal["error", "stop"] = "error",
    target_input: Literal["optional", "required", "none"] = "optional",
    precision: Literal["float32", "model"] = "float32",
    background: Any = None,
    check: bool = False,
) -> Explained:
    """Add relevance outputs to a model: one run in any ONNX runtime then gives the prediction and its explanation.

    The explained model keeps the inputs and outputs of its source. Each explained input `x` adds an output
    `x_relevance`: one number for each element of `x`, in the shape of `x`, float32 (float64 where the model computes in
    it). Positive relevance speaks for the explained score, negative relevance against it. Under most composites
    relevance adds up to the score, less what biases and stabilisers absorb; under those that are gradients it is the
    derivative of the score. The class is chosen at run time by an optional input, `target`; without it the predicted
    class is explained.

    Parameters
    ----------
    model
        The path of an ONNX file, its bytes, an `onnx.ModelProto` or an `onnx_ir.Model`; it is not changed. Weights in
        files beside it are read only where its folder is known: for a path, or an onnx_ir model that was loaded from
        one. Read them into a ModelProto before you give it.
    composite
        The composite, which says what rule each layer gets: a name, perhaps with arguments
        (`"epsilon_gamma_box(low=-1, high=1)"`), an object of `onnxlrp.composites`, or the path of a TOML file.
        `onnxlrp composites` lists the names. Default: `"auto"`, rules that suit the model.
    rules
        Pairs of a pattern and a rule that are tried before the composite; the first match wins. A pattern is a node's
        name with wildcards (`"/layer4/*"`), an operator (`"Conv"`) or a function from a `Step` to bool; a rule is an
        object of `onnxlrp.rules` or its text (`"Gamma(0.1)"`). Default: none. Gradients take none.
    output
        The name of the output to explain. Default: the first floating-point one; where several could be meant, a note
        of the plan says which was taken.
    inputs
        The names of the inputs to explain. Default: every input that relevance reaches.
    target
        The kind of target, which decides what inputs choose the explained scores at run time.

        - `"class"` (default), for scores [N, classes]: `target`, int64 [1] or [N], default -1, the predicted class.
        - `"token"`, for scores [N, positions, classes]: `target` as above, and `position`, int64 [1] or [N], default
          -1, the last one.
        - `"element"`, for any shape: `<output>_element`, int64 [1, indices] or [N, indices], default -1s, the sample's
          largest element. For one pixel's class, one box's score, one step's forecast.
        - `"weights"`, for any shape: `<output>_weights`, float, broadcast to the output, default 1; relevance starts
          from weights × score. For segmentation, detection, several labels, and `onnxlrp.contrastive`.
    initial
        The relevance at the chosen score: `"output"` (default), its value, or `"one"`.
    targets
        The number K of classes or elements that one run explains, at least 1 (default). Where K > 1, `target` is int64
        [1, K] or [N, K], `<output>_element` [1, K, indices] or [N, K, indices], and every relevance is [N, K, ...]. Not
        for `target="weights"`.
    relevance_at
        The names of inner values, whose relevance becomes the outputs `<value>_relevance`, in the values' shapes.
        Default: none.
    ledger
        True adds the output `relevance_ledger`, float [steps, 5]: how much relevance arrives at each step, is passed on
        and is absorbed; `Explanation.ledger` reads it. Default: False. Gradients have none.
    explain_probability
        False (default) explains the score from which a final softmax, sigmoid or other monotone function computes the
        output; True explains the output itself. Gradients are always those of the output itself.
    on_unsupported
        The answer to operators without a rule between output and inputs: `"error"` (default) names all of them at once,
        `"stop"` lets relevance end there, and the plan says so.
    target_input
        The form of `target` and its kin: `"optional"` (default), inputs with a default; `"required"`, inputs without
        one, for runtimes that cannot override it, such as OpenVINO and onnxruntime-web; `"none"` leaves them out, so
        that the predicted class is explained.
    precision
        The arithmetic of the relevance part: `"float32"` (default), or `"model"` to stay in a model's own float16. A
        float64 model stays in float64.
    background
        Rows of data: an array [rows, ...], a data frame, a dictionary of arrays by input, or the path of a .npy, .npz
        or .csv file. Kernel machines are explained by their change from the mean of these rows. Default: the mean of a
        scaler in the model, else of the rows that the kernel itself holds.
    check
        True runs source and explained model once on random data, where onnxruntime is installed, and compares all
        outputs; `Explained.comparison` is the finding. Default: False.

    Returns
    -------
    Explained
        The explained model, its plan and its interface.

    Raises
    ------
    InvalidModelError
        The model cannot be read, contradicts itself, or is explained already.
    UnsupportedOperatorError
        Nodes between output and inputs have no rule; the message names all of them.
    NothingToExplainError
        Relevance stops before it reaches an input; the message says where and why.
    TargetError
        The output needs another kind of target.
    InputError
        An argument has no such value, or does not fit the model.
    OutputsChangedError
        `check` found that outputs differ: a defect of onnxlrp.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon_plus")
    print(explained.plan)  # node, operator, rule, and why
    explained.save("model.lrp.onnx")
    ```
    Rules for single layers, and a ledger that says where relevance was absorbed:

    ```python
    from onnxlrp.rules import Gamma

    explained = onnxlrp.convert("model.onnx", rules=[("/layer4/*", Gamma(0.1)), ("Gemm", "Epsilon(1e-3)")], ledger=True)
    explanation = onnxlrp.Explainer(explained)({"image": x}, target=1)
    print(explanation.ledger)
    ```
    """
    _check_choices(initial=initial, on_unsupported=on_unsupported, precision=precision)
    options = TargetOptions(kind_named(target), targets, target_input)
    work = _prepare(model, composite, rules, output, inputs, explain_probability, on_unsupported, background)
    if work.plan.unsupported:
        raise UnsupportedOperatorError(_unsupported_message(work.plan), tuple(work.plan.unsupported_nodes))
    reached, inner = _reached(work), _inner_values(work, relevance_at)
    _check_gradient(work, inner)
    if ledger and work.plan.composite.seed == "gradient":
        raise InputError(f"{work.plan.composite} is a gradient: it has no conservation ledger")
    axes = options.kind.layout(work.score, list(work.source.model.graph.inputs), work.output)
    dtype = _working_type(type_of_layers(work.plan.steps, work.facts, work.score), precision)
    request = Request(
        score=work.score,
        visible=work.visible,
        label=work.label if options.kind.follows_label and axes.classes is not None else None,
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
@paused_collector()
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
    """Say what `convert` would do: every step from the explained score to the inputs, its rule, and why.

    Nothing is emitted, and an operator without a rule is no error here: `Plan.unsupported` lists such nodes.

    Parameters
    ----------
    model, composite, rules, output, inputs, explain_probability, background
        As in `convert`.

    Returns
    -------
    Plan
        `print(plan)` shows it as a table, `plan.rows()` are its lines, `plan.graph` is a networkx graph of it.

    Raises
    ------
    InvalidModelError
        The model cannot be read, contradicts itself, or is explained already.
    InputError
        An argument does not fit the model.

    Examples
    --------
    ```python
    plan = onnxlrp.inspect("model.onnx", composite="epsilon_plus")
    print(plan)
    layers = [(row.node, row.rule) for row in plan.rows() if row.operator in ("Conv", "Gemm")]
    ```
    """
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
    overrides: Sequence[tuple[object, Rule]]
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
    options, label = request.options, request.label
    return Interface(
        version=__version__,
        composite=str(work.plan.composite),
        output=work.output,
        source_sha256=work.source.sha256,
        rules=tuple(f"{p if isinstance(p, str) else 'predicate'}={r}" for p, r in work.overrides),
        relevance=emitted.relevance,
        relevance_at=emitted.relevance_at,
        target=options.kind.name,
        **{f"{argument}_input": name for argument, name in emitted.inputs.items()},
        required=options.target_input == "required",
        targets=options.targets,
        batch_axis=request.axes.batch,
        class_axis=request.axes.classes,
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
        where = dead_ends(
            work.score, values_leading_to_input(work.source.model.graph, work.facts.operands, work.facts.data, [value])
        )
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
