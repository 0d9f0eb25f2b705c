"""Relevance in float32 is finite for finite inputs, small and large, under every composite.

Samples are drawn: normal ones of scales from 1e-6 to 1e4, zeros, ones that are mostly zero, and equal ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import onnxlrp
from onnxlrp.composites import COMPOSITES
from tools.robustness.models import LARGE, SMALL, bundled, explainer, random_inputs
from tools.robustness.part import Found

_SCALES = (1e-6, 1e-2, 1.0, 30.0, 1e4)
_BATCH = 1000


def run(quick: bool, folder: Path) -> Found:
    """Explain every batch, and count samples whose relevance holds NaN or infinity."""
    composites = [_called(name) for name in COMPOSITES if _is_for_every_model(name)][:: 6 if quick else 1]
    plan = [(name, 100 if quick else _BATCH) for name in (SMALL[:2] if quick else SMALL)]
    plan += [] if quick else [(LARGE, 1)]
    count, faults = 0, []
    for name, rows in plan:
        for composite in composites:
            samples, wrong = _explain(explainer(bundled(name), composite), rows)
            count += samples
            faults += [f"{name}, {composite}: {wrong} of {samples} samples"] * bool(wrong)
    result = "all finite" if not faults else f"not finite in {len(faults)} models"
    tried = f"{count:,} samples, {len(plan)} models × {len(composites)} composites"
    return Found(tried, result, tuple(faults))


def _is_for_every_model(name: str) -> bool:
    """Decide whether a composite needs no convolution over two axes, attention, or the like. Composites that need the
    bounds of the input follow rules, as all others do."""
    return _asks(name) or COMPOSITES[name]().layerwise


def _asks(name: str) -> bool:
    """Decide whether a composite needs the bounds of the input."""
    return any(f.default is dataclasses.MISSING for f in dataclasses.fields(COMPOSITES[name]))


def _called(name: str) -> str:
    """Write a composite, with bounds of the inputs if it needs them."""
    return f"{name}(low=-1, high=1)" if _asks(name) else name


def _explain(explained: onnxlrp.Explainer, rows: int) -> tuple[int, int]:
    """Return the number of samples, and of those with finite outputs but relevance that is not finite."""
    count = wrong = 0
    for batch in _batches(explained, rows):
        found = explained(batch)
        fine = np.ones(rows, bool)
        for value in found.relevance.values():
            fine &= np.isfinite(value.reshape(rows, -1)).all(1)
        count += rows
        wrong += int((~fine).sum())
    return count, wrong


def _batches(explained: onnxlrp.Explainer, rows: int) -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(10)
    for scale in _SCALES:
        yield {name: value * np.float32(scale) for name, value in random_inputs(explained, rows, rng).items()}
    drawn = random_inputs(explained, rows, rng)
    yield {name: value * 0 for name, value in drawn.items()}
    yield {name: np.where(rng.random(value.shape) < 0.9, np.float32(0), value) for name, value in drawn.items()}
    yield {name: np.broadcast_to(value[:1], value.shape).copy() for name, value in drawn.items()}
