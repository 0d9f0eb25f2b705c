"""`onnxlrp evaluate`, which measures explanations on data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import conversion, elements, files_and_texts, print_json, refuse_overwriting, usage
from onnxlrp.cli.command_options import (
    BackgroundFile,
    Debug,
    Files,
    Force,
    Json,
    Model,
    OutputName,
    Preprocessing,
    Providers,
    Texts,
    TokenizerFile,
)
from onnxlrp.view import terminal


@guarded
def evaluate(
    model: Model,
    input: Files = [],  # noqa: B006
    text: Texts = [],  # noqa: B006
    tokenizer: TokenizerFile = None,
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
    target: Annotated[
        list[int], typer.Option(metavar="N", help="Class to explain (default: the predicted one); one per sample.")
    ] = [],  # noqa: B006
    position: Annotated[
        list[int], typer.Option(metavar="N", help="Position of a token to explain (-1: the last).")
    ] = [],  # noqa: B006
    element: Annotated[
        str | None, typer.Option(metavar="INDICES", help="Element of the output to explain, such as 3,17.")
    ] = None,
    units: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Removed at once: patches, superpixels, segments, features, tokens, elements."
        ),
    ] = "auto",
    unit_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Side of a patch in pixels, length of a segment.")
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            metavar="NAME|NUMBER", help="In place of removed parts: mean, zero, blur, mask_token, other_samples, 0.5."
        ),
    ] = "auto",
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".npy with masks, or boxes [N, 4], of where the evidence is.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Steps of a curve.")] = 20,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Samples in a batch (default: 16).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
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
    from onnxlrp.runtime.files import Preprocess

    given = files_and_texts(input, text, tokenizer)
    if not given:
        raise typer.BadParameter("give NAME=FILE for every input, or --text NAME=TEXT", param_hint="--input")
    how = usage(Preprocess.parse, preprocess, "--preprocess")
    for one in composite:
        conversion(one, [], output, [])
    _check_plot(plot, force, model, [*(path for _, path in given.inputs), *([] if mask is None else [mask])])
    asked = {
        "beside": usage(_beside, beside, "--beside"),
        "measures": usage(_measures, (measure, mask), "--measure"),
        "target": _one_or_all(target) if element is None else usage(elements, [element], "--element")[0],
        "position": _one_or_all(position),
        "target_kind": "element" if element is not None else "token" if position else "class",
        "units": units,
        "unit_size": unit_size,
        "baseline": _number_or_name(baseline),
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


def _one_or_all(values: list[int]) -> Any:
    """Convert the numbers of an option: none to None, a single one to itself."""
    return None if not values else values[0] if len(values) == 1 else values


def _number_or_name(word: str) -> str | float:
    try:
        return float(word)
    except ValueError:
        return word
