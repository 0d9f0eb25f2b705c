"""A full disk loses nothing: what was there stays, nothing half-written is left, and a run of `map` goes on later.

A limit on the size of files that a process may write simulates the disk: the write that exceeds it fails in the middle
of the file, as on a full disk. For `map`, the disk is also full after a number of batches.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import UNUSABLE, app
from onnxlrp.errors import InputError
from tools.robustness.children import call_in_child
from tools.robustness.kills import content, differences
from tools.robustness.models import COLUMNS, CPU, SIDE, linear, pictures
from tools.robustness.part import Found

_ENDLESS = resource.RLIM_INFINITY
_BATCHES = 6


def run(quick: bool, folder: Path) -> Found:
    """Let each command that writes a file run out of space, then `map`."""
    commands = _commands(folder)
    count, faults = 0, []
    for out, words in commands[:2] if quick else commands:
        for there in (False, True):
            tried, wrong = _fill(folder, out, words, there)
            count, faults = count + tried, faults + wrong
    tried, wrong = _fill_data_file(folder)
    count, faults = count + tried, faults + wrong
    tried, wrong = _fill_results(folder, quick)
    count, faults = count + tried, faults + wrong
    kinds = len(commands) + 2
    result = "nothing lost, nothing half-written left" if not faults else f"{len(faults)} times not"
    return Found(f"{count} full disks, {kinds} kinds of output", result, tuple(faults))


def _commands(folder: Path) -> list[tuple[str, list[str]]]:
    """List the outputs' names, each with the command that writes it."""
    rows, images = folder / "rows.onnx", folder / "images.onnx"
    rows.write_bytes(linear("float32").SerializeToString())
    images.write_bytes(pictures().SerializeToString())
    rng = np.random.default_rng(11)
    np.save(folder / "rows.npy", rng.normal(size=(50, COLUMNS)).astype(np.float32))
    np.save(folder / "images.npy", rng.random((2, 3, SIDE, SIDE), np.float32))
    explain = ["explain", str(rows), "--input", f"x={folder / 'rows.npy'}"]
    found = [("out.onnx", ["convert", str(rows), "--no-check"]), ("out.csv", explain)]
    found += [(f"out.{suffix}", explain) for suffix in ("npz", "npy", "json")]
    return [*found, ("out.png", ["explain", str(images), "--input", f"x={folder / 'images.npy'}"])]


def _fill(folder: Path, out: str, words: Sequence[str], there: bool) -> tuple[int, list[str]]:
    """Run one command on disks of several sizes; with `there` it writes over a file of its own."""
    place = folder / f"{out} {there}"
    place.mkdir()
    command = [*words, "-o", str(place / out), "--force"]
    status, said = call_in_child(lambda: _invoke(command))
    size = (place / out).stat().st_size
    if not there:
        (place / out).unlink()
    before, limits, faults = _bytes(place), sorted({0, 1, size // 2, size - 1}), []
    for limit in limits:
        status, said = call_in_child(lambda: _within(limit, lambda: _invoke(command)))
        if status != UNUSABLE or "Traceback" in said or "defect" in said:
            faults.append(f"{out} at {limit} bytes: status {status}, {said[:200]}")
        if _bytes(place) != before:
            faults.append(f"{out} at {limit} bytes left {sorted(_bytes(place))}, there was {sorted(before)}")
    return len(limits), faults


def _invoke(words: Sequence[str]) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def _within(limit: int, call: Callable[[], object]) -> object:
    """Call in a process that may write files of at most `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, _ENDLESS))
    return call()


def _fill_data_file(folder: Path) -> tuple[int, list[str]]:
    """Save a model with weights in a file of their own: both files must be as before, or both new."""
    place = folder / "large"
    place.mkdir()
    call_in_child(lambda: _save_large(place, "epsilon"))
    before, faults = _bytes(place), []
    limits = (0, 100, 1000, min(map(len, before.values())) - 1)
    for limit in limits:
        wrong = call_in_child(lambda: _within(limit, lambda: _save_large(place, "gradient")))
        faults += [f"weights apart at {limit} bytes: {wrong}"] * ("File too large" not in wrong)
        faults += [f"weights apart at {limit} bytes: files changed"] * (_bytes(place) != before)
    return len(limits), faults


def _save_large(place: Path, composite: str) -> str:
    """Save a model that counts as large, and return the error's message; empty if there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("onnxlrp.finish.save._LIMIT", 1000)
        try:
            onnxlrp.convert(pictures(), composite).save(place / "large.onnx")
        except (InputError, OSError) as error:
            return str(error)
    return ""


def _fill_results(folder: Path, quick: bool) -> tuple[int, list[str]]:
    """Run `map` on a disk that is full after so many batches, and again on one that has space."""
    call_in_child(lambda: _map(folder / "whole"))
    wanted, faults = content(folder / "whole"), []
    part = min(path.stat().st_size for path in (folder / "whole").glob("0*.npz"))
    disks = {f"{limit} bytes": _limited(limit) for limit in (0, 1, part // 2, part - 1)}
    disks |= {f"{count} batches": _full_after(count) for count in (range(0, _BATCHES, 4 if quick else 1))}
    for name, disk in disks.items():
        out = folder / name
        wrong = call_in_child(lambda: disk(out))
        faults += [f"map at {name}: {wrong or 'it did not end'}"] * (not wrong.startswith("told: "))
        left = [path.name for path in out.iterdir() if path.name.startswith(".")] if out.exists() else []
        faults += [f"map at {name} left {left}"] * bool(left)
        call_in_child(lambda: _map(out))
        faults += [f"map at {name}: {words}" for words in [differences(out, wanted)] if words]
    return len(disks), faults


def _limited(limit: int) -> Callable[[Path], str]:
    return lambda out: str(_within(limit, lambda: _map(out)))


def _full_after(count: int) -> Callable[[Path], str]:
    """Make a run in which every write after `count` batches fails in the middle of the file."""

    def full(out: Path) -> str:
        real, done = onnxlrp.runtime.results.write_npz, []

        def write(path: Path, *given: object, **options: object) -> None:
            real(path, *given, **options)
            done.append(path)
            if len(done) > count:
                path.write_bytes(path.read_bytes()[:50])
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("onnxlrp.runtime.results.write_npz", write)
            return _map(out)

    return full


def _map(out: Path) -> str:
    """Run `map` and return the message of an expected error, empty if there is none."""
    x = np.random.default_rng(12).normal(size=(10 * _BATCHES, COLUMNS)).astype(np.float32)
    try:
        onnxlrp.Explainer(onnxlrp.convert(linear("float32"), "epsilon"), providers=CPU).map({"x": x}, 10, to=out)
    except (InputError, OSError) as error:
        return f"told: {error}"
    return ""


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
