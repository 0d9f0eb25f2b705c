"""The whole way, forward only: read, canonicalise, decide what is explained, analyse, plan, emit, finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import onnx_ir as ir

from onnxlrp.argument_checks import check_choices, check_flags, check_names
from onnxlrp.collector import paused_collector
from onnxlrp.composites import Composite, Overridden
from onnxlrp.emit.emit import Request, emit
from onnxlrp.errors import InputError
from onnxlrp.explained import Explained
from onnxlrp.finish.description import describe
from onnxlrp.finish.in_slices import Sliced
from onnxlrp.finish.on_demand import Switch
from onnxlrp.finish.tidy import tidy
from onnxlrp.graph.misses import asking
from onnxlrp.graph.names import Names
from onnxlrp.plan import Plan
from onnxlrp.plan.asked_interactions import ask_interactions
from onnxlrp.plan.asked_reductions import ask_reductions
from onnxlrp.plan.asked_slices import ask_slices
from onnxlrp.plan.concept_axes import decide_concepts
from onnxlrp.plan.inner_values import inner_values, named_value, patched_values
from onnxlrp.plan.plan_model import Rules, plan_model
from onnxlrp.plan.reached_inputs import reached_inputs
from onnxlrp.plan.without_numbers import check_gradient
from onnxlrp.plan.working_types import type_of_relevance
from onnxlrp.profiles import profile_named
from onnxlrp.recorded_options import changed_options, told_background
from onnxlrp.runtime.checking import compare_with_source
from onnxlrp.source.foreign import no_foreign_errors
from onnxlrp.source.read import Model
from onnxlrp.targets import kind_named
from onnxlrp.targets.seeder import TargetOptions
from onnxlrp.trees.table_budget import TableBudget


@no_foreign_errors
@paused_collector()
def convert(
    model: Model,
    composite: str | Path | Composite | Overridden = "auto",
    *,
    rules: Rules = (),
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    target: Literal["class", "token", "element", "weights"] = "class",
    initial: Literal["output", "one"] = "output",
    targets: int = 1,
    relevance_at: Sequence[str] = (),
    coefficients_at: Sequence[str] = (),
    values_at: Sequence[str] = (),
    ledger: bool = False,
    explain_probability: bool = False,
    on_unsupported: Literal["error", "stop"] = "error",
    target_input: Literal["optional", "required", "none"] = "optional",
    precision: Literal["float32", "model"] = "float32",
    background: Any = None,
    interactions: bool = False,
    on_demand: bool = False,
    reduce: str | Mapping[str, str] | None = None,
    profile: Literal["onnxruntime", "portable"] = "onnxruntime",
    memory: Literal["normal", "low"] = "normal",
    concepts: Sequence[str] = (),
    trees_table: bool = True,
    check: bool = False,
) -> Explained:
    """Add relevance outputs to a model: one run in any ONNX runtime then gives the prediction and its explanation.

    The explained model keeps the inputs and outputs of its source. Each explained input `x` adds an output
    `x_relevance`: one number for each element of `x`, in the shape of `x`, float32 (float64 where the model computes in
    it). Positive relevance speaks for the explained score, negative relevance against it. Under most composites
    relevance adds up to the score, less what biases and stabilisers absorb; that of trees and kernels to the score less
    a base value, which the file names (`Explanation.base_value`). Under those that are gradients it is the derivative
    of the score. The class is chosen at run time by an optional input, `target`; without it the predicted
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
        The names of the inputs to explain. Default: every input that relevance reaches. `[]` explains the inner values
        of `relevance_at` alone: relevance ends there, and nothing upstream of them is computed.
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
    coefficients_at
        The names of inner values, whose coefficients become the outputs `<value>_coefficient`, in the values' shapes:
        the factors c with relevance = c · value, under a gradient the derivatives. The values themselves become the
        outputs `<value>_value`. A coefficient times the change of the value estimates what a patch of it does (RelP).
        Default: none.
    values_at
        The names of inner values that become the outputs `<value>_value` themselves. Default: none.
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
        scaler in the model, else of the rows that the kernel itself holds. The rows also tell how many samples take
        each branch of a tree ensemble; the counts are stored in the explained file, the rows are not. Default: the hit
        rates of the file, else a grid of the trees' thresholds. A composite with `trees="interventional"` compares each
        sample with every row: at most 1,000, or centres that scikit-learn finds for `("kmeans=50", rows)` or the path
        `"kmeans=50:rows.csv"`.
    profile
        What the explained model is made for: `"onnxruntime"` (default), or `"portable"`, which avoids what other
        runtimes (OpenVINO, OpenCV, tract, onnxruntime-web with WebGPU, onnx2torch) lack, at the cost of a larger file;
        docs/portability.md lists what. The model is brought to opset 17 where its operators exist there, ZipMaps are
        dropped, and `target_input="optional"` becomes `"required"`, because some runtimes ignore what is fed to an
        input with a default; notes of the plan say so.
    memory
        `"normal"` (default), or `"low"`, which computes relevance for some samples of a batch at a time, in a Loop: 32
        pictures then need 1.2 times the memory of the source, a ResNet-50, in place of 8 times. Only for models with a
        batch of any size on axis 0. Where it cannot be proved that samples do not depend on each other, the forward
        pass is computed twice, and relevance is NaN where a slice's output is not that of the whole batch.
    trees_table
        True (default) lets tables of tree ensembles add up to 16 MB to the file, which make small ensembles about twice
        as fast; False computes everything in the graph.
    interactions
        True adds the Shapley interactions of tree ensembles: the output `<input>_interactions`, float [N, columns,
        columns], or for a model of several inputs one output `interactions` over all their columns, which
        `Interface.interaction_columns` names. A pair's index is halved between its two places, and each row adds up to
        the relevance of its column. With K targets [N, K, columns, columns]. Default: False.
    on_demand
        True adds the input `explain`, bool [1], default true: false computes the model's own outputs alone, at the cost
        of a forward pass, and every output that was added comes back empty, [0, ...]. An ordinary input under
        `target_input="required"`; under `"none"` it stays. Default: False.
    reduce
        The reduction of the relevance of each input by its name, computed in the graph, so that less leaves it; a
        single text if one input is explained. `"channels"` sums over the channels, so that their axis is gone.
        `"grid=14"` sums over channels and over the 14 cells along each other axis: [N, 14, 14] for pictures, [N, 14]
        for series; cell i begins at floor(i · size / 14). `"top=10"` keeps the elements of largest absolute relevance,
        [N, 10], the largest first, and adds the output `<input>_relevance_indices`, int64, their places in the
        flattened sample. `"float16"` makes the result of that type. Several are joined in this order:
        `"grid=14+top=10+float16"`. With K targets [N, K, ...]. Default: none.
    concepts
        The names of inner values whose channels can be chosen at run time (concept relevance propagation, Achtibat et
        al. 2023). Each adds the optional input `<value>_mask`, float [1, channels] or [N, channels], default ones: the
        value's relevance is multiplied with it before it is passed on. `Explainer` takes it as `channels`. It runs
        along the channels of a feature map, the heads of attention, or the features on the last axis; a note of the
        plan says which. `target_input="required"` makes it an input without a default; `"none"` keeps it. What a mask
        drops is *stopped* in the ledger. Default: none.
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
    asked = changed_options(convert, locals())
    check_choices(initial=initial, on_unsupported=on_unsupported, precision=precision, memory=memory)
    names = {"inputs": inputs, "relevance_at": relevance_at, "coefficients_at": coefficients_at}
    check_names(**names, values_at=values_at, concepts=concepts)
    flags = {"ledger": ledger, "explain_probability": explain_probability, "interactions": interactions}
    check_flags(**flags, on_demand=on_demand, trees_table=trees_table, check=check)
    made_for = profile_named(profile)
    options = TargetOptions(kind_named(target), targets, made_for.form_of_targets(target_input))
    work = plan_model(
        model,
        composite,
        rules,
        output,
        inputs,
        explain_probability,
        background,
        kind=options.kind,
        profile=made_for,
        on_unsupported=on_unsupported,
        ends=[*relevance_at, *coefficients_at],
        kept=[*values_at, *concepts],
    )
    graph, question, facts, plan = work.graph, work.question, work.facts, work.plan
    plan.refuse_unsupported()
    plan.notes += made_for.notes_about_targets(target_input)
    if not trees_table:
        work.op.tables = TableBudget(0)
    reached, notes = reached_inputs(graph, facts, plan, question)
    plan.notes += notes
    ends = [] if reached else list(facts.explained)
    inner = inner_values(graph, plan, relevance_at, work.absorbed, ends)
    patched = patched_values(graph, plan, coefficients_at, work.absorbed, initial, ends)
    shown = [named_value(graph, name, work.absorbed) for name in dict.fromkeys(values_at)]
    check_gradient(plan, [*inner, *patched])
    masked = decide_concepts(graph, facts, plan, question, concepts, work.absorbed)
    plan.notes += [concept.note for concept in masked]
    if ledger and plan.composite.seed == "gradient":
        raise InputError(f"{plan.composite} is a gradient: it has no conservation ledger")
    request = Request(
        question=question,
        inputs=reached,
        inner=inner,
        patched=patched,
        shown=[value for value in shown if value not in patched],
        options=options,
        initial=initial,
        ledger=ledger,
        interactions=ask_interactions(plan, facts, reached) if interactions else None,
        reductions=ask_reductions(reduce, question, reached, targets),
        dtype=type_of_relevance(plan.steps, facts, question.score, precision),
        concepts=masked,
        inner_map=plan.inner_map,
        stops_at=ends,
    )
    counted, kept = reached or list(question.inputs) or list(graph.inputs), [*inner, *patched, *shown]
    slices = ask_slices(memory, graph, question, counted, kept, made_for)
    unique = Names(graph).unique
    emitted = emit(work.op, facts, plan, request, unique)
    switch = Switch(unique("explain"), options.target_input == "required") if on_demand else None
    told = asked | told_background(work.background)
    interface = describe(work.source, plan, emitted, request, told, None if switch is None else switch.name)
    sliced = None if slices is None else Sliced(slices, emitted.ledger, may_cut_outputs=switch is None)
    plan.notes += tidy(work.source, work.op, interface.to_metadata(), switch, sliced)
    explained = Explained(plan, interface, tuple(plan.notes), work.source)
    if check:
        runnable = ir.serde.serialize_model(model) if isinstance(model, ir.Model) else model
        explained.comparison = compare_with_source(runnable, explained)
    return explained


