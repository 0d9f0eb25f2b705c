"""`onnxlrp explain`, which runs a model on samples."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import (
    COMPARING,
    background_files,
    conversion,
    read_samples,
    references_of,
    refuse_overwriting,
    usage,
)
from onnxlrp.cli.asked_target import AskedTarget, At, Box, Channels, Classes, MaskFile
from onnxlrp.cli.converting import convert_for_target
from onnxlrp.view import terminal


@guarded
def explain(
    model: opt.Model,
    input: opt.Files = [],
    text: opt.Texts = [],
    tokenizer: opt.TokenizerFile = None,
    reference: opt.References = [],
    id: opt.Ids = [],
    words: Annotated[bool, typer.Option("--words", help="Show texts by word: word pieces add up.")] = False,
    target: Classes = [],
    position: opt.Positions = [],
    element: opt.Elements = [],
    at: At = None,
    box: Box = None,
    mask: MaskFile = None,
    channel: Channels = [],
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help=".npy with the weights of the output.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help=".png or .svg (figure), .html (texts, or the figure), .gif (sequences of pictures), .csv or .parquet "
            "(values, relevance, scores), .npz, .npy or .json. "
            "A name without suffix is a folder for many samples, "
            "with an .npz for each batch; the same command continues after an interruption.",
        ),
    ] = None,
    batch_size: opt.BatchSize = None,
    labels: opt.LabelsFile = None,
    preprocess: opt.Preprocessing = "auto",
    composite: opt.Composite = "auto",
    rule: opt.Rules = [],
    output: opt.OutputName = None,
    background: opt.BackgroundFile = None,
    provider: opt.Providers = [],
    no_explain: opt.NoExplain = False,
    date: opt.Date = False,
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Explain inputs; a MODEL that is not an explained one is converted first."""
    from onnxlrp.cli import explained_samples, explaining_folders, explaining_rows, given_files, predicting
    from onnxlrp.runtime.cli_inputs import load
    from onnxlrp.runtime.reading import open_model
    from onnxlrp.view import saving
    from onnxlrp.view.record_files import files_written

    given, how = read_samples(input, text, tokenizer, preprocess, id)
    asked = AskedTarget(target, position, element, weights, at, box, mask, channel)
    compared = references_of(reference)
    options = conversion(composite if composite != "auto" or not reference else COMPARING, rule, output, [], background)
    many = _is_folder(out)
    _check_together(asked, out, bool(reference), batch_size, date)
    if out is not None and not many:
        others = [*asked.files, *(file for file in (labels, tokenizer) if file is not None)]
        others += [*background_files(background), *(file for _, file in compared.inputs)]
        refuse_overwriting(files_written(out), force, functools.partial(given_files.files_read, model, given, others))
        usage(saving.check_suffix, out, "-o")
    opened = open_model(model)
    if opened.interface is not None and (composite, rule, output, background) != ("auto", [], None, None):
        raise typer.BadParameter(
            f"'{model}' is explained already: --composite, --rule, --output and --background are for convert"
        )
    if no_explain:
        predicting.check_predicts(opened, model, out, {"--reference": reference, "--at": asked.is_place})
    names = given_files.names_of_classes(labels, opened, model)
    chosen = asked.arguments(names) if names or opened.interface is not None else None
    data = None if many else load(given, opened.inputs, how, model, opened.columns)
    given_files.tell_pixels(given, opened.inputs, how)
    made = _converted(model, opened, asked, 1 if data is None else data.samples, options)
    if chosen is None:  # a label output, which conversion finds, may name the classes
        names = given_files.names_of_labels(made)
        chosen = asked.arguments(names)
    if data is None:
        to = {"batch_size": batch_size, "to": out, "preprocess": preprocess, "explain": not no_explain}
        explaining_folders.explain_folder(made, model, given, chosen, provider, as_json, **to)
    elif no_explain:
        predicting.predict(made, data, chosen, provider, as_json)
    elif out is not None and not reference and not asked.is_place and explaining_rows.are_many(data, out):
        explaining_rows.explain_rows(made, data, chosen, provider, out, batch_size, as_json, date)
    else:
        with terminal.progress("running the model"), terminal.cautions_heard() as cautions:
            compared_with = given_files.read_reference(compared, data, how)
            done = explained_samples.explain(made, data, chosen, names, provider, words, out, compared_with)
        explained_samples.hand_out(done, cautions, out, as_json, date)


def _check_together(asked: AskedTarget, out: Path | None, compared: bool, batch_size: int | None, date: bool) -> None:
    """Refuse, as wrong usage, options that do not go together; `compared` is True with a reference."""
    many = _is_folder(out)
    if compared and asked.channel:
        raise typer.BadParameter("it is not for a comparison with --reference", param_hint="--channel")
    if compared and (many or asked.is_place):
        raise typer.BadParameter("it is not for a folder of results, nor for a place", param_hint="--reference")
    if batch_size is not None and not many and (out is None or out.suffix.lower() not in (".csv", ".parquet")):
        raise typer.BadParameter(
            "it is for a folder or a table of results: -o DIR, .csv, .parquet", param_hint="--batch-size"
        )
    if date and (many or out is None):
        raise typer.BadParameter("it is for one file of results, such as -o map.png", param_hint="--date")
    if many and asked.is_place:
        raise typer.BadParameter("it is for one file of results, such as -o map.png", param_hint="--at")


def _is_folder(out: Path | None) -> bool:
    """Decide whether results go to a folder, a file a batch."""
    return out is not None and not out.suffix


def _converted(model: Path, opened: Any, asked: AskedTarget, samples: int, options: dict[str, Any]) -> Any:
    """Convert a model for the target that is asked for; a model that is explained already is returned as it is."""
    interface, count = opened.interface, asked.count(samples)
    if interface is None:
        options = {**options, "concepts": [*asked.channels]} if asked.channel else options
        return convert_for_target(model, **options, target=asked.kind(_rank(opened, options["output"])), targets=count)
    if asked.element and interface.target != "element":
        raise typer.BadParameter("it is for a model with --target element", param_hint="--element")
    if count not in (1, interface.targets):
        raise typer.BadParameter(
            f"'{model}' was converted with --targets {interface.targets}, and these are {count} of each sample: "
            f"convert its source with --targets {count}, or give the source here",
            param_hint="--target",
        )
    return model


def _rank(opened: Any, output: str | None) -> int | None:
    """Rank of the output that will be explained, as far as the file declares it."""
    floating = [spec for spec in opened.outputs.values() if spec.dtype is not None and spec.dtype.kind == "f"]
    chosen = floating[0] if floating and output is None else opened.outputs.get(output or "")
    return None if chosen is None or chosen.shape is None else len(chosen.shape)
