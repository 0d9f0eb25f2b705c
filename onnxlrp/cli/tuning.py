"""`onnxlrp tune`, which searches for the best rules."""

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
    measuring,
    print_json,
    read_samples,
    refuse_overwriting,
    usage,
)
from onnxlrp.view import terminal


@guarded
def tune(
    model: opt.Model,
    input: opt.Files = [],
    text: opt.Texts = [],
    tokenizer: opt.TokenizerFile = None,
    id: opt.Ids = [],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Composite file to write: .toml.")
    ] = None,
    composite: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help="Composite to start from, several times (default: the presets)."),
    ] = [],
    budget: Annotated[int, typer.Option(min=1, metavar="N", help="Most candidates to explain.")] = 60,
    target: opt.Targets = [],
    position: opt.Positions = [],
    element: opt.Elements = [],
    units: opt.RemovedUnits = "auto",
    unit_size: opt.UnitSize = None,
    baseline: opt.BaselineName = "auto",
    steps: opt.CurveSteps = 20,
    batch_size: opt.BatchSize = None,
    seed: opt.Seed = 0,
    preprocess: opt.Preprocessing = "auto",
    output: opt.OutputName = None,
    background: opt.BackgroundFile = None,
    provider: opt.Providers = [],
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Search for the rules that explain best on data, and write them as a composite file for --composite."""
    from onnxlrp.cli.given_files import files_read, load_given
    from onnxlrp.evaluation import tuning_table
    from onnxlrp.evaluation.tune_model import tune as tune_model
    from onnxlrp.evaluation.tuning_result import check_rules_suffix

    given, how = read_samples(input, text, tokenizer, preprocess, id)
    check_composites(*composite)
    others = background_files(background)
    if out is not None:
        usage(check_rules_suffix, out, "-o")
        refuse_overwriting([out], force, functools.partial(files_read, model, given, others))
    options = {**measuring(locals()), "budget": budget}
    data = load_given(model, given, how)
    tuning = tune_model(model, data.arrays, composite or None, tokenizer=data.tokenizer, **options)
    if out is not None:
        tuning.save(out)
    if as_json:
        print_json({**tuning.to_dict(), "written": None if out is None else str(out)})
        return
    first, *notes = tuning.notes
    terminal.show_with_notes(tuning.table(), [*tuning_table.legend(tuning), first], notes)
    terminal.say(f"wrote {out}" if out is not None else "nothing was written: -o rules.toml writes the composite file")
