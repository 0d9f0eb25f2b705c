"""`onnxlrp convert` and `onnxlrp inspect`, and the conversion that other commands begin with."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import UNUSABLE, guarded
from onnxlrp.cli.arguments import background_files, conversion, print_json, refuse_overwriting, usage
from onnxlrp.cli.asked_reduce import Reduce, asked_reductions
from onnxlrp.cli.snippet_command import about_running
from onnxlrp.errors import InputError, TargetError
from onnxlrp.printable import escaped
from onnxlrp.view import terminal

_ELSEWHERE = (
    "  for ONNX Runtime; other runtimes may refuse it, and OpenVINO may compute it wrongly without an error: "
    "--profile portable"
)
"""A line about every file of the default profile."""


@guarded
def convert(
    model: opt.Model,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The explained model to write.")],
    composite: opt.Composite = "auto",
    rule: opt.Rules = [],
    output: opt.OutputName = None,
    input: opt.InputNames = [],
    background: opt.BackgroundFile = None,
    target: opt.TargetKind = "class",
    targets: Annotated[int, typer.Option(min=1, metavar="K", help="Number of targets that one run explains.")] = 1,
    initial: Annotated[Literal["output", "one"], typer.Option(help="Relevance to start from.")] = "output",
    relevance_at: Annotated[list[str], typer.Option(metavar="NAME", help="Inner value to explain too.")] = [],
    no_inputs: Annotated[
        bool,
        typer.Option("--no-inputs", help="Explain the values of --relevance-at alone; relevance goes no further."),
    ] = False,
    coefficients_at: Annotated[
        list[str], typer.Option(metavar="NAME", help="Inner value whose coefficient is an output too.")
    ] = [],
    values_at: Annotated[list[str], typer.Option(metavar="NAME", help="Inner value that is an output too.")] = [],
    ledger: Annotated[bool, typer.Option("--ledger", help="Add the conservation ledger.")] = False,
    trees_table: Annotated[
        bool, typer.Option("--trees-table/--no-trees-table", help="Tables for tree ensembles: faster, a larger file.")
    ] = True,
    interactions: Annotated[
        bool, typer.Option("--interactions", help="Add the interactions of columns, for tree ensembles.")
    ] = False,
    on_demand: Annotated[
        bool,
        typer.Option(
            "--on-demand", help="Add the input 'explain': false computes no relevance, at the cost of a forward pass."
        ),
    ] = False,
    reduce: Reduce = [],
    concept: Annotated[
        list[str], typer.Option(metavar="NAME", help="Inner value whose channels can be chosen at run time.")
    ] = [],
    explain_probability: Annotated[
        bool,
        typer.Option(
            "--explain-probability",
            help="Explain the output itself, without skipping a final softmax, sigmoid or the like.",
        ),
    ] = False,
    on_unsupported: Annotated[Literal["error", "stop"], typer.Option(help="Operators without a rule.")] = "error",
    target_input: Annotated[
        Literal["optional", "required", "none"], typer.Option(help="Form of the target in the explained model.")
    ] = "optional",
    precision: Annotated[Literal["float32", "model"], typer.Option(help="Arithmetic of the relevance.")] = "float32",
    profile: Annotated[
        Literal["onnxruntime", "portable"],
        typer.Option(help="What the file is made for: portable avoids what other runtimes lack, in a larger file."),
    ] = "onnxruntime",
    memory: Annotated[
        Literal["normal", "low"],
        typer.Option(help="low computes relevance for some samples of a batch at a time, if its size is open."),
    ] = "normal",
    share_weights: Annotated[
        bool, typer.Option("--share-weights", help="Refer to the source's external weight file.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not compare the outputs of source and explained model.")
    ] = False,
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Write the explained model: the same outputs, and the relevance of every input."""
    options = conversion(composite, rule, output, input, background)
    reductions = asked_reductions(reduce)
    if no_inputs:
        usage(_no_inputs, (input, relevance_at, coefficients_at), "--no-inputs")
        options["inputs"] = []
    refuse_overwriting([out], force, functools.partial(_files_read, model, background))
    explained = convert_with_notes(
        model,
        **options,
        target=target,
        targets=targets,
        initial=initial,
        relevance_at=tuple(relevance_at),
        coefficients_at=tuple(coefficients_at),
        values_at=tuple(values_at),
        ledger=ledger,
        trees_table=trees_table,
        interactions=interactions,
        on_demand=on_demand,
        reduce=reductions,
        concepts=tuple(concept),
        explain_probability=explain_probability,
        on_unsupported=on_unsupported,
        target_input=target_input,
        precision=precision,
        profile=profile,
        memory=memory,
        check=not no_check,
    )
    with terminal.progress(f"writing {out}"):
        usage(functools.partial(explained.save, share_weights=share_weights), out, "-o")
    if as_json:
        interface = dataclasses.asdict(explained.interface)
        checked = None if explained.comparison is None else dataclasses.asdict(explained.comparison)
        about = {"written": str(out), "interface": interface, "check": checked}
        print_json({**about, "notes": explained.notes, "plan": _plan(explained)})
        return
    if out.suffix.lower() != ".onnx":
        terminal.tell("note", f"'{out.name}' is an ONNX file, but most programs tell one by the suffix .onnx")
    face = explained.interface
    terminal.say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB): {face.composite}, explains {face.output!r}")
    for name, relevance in face.relevance.items():
        how = f", reduced to {face.reduce[name]}" if name in face.reduce else ""
        terminal.say(f"  relevance of {name!r} is output {relevance!r}{how}")
        if name in face.relevance_indices:
            terminal.say(f"  its places are output {face.relevance_indices[name]!r}")
    for name, relevance in face.relevance_at.items():
        terminal.say(f"  relevance of the inner value {name!r} is output {relevance!r}")
    if face.interactions is not None:
        terminal.say(f"  interactions of {len(face.interaction_columns)} columns are output {face.interactions!r}")
    if face.explain_input is not None:
        terminal.say(f"  input {face.explain_input!r}, bool [1], switches relevance off: its outputs are empty then")
    for name, mask in face.mask_inputs.items():
        terminal.say(f"  channels of {name!r} are chosen by input {mask!r}")
    if explained.comparison is not None:
        terminal.say(f"  {explained.comparison.text}")
    if profile == "onnxruntime":
        terminal.say(_ELSEWHERE)
    _tell_how_to_run(out)


