"""No control character of a name in a file reaches the terminal, from any command.

Each kind of such character is put into every name of a model and into names of files, columns and labels. Commands that
succeed and commands that refuse are run, and their output is searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.test_printable import EVIL, ODD, evil_model, shown
from tools.robustness.part import Found


def run(quick: bool, folder: Path) -> Found:
    """Run every command for every character."""
    kinds = [EVIL, *ODD.replace("\ud800", "")][: 1 if quick else None]
    count, faults = 0, []
    for number, evil in enumerate(kinds):
        place = folder / str(number)
        place.mkdir()
        for words in _commands(evil, place):
            count += 1
            try:
                shown(*words)
            except AssertionError as error:
                faults.append(f"{evil!r}: {error!s:.300}")
    result = "none came through" if not faults else f"{len(faults)} came through"
    return Found(f"{count} commands, {len(kinds)} kinds of characters", result, tuple(faults))


def _commands(evil: str, place: Path) -> Iterator[tuple[object, ...]]:
    """Yield commands on a model that works, with data that fit it or do not, and on models that are refused."""
    model = _write(place, evil, evil_model(evil=evil))
    rows, table, labels = _data(place, evil)
    out, x = place / "out.onnx", f"{evil}x"
    given = ("--input", f"{x}={rows}", "--labels", labels)
    yield "convert", model, "-o", out, "--ledger"
    for more in ((), ("--json",)):
        yield "inspect", model, *more
        yield "convert", model, "-o", out, "--force", *more
        for one in (model, out):
            yield "check", one, *more
            yield "explain", one, *given, *more
            yield "explain", one, *given, "--target", 7, *more
            yield "explain", one, "--input", f"{x}={table}", *more
            yield "explain", one, "--input", f"{x}={labels}", *more
            yield "explain", one, "--input", f"{evil}={rows}", *more
            yield "explain", one, "--text", f"{x}=text", *more
            yield "explain", one, *given, "-o", place / "out.html", *more
        yield "explain", out, *given, "-o", place / "folder", *more
    for option in ("--output", "--input", "--relevance-at", "--composite"):
        yield "convert", model, "-o", place / "no.onnx", option, evil
    yield "convert", model, "-o", place / "no.onnx", "--rule", f"{evil}=Gamma(0.1)"
    for number, other in enumerate((evil_model(f"Odd{evil}", f"d{evil}", evil), evil_model(f"Odd{evil}", "", evil))):
        for command in ("convert", "inspect", "check"):
            more = ("-o", place / "no.onnx") if command == "convert" else ()
            yield command, _write(place, f"{number}{evil}", other), *more


def _write(place: Path, evil: str, proto: object) -> Path:
    """Write a model's file, whose name holds the characters that file names may hold."""
    path = place / f"m{_for_files(evil)}.onnx"
    path.write_bytes(proto.SerializeToString())  # type: ignore[attr-defined]
    return path


def _data(place: Path, evil: str) -> tuple[Path, Path, Path]:
    """Write rows, a table with names of columns, and labels."""
    rows, table, labels = (place / f"{_for_files(evil)}.{kind}" for kind in ("npy", "csv", "txt"))
    np.save(rows, np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32))
    table.write_text(f'"{evil}q",b,c,d\n1,2,3,4\n', encoding="utf-8")
    labels.write_text(f"{evil}one\ntwo{evil}\nthree\n", encoding="utf-8")
    return rows, table, labels


def _for_files(evil: str) -> str:
    return evil.replace("\0", "").replace("/", "")
