"""`onnxlrp demo`, `operators` and `composites`, which show what onnxlrp does."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Annotated

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import print_json, refuse_overwriting
from onnxlrp.near_names import did_you_mean
from onnxlrp.view import terminal


@guarded
def demo(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder to write to (default: a new one, onnxlrp-demo).")
    ] = None,
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Convert and explain the bundled real model on the bundled real pictures."""
    from onnxlrp import demo as demonstration

    folder = folder or _new_folder("onnxlrp-demo")
    paths = [folder / name for name in demonstration.FILES]
    refuse_overwriting(paths, force, demonstration.files_read, "DIR", makes_folder=True)
    with terminal.progress("opening the model", demonstration.STEPS) as step:
        done = demonstration.run(folder, step)
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        demonstration.show(done)


def _new_folder(name: str) -> Path:
    """Name a folder that does not exist yet: the name itself, or with -2, -3 …"""
    numbers = itertools.count(2)
    path = Path(name)
    while path.exists():
        path = Path(f"{name}-{next(numbers)}")
    return path


@guarded
def help(
    word: Annotated[str | None, typer.Argument(metavar="WORD", help="The word that a message names.")] = None,
    as_json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Say what an error or warning means and what to do; without WORD list all words."""
    from onnxlrp.view.messages import sections

    found = sections()
    if word is not None and word not in found:
        near = did_you_mean(word, found)
        raise typer.BadParameter(
            f"no message has the word {word!r}{near}; there are {', '.join(found)}", param_hint="WORD"
        )
    chosen = found if word is None else {word: found[word]}
    if as_json:
        print_json(chosen)
    elif word is None:
        for name, text in found.items():
            terminal.say(f"{name}: {text.split('. ')[0]}")
    else:
        print(found[word])


@guarded
def operators(as_json: opt.Json = False, debug: opt.Debug = False) -> None:
    """List every operator with the way in which relevance passes it."""
    from onnxlrp.operators import registry
    from onnxlrp.view import tables

    rows = registry.table()
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
    else:
        terminal.show(tables.operators_table(rows))


@guarded
def composites(as_json: opt.Json = False, debug: opt.Debug = False) -> None:
    """List every composite with its arguments and its purpose."""
    from onnxlrp.composites import table
    from onnxlrp.view import tables

    rows = table()
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
    else:
        terminal.show(tables.composites_table((row.composite, row.purpose, row.good_for) for row in rows))