def _tell_how_to_run(out: Path) -> None:
    """Print the inputs of a file and how to run it; a file that no snippet can feed is written all the same."""
    try:
        lines, note = about_running(out)
    except InputError:
        return
    for line in lines:
        terminal.say(line)
    if note:
        terminal.tell("note", note)


@guarded
def inspect(
    model: opt.Model,
    composite: opt.Composite = "auto",
    rule: opt.Rules = [],
    output: opt.OutputName = None,
    input: opt.InputNames = [],
    background: opt.BackgroundFile = None,
    why_not: Annotated[
        str | None,
        typer.Option(
            metavar="NODE",
            help="Show, in place of the plan, why rewrites, layers, norms and activations do not apply to this node.",
        ),
    ] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Show the rule of every node with the reason, and the nodes that are not supported, without converting."""
    options = conversion(composite, rule, output, input, background)
    from onnxlrp.convert import inspect as inspect_model
    from onnxlrp.plan.model_family import suggested_composite
    from onnxlrp.view import tables

    with terminal.progress(f"reading {model}"):
        plan = inspect_model(model, **options, why_not=why_not)
    unsupported = list(plan.unsupported)
    if as_json:
        rows = [{name: getattr(row, name) for name in ("node", "operator", "rule", "why")} for row in plan.rows()]
        asked = {} if why_not is None else {"why_not": plan.why_not}
        about = {"composite": plan.title, "plan": rows, "unsupported": unsupported, "notes": list(plan.notes)}
        suggested = dict(zip(("composite", "why"), suggested_composite(plan), strict=True))
        print_json({**about, "suggested": suggested, **asked})
    elif why_not is not None:
        for sentence in plan.why_not or [f"nothing was tried at {why_not!r} that failed"]:
            terminal.say(sentence)
    else:
        terminal.say(plan.title)
        terminal.show(tables.plan_table(plan.rows()))
        for note in plan.notes:
            terminal.say(terminal.note_text(note))
        for line in _about_composites(plan):
            terminal.say(line)
    if unsupported:
        listed = "\n".join(f"  {escaped(node)}" for node in unsupported)
        terminal.tell("error", f"{len(unsupported)} nodes have no rule, so convert would refuse:\n{listed}")
        raise typer.Exit(UNUSABLE)


def _about_composites(plan: Any) -> list[str]:
    """Say what the composite of a plan is for, and which one suits the model."""
    from onnxlrp.composites import table
    from onnxlrp.plan.model_family import suggested_composite

    name = str(plan.composite).partition("(")[0]
    purposes = [row.good_for for row in table() if row.composite.partition("(")[0] == name and row.good_for]
    suggested, why = suggested_composite(plan)
    lines = [f"{name}: {purpose}" for purpose in purposes]
    return [*lines, f"suggested: {suggested}, because {why}; onnxlrp evaluate compares composites on your own data"]


def _no_inputs(named: tuple[list[str], list[str], list[str]]) -> None:
    inputs, *inner = named
    if inputs or not any(inner):
        raise InputError("it goes with --relevance-at or --coefficients-at, and without --input")


def _files_read(model: Path, background: Path | None) -> list[Path]:
    """List the files that `convert` reads."""
    from onnxlrp.replacing import files_of

    return [*files_of(model), *background_files(background)]


def convert_with_notes(model: Path, **options: Any) -> Any:
    """Convert a model, and print its notes on stderr."""
    from onnxlrp.convert import convert as convert_model

    with terminal.progress(f"converting {model}"):
        explained = convert_model(model, **options)
    for note in explained.notes:
        terminal.tell(*terminal.note_text(note).split(": ", 1))
    return explained


def convert_for_target(model: Path, **options: Any) -> Any:
    """Convert a model; an error about its target names the options that choose one."""
    try:
        return convert_with_notes(model, **options)
    except TargetError as error:
        raise TargetError(
            f"{error}\nHere: --at X,Y, --box or --mask for a place in a picture, --position N for a token (-1: the "
            "last), --element INDICES, --weights FILE"
        ) from error


def convert_with_ledger(model: Path, **options: Any) -> Any:
    """Convert a model with the ledger if the composite has one; gradients have none."""
    try:
        return convert_with_notes(model, **options, ledger=True)
    except InputError:
        return convert_with_notes(model, **options)


def _plan(explained: Any) -> list[dict[str, str]]:
    return [dataclasses.asdict(row) for row in explained.plan.rows()]
