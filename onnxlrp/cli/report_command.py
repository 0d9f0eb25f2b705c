"""`onnxlrp report`, which writes a page about a model and its explanations."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import (
    background_files,
    check_composites,
    chosen_scores,
    print_json,
    read_samples,
    refuse_overwriting,
    usage,
)
from onnxlrp.errors import TargetError
from onnxlrp.view import terminal


@guarded
def report(
    model: opt.Model,
    input: opt.Files = [],
    text: opt.Texts = [],
    tokenizer: opt.TokenizerFile = None,
    id: opt.Ids = [],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The page to write, .html.")] = Path(
        "report.html"
    ),
    composite: Annotated[
        list[str],
        typer.Option(
            metavar="NAME|FILE",
            help="Composite to compare, several times (default: auto and presets). The plan is the first one's.",
        ),
    ] = [],
    samples: Annotated[int, typer.Option("--samples", min=1, metavar="N", help="Samples to show, the first ones.")] = 3,
    curves: Annotated[
        bool, typer.Option("--curves/--no-curves", help="Deletion curves, which take most of the time.")
    ] = True,
    steps: opt.CurveSteps = 10,
    target: opt.Targets = [],
    position: opt.Positions = [],
    element: opt.Elements = [],
    labels: opt.LabelsFile = None,
    preprocess: opt.Preprocessing = "auto",
    output: opt.OutputName = None,
    background: opt.BackgroundFile = None,
    seed: opt.Seed = 0,
    provider: opt.Providers = [],
    date: opt.Date = False,
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Write a page: prediction, explanations side by side, flow of relevance, plan, graph and warnings."""
    from onnxlrp.cli.given_files import files_read, load_given, names_of_classes
    from onnxlrp.reporting.gather_report import ReportRequest
    from onnxlrp.reporting.make_report import check_report_suffix, write_report
    from onnxlrp.runtime import class_names
    from onnxlrp.runtime.reading import open_model

    given, how = read_samples(input, text, tokenizer, preprocess, id)
    check_composites(*composite)
    others = [*background_files(background), *(file for file in (labels, tokenizer) if file is not None)]
    refuse_overwriting([out], force, functools.partial(files_read, model, given, others))
    usage(check_report_suffix, out, "-o")
    chosen = chosen_scores(target, position, element)
    options = {"target": chosen["target_kind"], "output": output, "background": background}
    with terminal.progress("writing the report"):
        data = load_given(model, given, how)
        names = names_of_classes(labels, open_model(model), model)
        request = ReportRequest(
            model=model,
            data=data.arrays,
            labels=names,
            tokenizer=data.tokenizer,
            originals=data.originals,
            pixels=data.pixels,
            files=data.files,
            composites=composite or None,
            target=class_names.classes_of(chosen["target"], lambda: names),
            position=chosen["position"],
            options=options,
            samples=samples,
            curves=curves,
            steps=steps,
            seed=seed,
            dated=date,
            providers=list(provider) or None,
        )
        try:
            notes = list(write_report(request, out).notes)
        except TargetError as error:
            options_for = "--position N for a token (-1: the last), --element INDICES for an element"
            raise TargetError(f"{error}\nHere: {options_for}") from error
    if as_json:
        print_json({"written": str(out), "bytes": out.stat().st_size, "notes": notes})
        return
    for note in notes:
        terminal.tell("note", note)
    terminal.say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
