"""`onnxlrp evaluate`, which measures explanations on data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import conversion, measured_on, print_json, read_samples, refuse_overwriting, usage
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
def evaluate(
    model: Model,
    input: Files = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    tokenizer: TokenizerFile = None,
    id: Ids = [],  # noqa: B006
    composite: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help="Composite to compare, several times (default: auto and presets)."),
    ] = [],  # noqa: B006
    beside: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="Compare with random, occlusion, gradient_x_input, or none (default: all three)."
        ),
    ] = [],  # noqa: B006
    measure: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="perturbation, leave_one_out, stability, complexity, localisation, sanity or conservation, several "
            "times (default: all).",
        ),
    ] = [],  # noqa: B006
    target: Targets = [],  # noqa: B006
    position: Positions = [],  # noqa: B006
    element: Elements = [],  # noqa: B006
    units: RemovedUnits = "auto",
    unit_size: UnitSize = None,
    baseline: BaselineName = "auto",
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".npy with masks, or boxes [N, 4], of where the evidence is.")
    ] = None,
    steps: CurveSteps = 20,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    preprocess: Preprocessing = "auto",
    output: OutputName = None,
    background: BackgroundFile = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Picture of the curves to write: .png, .svg or .pdf.")
    ] = None,
    provider: Providers = [],  # noqa: B006
    as_json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Measure explanations on data: the score as parts called relevant are removed, beside random and occlusion."""
    from onnxlrp import commands

    given, how = read_samples(input, text, tokenizer, preprocess, id)
    for one in composite:
        conversion(one, [], output, [])
    _check_plot(plot, force, model, [*(path for _, path in given.inputs), *([] if mask is None else [mask])])
    asked = {
        "beside": usage(_beside, beside, "--beside"),
        "measures": usage(_measures, (measure, mask), "--measure"),
        **measured_on(target, position, element, baseline),
        "units": units,
        "unit_size": unit_size,
        "steps": steps,
        "seed": seed,
        "batch_size": batch_size,
        "output": output,
        "background": background,
        "providers": list(provider) or None,
    }
    evaluation = commands.evaluate(model, given, how, composite or None, mask, asked)
    if plot is not None:
        evaluation.plot(plot)
    if as_json:
        print_json({**evaluation.to_dict(), "written": None if plot is None else str(plot)})
        return
    commands.show_evaluation(evaluation)
    if plot is not None:
        terminal.say(f"wrote {plot}")


def _check_plot(plot: Path | None, force: bool, model: Path, read: list[Path]) -> None:
    """Refuse, as wrong usage, a plot that cannot be written."""
    from onnxlrp.evaluation.evaluation_plot import check_plot_suffix
    from onnxlrp.replacing import files_of

    if plot is not None:
        usage(check_plot_suffix, plot, "--plot")
        refuse_overwriting([plot], force, lambda: [*files_of(model), *read], "--plot")


def _measures(given: tuple[list[str], Path | None]) -> tuple[str, ...]:
    from onnxlrp.evaluation.arguments_of_evaluate import asked_measures

    measures, mask = given
    return asked_measures(measures or None, mask)


def _beside(given: list[str]) -> tuple[str, ...]:
    from onnxlrp.evaluation.arguments_of_evaluate import BESIDE, check_beside

    chosen = () if given == ["none"] else tuple(given) or BESIDE
    check_beside(chosen)
    return chosen
