"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onnxlrp.cli.arguments import usage

TARGET_KINDS = ("class", "token", "element", "weights")
"""Names of `onnxlrp.targets.TARGETS`, which `--help` shows without importing them."""


def _kind_of_target(name: str) -> str:
    """Check the value of `--target` of conversions."""
    from onnxlrp.targets import kind_named

    return str(usage(kind_named, name, "--target").name)


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file.", show_default=False)]
Composite = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Choice of rules: a name, NAME(option=value, ...) or a TOML file.")
]
Rules = Annotated[
    list[str], typer.Option("--rule", metavar="PATTERN=RULE", help="Override, first match wins: 'Conv=Gamma(0.1)'.")
]
LabelsFile = Annotated[Path | None, typer.Option("--labels", metavar="FILE", help="Names of the classes, one a line.")]
BackgroundFile = Annotated[
    Path | None,
    typer.Option(
        "--background",
        metavar="FILE",
        help=".npz, .npy or .csv with rows of data: sample counts for trees, the reference of kernel machines; "
        "kmeans=K:FILE for centres, with composites of trees='interventional'.",
    ),
]
OutputName = Annotated[str | None, typer.Option("--output", metavar="NAME", help="The output to explain.")]
InputNames = Annotated[list[str], typer.Option("--input", metavar="NAME", help="An input to explain (default: all).")]
Files = Annotated[
    list[str],
    typer.Option(
        "--input",
        metavar="[NAME=]FILE",
        help="Picture, .npy, .npz, .csv or text, a folder or a pattern such as 'pictures/*.png'; several files "
        "of a name make a batch. NAME= is needed for one of several inputs, but not for a .csv or .parquet file whose "
        "columns are the model's inputs.",
    ),
]
SamplesOf = Annotated[
    list[str],
    typer.Option(
        "--data", metavar="[NAME=]FOLDER", help="Samples: a folder or pattern of pictures, .npy, .npz or .csv; several."
    ),
]
References = Annotated[
    list[str],
    typer.Option(
        "--reference",
        metavar="[NAME=]FILE",
        help="Reference for an explained input: the difference of the scores is explained. One sample, or as many as "
        "there are.",
    ),
]
Ids = Annotated[
    list[str],
    typer.Option("--id", metavar="COLUMN", help="Column of the table that identifies its rows, kept with the results."),
]
Texts = Annotated[
    list[str],
    typer.Option(
        "--text", metavar="NAME=TEXT", help="A text for an input of token ids; several of a name make a batch."
    ),
]
TokenizerFile = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        metavar="FILE",
        help="tokenizer.json or vocab.txt, for --text and .txt files (default: the one beside MODEL).",
    ),
]
Preprocessing = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="Pixels of pictures for a float input: raw (0 to 255), unit (0 to 1), signed (-1 to 1), imagenet, or "
        "MEAN/STD for pixels of 0 to 1, such as 0.5,0.5,0.5/0.25,0.25,0.25.",
    ),
]
Providers = Annotated[
    list[str], typer.Option("--provider", metavar="NAME", help="onnxruntime provider (default: CUDA, else the CPU).")
]
TargetKind = Annotated[
    str,
    typer.Option(
        metavar="|".join(TARGET_KINDS),
        callback=_kind_of_target,
        help="Kind of target to explain.",
    ),
]
Targets = Annotated[
    list[str],
    typer.Option(
        "--target",
        "--class",
        metavar="N|NAME",
        help="Class to explain, by number or name (default: the predicted one); one for all, or one per sample.",
    ),
]
Positions = Annotated[
    list[int], typer.Option("--position", metavar="N", help="Position of a token to explain (-1: the last).")
]
Elements = Annotated[
    list[str],
    typer.Option(
        "--element",
        metavar="INDICES",
        help="Element of the output to explain, by its indices after the batch axis, such as 3,17.",
    ),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, metavar="N", help="Samples in a batch (default: 16).")
]
RemovedUnits = Annotated[
    str,
    typer.Option(
        "--units",
        metavar="NAME",
        help="Removed at once: patches, superpixels, segments, features, tokens, elements.",
    ),
]
UnitSize = Annotated[
    int | None, typer.Option("--unit-size", min=1, metavar="N", help="Side of a patch in pixels, length of a segment.")
]
BaselineName = Annotated[
    str,
    typer.Option(
        "--baseline",
        metavar="NAME|NUMBER",
        help="In place of removed parts: mean, zero, blur, mask_token, other_samples, 0.5.",
    ),
]
CurveSteps = Annotated[int, typer.Option("--steps", min=1, metavar="N", help="Steps of a curve.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
NoExplain = Annotated[
    bool,
    typer.Option("--no-explain", help="Predict without relevance, by a model that was converted with --on-demand."),
]
Date = Annotated[bool, typer.Option("--date", help="Write the date and time, in UTC, into the record of the file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
