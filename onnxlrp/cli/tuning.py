"""`onnxlrp tune`, which searches for the best rules."""

from __future__ import annotations

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
    BaselineName,
    BatchSize,
    CurveSteps,
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
    RemovedUnits,
    Seed,
    Targets,
    Texts,
    TokenizerFile,
    UnitSize,
)
from onnxlrp.view import terminal


@guarded
def tune(
    model: Model,
    input: Files = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    tokenizer: TokenizerFile = None,
    id: Ids = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Composite file to write: .toml.")
    ] = None,
    composite: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help="Composite to start from, several times (default: the presets)."),
    ] = [],  # noqa: B006
    budget: Annotated[int, typer.Option(min=1, metavar="N", help="Most candidates to explain.")] = 60,
    target: Targets = [],  # noqa: B006
    position: Positions = [],  # noqa: B006
    element: Elements = [],  # noqa: B006
    units: RemovedUnits = "auto",
    unit_size: UnitSize = None,
    baseline: BaselineName = "auto",
    steps: CurveSteps = 20,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    preprocess: Preprocessing = "auto",
    output: OutputName = None,
    background: BackgroundFile = None,
    provider: Providers = [],  # noqa: B006
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Search for the rules that explain best on data, and write them as a composite file for --composite."""
    from onnxlrp import commands

    given, how = read_samples(input, text, tokenizer, preprocess, id)
    for one in composite:
        conversion(one, [], output, [])
    _check_out(out, force, model, [*(path for _, path in given.inputs), *background_files(background)])
    asked = {
        **measured_on(target, position, element, baseline),
        "budget": budget,
        "units": units,
        "unit_size": unit_size,
        "steps": steps,
        "seed": seed,
        "batch_size": batch_size,
        "output": output,
        "background": background,
        "providers": list(provider) or None,
    }
    tuning = commands.tune(model, given, how, composite or None, asked)
    if out is not None:
        tuning.save(out)
    if as_json:
        print_json({**tuning.to_dict(), "written": None if out is None else str(out)})
        return
    commands.show_tuning(tuning)
    terminal.say(f"wrote {out}" if out is not None else "nothing was written: -o rules.toml writes the composite file")


def _check_out(out: Path | None, force: bool, model: Path, read: list[Path]) -> None:
    """Refuse, as wrong usage, a composite file that cannot be written."""
    from onnxlrp.evaluation.tuning_result import check_rules_suffix
    from onnxlrp.replacing import files_of

    if out is not None:
        usage(check_rules_suffix, out, "-o")
        refuse_overwriting([out], force, lambda: [*files_of(model), *read])
