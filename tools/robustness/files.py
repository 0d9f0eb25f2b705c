"""A file for an input is explained as what it holds, or refused in a sentence; no pickle in it ever runs.

Array files, archives, tables and pictures, good, odd and damaged, each read by `Explainer.map` and by the loader of
the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import onnxlrp
from onnxlrp.runtime import files
from tools.robustness import odd_files
from tools.robustness.models import CLASSES, explainer, linear, pictures, weights_of
from tools.robustness.odd_files import ANYTHING, Case
from tools.robustness.part import Found, Tally


def run(quick: bool, folder: Path) -> Found:
    """Give each file to the model that takes its kind."""
    tally, count = Tally(), 0
    rows, images = explainer(linear("float32")), explainer(pictures())
    for explained, cases in ((rows, _rows()), (images, odd_files.pictures()), (images, odd_files.pickles())):
        for name, content, meant in cases:
            count += 1
            path = folder / f"{count} {name}"
            path.write_bytes(content)
            tally.judge(f"{name}, mapped", lambda: _mapped(explained, path), _check(meant))
            tally.judge(f"{name}, loaded", lambda: _loaded(explained, path), _check(meant))
    faults = [*tally.faults, *(f"a pickle {word}" for word in odd_files.UNPICKLED)]
    result = f"{tally.right:,} readings right, {tally.refused:,} refused in a sentence, {len(tally.faults)} otherwise"
    return Found(f"{count:,} files", f"{result}; {len(odd_files.UNPICKLED)} pickles ran", tuple(faults))


def _rows() -> Iterator[Case]:
    yield from odd_files.arrays()
    yield from odd_files.archives()
    yield from odd_files.pickles()
    yield from odd_files.tables()


def _mapped(explained: onnxlrp.Explainer, path: Path) -> np.ndarray:
    """Explain the file by `map`, and return the outputs, which reveal the input that was read."""
    return np.concatenate([one.outputs["y"] for one in explained.map({"x": path}, 100)])


def _loaded(explained: onnxlrp.Explainer, path: Path) -> np.ndarray:
    """Explain the file as the command line reads it, and return the outputs."""
    return explained({"x": files.load(path, explained.inputs["x"]).array}).outputs["y"]


def _check(meant: Any) -> Any:
    if meant is None:
        return None
    if meant is ANYTHING:
        return lambda found: "" if found.shape[1:] == (CLASSES,) else "its outputs have another shape"
    wanted = meant.reshape(len(meant), -1) @ weights_of(meant[0].size)
    return lambda found: "" if np.allclose(found, wanted, rtol=1e-3, atol=1e-2) else "other numbers were read"
