"""`onnxlrp concepts`, which shows what the channels of a model stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import check_composites, named_file, print_json, refuse_overwriting, write_json
from onnxlrp.errors import InputError
from onnxlrp.view import terminal

SHEET, RANKING = "concepts.png", "concepts.json"
"""Names of the files that are written."""


@guarded
def concepts(
    model: opt.Model,
    data: opt.SamplesOf = [],
    layer: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Inner value (default: the output of the last convolution).")
    ] = None,
    input: Annotated[
        list[str],
        typer.Option(
            "--input",
            metavar="[NAME=]FILE",
            help="One sample whose prediction is asked about (default: all of --data).",
        ),
    ] = [],
    target: Annotated[
        int | None,
        typer.Option(metavar="N", help="Class: over the samples of --data predicted as it, or of --input."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help=f"Folder for {SHEET} (pictures) and {RANKING} (numbers)."),
    ] = None,
    count: Annotated[int, typer.Option("--channels", min=1, metavar="N", help="Channels to show.")] = 5,
    references: Annotated[int, typer.Option(min=1, metavar="N", help="Reference samples of each.")] = 6,
    composite: opt.Composite = "auto",
    output: opt.OutputName = None,
    batch_size: opt.BatchSize = None,
    preprocess: opt.Preprocessing = "auto",
    provider: opt.Providers = [],
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Show the most relevant channels of a prediction or a class, and the samples that they are most relevant in."""
    samples = samples_given(data, "--data")
    check_composites(composite)
    if out is not None:
        refuse_overwriting([out / SHEET, out / RANKING], force, list, makes_folder=True)
    from onnxlrp.concepts.concept_table import headline, ranking_json, ranking_table
    from onnxlrp.concepts.study_concepts import concepts_of, study

    asked: dict[str, Any] = {"batch_size": batch_size, "preprocess": preprocess, "progress": True}
    options: dict[str, Any] = {
        "layer": layer,
        "composite": composite,
        "output": output,
        "providers": list(provider) or None,
    }
    with terminal.cautions_heard():
        among = concepts_of(model, samples, **options, **asked)
        explainer, one = among.samples.explainer, among
        if input:
            one = study(explainer, among.layer, samples_given(input, "--input"), target=target, **asked)
    if input and len(one.target) > 1:
        raise InputError(f"--input is one sample, and there are {len(one.target)}: name one file")
    about: dict[str, Any] = {"sample": 0} if input else {"target": target}
    shown = {**about, "count": count, "references": references, "among": among}
    content = {
        "layer": among.layer,
        "composite": explainer.interface.composite,
        "samples": len(among.target),
        "target": int(one.target[0]) if input else target,
        "ranking": ranking_json(one.ranking(**shown), among),
    }
    written = [] if out is None else _write(out, content, one, shown)
    if as_json:
        print_json({**content, "written": [str(path) for path in written]})
        return
    terminal.say(headline(one, **about))
    terminal.show(ranking_table(one.ranking(**shown), among))
    for path in written:
        terminal.say(f"wrote {path}")


def samples_given(given: list[str], option: str) -> Any:
    """Read samples as `Explainer.map` takes them: a path, several paths, or paths by input."""
    if not given:
        raise typer.BadParameter("give a folder of samples, such as pictures/", param_hint=option)
    pairs = [named_file(one, option) for one in given]
    named = {name for name, _ in pairs}
    if "" in named and len(named) > 1:
        raise typer.BadParameter("name the input of each, or of none", param_hint=option)
    if "" not in named:
        return {name: [path for other, path in pairs if other == name] for name in named}
    return pairs[0][1] if len(pairs) == 1 else [path for _, path in pairs]


def _write(out: Path, content: dict[str, Any], one: Any, shown: dict[str, Any]) -> list[Path]:
    """Write the numbers and, for a model of pictures, the sheet."""
    from onnxlrp.concepts.concept_sheet import is_of_pictures

    out.mkdir(parents=True, exist_ok=True)
    written = [out / RANKING]
    if is_of_pictures(one.samples):
        one.plot(out / SHEET, **shown)
        written.insert(0, out / SHEET)
    else:
        terminal.tell("note", f"no explained input is a picture, so that there is no {SHEET}")
    write_json(out / RANKING, content)
    return written