@no_foreign_errors
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
    why_not: str | None = None,
) -> Plan:
    """Say what `convert` would do: every step from the explained score to the inputs, its rule, and why.

    Nothing is emitted, and an operator without a rule is no error here: `Plan.unsupported` lists such nodes.

    Parameters
    ----------
    model, composite, rules, output, inputs, explain_probability, background
        As in `convert`.
    why_not
        The name of a node of the model. `Plan.why_not` then says of every rewrite of the graph, and of everything that
        recognises layers, norms, activations and cells, why it did not apply to this node. Default: none.

    Returns
    -------
    Plan
        `print(plan)` shows it as a table, `plan.rows()` are its lines, `plan.graph` is a networkx graph of it.

    Raises
    ------
    InvalidModelError
        The model cannot be read, contradicts itself, or is explained already.
    InputError
        An argument does not fit the model; also where it has no node of the name `why_not`.

    Examples
    --------
    ```python
    plan = onnxlrp.inspect("model.onnx", composite="epsilon_plus")
    print(plan)
    layers = [(row.node, row.rule) for row in plan.rows() if row.operator in ("Conv", "Gemm")]

    print(onnxlrp.inspect("model.onnx", why_not="/layer4/relu").why_not[0])
    # Relu '/layer4/relu' is not folded into Conv '/layer4/conv': it is no BatchNormalization, Add, Sub, Mul or Div
    ```
    """
    with asking(why_not) as misses:
        work = plan_model(model, composite, rules, output, inputs, explain_probability, background)
    work.plan.why_not = [] if misses is None else misses.about(work.graph, work.absorbed)
    return work.plan
