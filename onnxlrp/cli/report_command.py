"""`onnxlrp report`, which writes a page about a model and its explanations."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import (
    background_files,
    conversion,
    measured_on,
    print_json,
    read_samples,
    refuse_overwriting,
    usage,
)
from onnxlrp.cli.command_options import (
    BackgroundFile,
    CurveSteps,
    Date,
    Debug,
    Elements,
    Files,
    Force,
    Ids,
    Json,
    Model,
    OutputName,
    Positions,
    Preprocessing,
    Providers,
    Seed,
    Targets,
    Texts,
    TokenizerFile,
)
from onnxlrp.errors import TargetError
from onnxlrp.view import terminal


@guarded
def report(
    model: Model,
    input: Files = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    tokenizer: TokenizerFile = None,
    id: Ids = [],  # noqa: B006
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The page to write, .html.")] = Path(
        "report.html"
    ),
    composite: Annotated[
        list[str],
        typer.Option(
            metavar="NAME|FILE",
            help="Composite to compare, several times (default: auto and presets). The plan is the first one's.",
        ),
    ] = [],  # noqa: B006
    samples: Annotated[int, typer.Option("--samples", min=1, metavar="N", help="Samples to show, the first ones.")] = 3,
    curves: Annotated[
        bool, typer.Option("--curves/--no-curves", help="Deletion curves, which take most of the time.")
    ] = True,
    steps: CurveSteps = 10,
    target: Targets = [],  # noqa: B006
    position: Positions = [],  # noqa: B006
    element: Elements = [],  # noqa: B006
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="Names of the classes, one a line.")] = None,
    preprocess: Preprocessing = "auto",
    output: OutputName = None,
    background: BackgroundFile = None,
    seed: Seed = 0,
    provider: Providers = [],  # noqa: B006
    date: Date = False,
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Write a page: prediction, explanations side by side, flow of relevance, plan, graph and warnings."""
    from onnxlrp import commands
    from onnxlrp.reporting.make_report import check_report_suffix

    given, how = read_samples(input, text, tokenizer, preprocess, id)
    for one in composite:
        conversion(one, [], output, [])
    others = [*background_files(background), *(file for file in (labels, tokenizer) if file is not None)]
    refuse_overwriting([out], force, functools.partial(commands.files_read, model, given, others))
    usage(check_report_suffix, out, "-o")
    chosen = measured_on(target, position, element, "auto")
    asked = {
        "composites": composite or None,
        "target": chosen["target"],
        "position": chosen["position"],
        "options": {"target": chosen["target_kind"], "output": output, "background": background},
        "samples": samples,
        "curves": curves,
        "steps": steps,
        "seed": seed,
        "dated": date,
        "providers": list(provider) or None,
    }
    with terminal.progress("writing the report"):
        try:
            notes = commands.report(model, given, how, labels, out, asked)
        except TargetError as error:
            options = "--position N for a token (-1: the last), --element INDICES for an element"
            raise TargetError(f"{error}\nHere: {options}") from error
    if as_json:
        print_json({"written": str(out), "bytes": out.stat().st_size, "notes": notes})
        return
    for note in notes:
        terminal.tell("note", note)
    terminal.say(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
