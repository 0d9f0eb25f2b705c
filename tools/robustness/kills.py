"""A run of `Explainer.map` that is killed goes on where it was, with results equal to the last bit.

Each run is a process that SIGKILL ends at a random moment while it writes to its folder; the next process goes on,
and leaves the arrays and the files of a run that nobody killed, and no draft.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import numpy as np

import onnxlrp
from onnxlrp.runtime import Results
from tools.robustness.children import Child, call_in_child
from tools.robustness.models import CPU, bundled
from tools.robustness.part import Found

_SAMPLES, _BATCH = 960, 8


def run(quick: bool, folder: Path) -> Found:
    """Kill runs, continue them, and compare."""
    wanted_kills, rng, faults, batches, drafts, tries = 3 if quick else 50, random.Random(0), [], [], 0, 0
    model = onnxlrp.convert(bundled("digits_lstm/digits_lstm")).to_proto().SerializeToString()
    call_in_child(lambda: _map(model, folder / "whole"))
    seconds, wanted = _time(model, folder / "timed"), content(folder / "whole")
    while len(batches) < wanted_kills:
        out, tries = folder / f"killed {tries}", tries + 1
        done, has_draft = _kill(model, out, rng.uniform(0, seconds))
        if done is not None:
            batches.append(done)
            drafts += has_draft
            call_in_child(lambda: _map(model, out))
            faults += [f"killed after {done} batches: {words}" for words in [differences(out, wanted)] if words]
        shutil.rmtree(out, ignore_errors=True)
    went_on = f"{wanted_kills - len(faults)} went on equal to the last bit, {drafts} over a half-written batch"
    result = f"{went_on}; killed after {min(batches)} to {max(batches)} of {_SAMPLES // _BATCH} batches"
    return Found(f"{wanted_kills} kills", result, tuple(faults))


def _kill(model: bytes, out: Path, seconds: float) -> tuple[int | None, bool]:
    """Kill a run, and return the number of batches that it wrote, None if it wrote them all, and whether it left a
    draft."""
    child = Child(lambda tell: _map(model, out, tell))
    child.hear()  # it starts to write now
    time.sleep(seconds)
    child.kill()
    done = len(list(out.glob("0*.npz")))
    return None if done == _SAMPLES // _BATCH else done, any(out.glob(".0*.npz"))


def _time(model: bytes, folder: Path) -> float:
    """Measure the seconds that the writing of a whole run takes."""
    child = Child(lambda tell: _map(model, folder, tell))
    child.hear()
    start = time.perf_counter()
    child.hear()
    child.join()
    return time.perf_counter() - start


def _map(model: bytes, folder: Path, tell: object = None) -> int:
    explained = onnxlrp.Explainer(model, providers=CPU)
    x = np.random.default_rng(7).normal(size=(_SAMPLES, 8, 8)).astype(np.float32)
    if callable(tell):
        tell("ready")
    return explained.map({next(iter(explained.inputs)): x}, _BATCH, to=folder).done


def content(folder: Path) -> dict[str, dict[str, bytes]]:
    """Read every file of a folder, hidden ones too, with the bytes of its arrays."""
    results = Results(folder)
    parts = {results.part(*span).name: arrays for span, arrays in zip(results.spans(), results.batches())}
    return {
        path.name: {name: array.tobytes() for name, array in parts.get(path.name, {}).items()}
        for path in folder.iterdir()
    }


def differences(folder: Path, wanted: dict[str, dict[str, bytes]]) -> str:
    """Say how the folder of a continued run differs from that of a whole one; empty if they are equal."""
    found = content(folder)
    more = sorted(found.keys() ^ wanted.keys())
    other = [name for name in wanted if name in found and found[name] != wanted[name]]
    return f"files {more[:3]} and arrays of {other[:3]} differ" if more or other else ""
