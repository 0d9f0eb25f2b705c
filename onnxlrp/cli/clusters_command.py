"""`onnxlrp clusters`, which looks for shortcuts that a model learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import check_composites, print_json, refuse_overwriting, usage, write_json
from onnxlrp.cli.concepts_command import samples_given
from onnxlrp.view import terminal

SHEET, NUMBERS = "clusters.png", "clusters.json"
"""Names of the files that are written."""


@guarded
def clusters(
    model: opt.Model,
    data: opt.SamplesOf = [],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=".npy or .csv with the class of each sample (default: the predicted ones)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help=f"Folder for {SHEET} (pictures) and {NUMBERS} (numbers)."),
    ] = None,
    virelay: Annotated[
        bool, typer.Option("--virelay", help="Write a project for ViRelAy to the folder, too (needs h5py).")
    ] = False,
    neighbours: Annotated[int, typer.Option(min=1, metavar="N", help="Nearest neighbours of each map.")] = 10,
    side: Annotated[int, typer.Option(min=2, metavar="N", help="Cells along each side of a reduced map.")] = 16,
    composite: opt.Composite = "auto",
    output: opt.OutputName = None,
    batch_size: opt.BatchSize = None,
    preprocess: opt.Preprocessing = "auto",
    provider: opt.Providers = [],
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Look for groups of samples that the model explains unlike the rest of their class, such as by a watermark."""
    samples = samples_given(data, "--data")
    check_composites(composite)
    if virelay and out is None:
        raise typer.BadParameter("it is for a folder: -o DIR", param_hint="--virelay")
    if out is not None:
        from onnxlrp.concepts.corelay_files import FILES

        named = (SHEET, NUMBERS, *(FILES if virelay else ()))
        refuse_overwriting([out / name for name in named], force, list, makes_folder=True)
    from onnxlrp.concepts.cluster_table import cluster_table, verdict
    from onnxlrp.concepts.find_clusters import clusters_of

    options: dict[str, Any] = {
        "target": None if labels is None else usage(_labels, labels, "--labels"),
        "composite": composite,
        "output": output,
        "neighbours": neighbours,
        "side": side,
        "virelay": out if virelay else None,
        "batch_size": batch_size,
        "providers": list(provider) or None,
        "preprocess": preprocess,
        "progress": True,
    }
    with terminal.cautions_heard():
        found = clusters_of(model, samples, **options)
    written = [] if out is None else _write(out, found, virelay)
    if as_json:
        print_json({**found.to_dict(), "written": [str(path) for path in written]})
        return
    terminal.say(verdict(found))
    if found.apart:
        terminal.show(cluster_table(found))
    for path in written:
        terminal.say(f"wrote {path}")


def _labels(path: Path) -> Any:
    """Read the class of each sample."""
    import numpy as np

    from onnxlrp.cli.given_files import read_array

    return read_array(path, "labels", np.int64).reshape(-1)


def _write(out: Path, found: Any, virelay: bool) -> list[Path]:
    """Write the numbers and, where clusters of pictures were found, the sheet."""
    from onnxlrp.concepts.concept_sheet import is_of_pictures
    from onnxlrp.concepts.corelay_files import FILES

    out.mkdir(parents=True, exist_ok=True)
    written = [out / NUMBERS]
    if found.apart and is_of_pictures(found.samples):
        found.plot(out / SHEET)
        written.insert(0, out / SHEET)
    write_json(out / NUMBERS, found.to_dict())
    return [*written, *(out / name for name in FILES if virelay)]
