"""`onnxlrp evaluate`, which measures explanations on data."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import check_composites, measuring, print_json, read_samples, refuse_overwriting, usage
from onnxlrp.view import terminal


@guarded
def evaluate(
    model: opt.Model,
    input: opt.Files = [],
    text: opt.Texts = [],
    tokenizer: opt.TokenizerFile = None,
    id: opt.Ids = [],
    composite: Annotated[
        list[str],
        typer.Option(metavar="NAME|FILE", help="Composite to compare, several times (default: auto and presets)."),
    ] = [],
    beside: Annotated[
        list[str],
        typer.Option(
            metavar="NAME", help="Compare with random, occlusion, gradient_x_input, or none (default: all three)."
        ),
    ] = [],
    measure: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="perturbation, leave_one_out, stability, complexity, localisation, sanity or conservation, several "
            "times (default: all).",
        ),
    ] = [],
    target: opt.Targets = [],
    position: opt.Positions = [],
    element: opt.Elements = [],
    units: opt.RemovedUnits = "auto",
    unit_size: opt.UnitSize = None,
    baseline: opt.BaselineName = "auto",
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".npy with masks, or boxes [N, 4], of where the evidence is.")
    ] = None,
    steps: opt.CurveSteps = 20,
    batch_size: opt.BatchSize = None,
    seed: opt.Seed = 0,
    preprocess: opt.Preprocessing = "auto",
    output: opt.OutputName = None,
    background: opt.BackgroundFile = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Picture of the curves to write: .png, .svg or .pdf.")
    ] = None,
    provider: opt.Providers = [],
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Measure explanations on data: the score as parts called relevant are removed, beside random and occlusion."""
    from onnxlrp.cli.given_files import files_read, load_given, read_array
    from onnxlrp.evaluation import evaluation_table
    from onnxlrp.evaluation.evaluate_model import evaluate as evaluate_model
    from onnxlrp.evaluation.evaluation_plot import check_plot_suffix

    given, how = read_samples(input, text, tokenizer, preprocess, id)
    check_composites(*composite)
    if plot is not None:
        usage(check_plot_suffix, plot, "--plot")
        others = [] if mask is None else [mask]
        refuse_overwriting([plot], force, functools.partial(files_read, model, given, others), "--plot")
    options = {
        "beside": usage(_beside, beside, "--beside"),
        "measures": usage(_measures, (measure, mask), "--measure"),
        **measuring(locals()),
    }
    data = load_given(model, given, how)
    masks = None if mask is None else read_array(mask, "mask")
    evaluation = evaluate_model(model, data.arrays, composite or None, masks=masks, tokenizer=data.tokenizer, **options)
    if plot is not None:
        evaluation.plot(plot)
    if as_json:
        print_json({**evaluation.to_dict(), "written": None if plot is None else str(plot)})
        return
    terminal.show_with_notes(evaluation.table(), evaluation_table.legend(evaluation), evaluation.notes)
    if plot is not None:
        terminal.say(f"wrote {plot}")


def _measures(given: tuple[list[str], Path | None]) -> tuple[str, ...]:
    from onnxlrp.evaluation.arguments_of_evaluate import asked_measures

    measures, mask = given
    return asked_measures(measures or None, mask)


def _beside(given: list[str]) -> tuple[str, ...]:
    from onnxlrp.evaluation.arguments_of_evaluate import BESIDE, check_beside

    chosen = () if given == ["none"] else tuple(given) or BESIDE
    check_beside(chosen)
    return chosen
