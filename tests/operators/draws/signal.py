"""Fourier transforms."""

from __future__ import annotations

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, normal, pick


@draws("DFT")
def dft(draw: DrawFn, op: str) -> Case:
    """Forwards and back, of real and complex signals, longer or shorter than the transform, along any axis."""
    kind = pick(draw, "forward", "inverse", "onesided", "half")
    parts = 2 if kind == "half" else 1 if kind == "onesided" else pick(draw, 1, 2)
    shape = [*dims(draw, 2, 3, 2, 5), parts]
    axis = pick(draw, *range(len(shape) - 1))
    length = pick(draw, None, shape[axis], shape[axis] + 2, max(2, shape[axis] - 1), 2 * shape[axis] - 1)
    if kind == "inverse":
        # A real spectrum is one that onnxruntime does not take back.
        shape[-1] = 2
    attributes = {
        "inverse": int(kind in ("inverse", "half")),
        "onesided": int(kind in ("onesided", "half")),
    }
    operands = [
        normal(draw, shape),
        None if length is None else np.array(length),
        np.array(axis - len(shape) * pick(draw, 0, 1)),
    ]
    feeds = pick(draw, (), (), (2,), () if length is None else (1, 2))
    # Of half a spectrum onnxruntime takes no other length than that of the whole, as it is or one longer.
    fits = kind != "half" or length is None or length // 2 + 1 == shape[axis]
    return Case(op, operands, feeds=feeds, attributes=attributes, tolerance=1e-8, deployed=fits)


@draws("STFT")
def stft(draw: DrawFn, op: str) -> Case:
    """Of a real or complex signal, with or without a window, which may be data too."""
    length, parts = pick(draw, 2, 3, 4), pick(draw, 1, 1, 2)
    signal = normal(draw, (pick(draw, 1, 2), pick(draw, 5, 8), parts))
    window = pick(draw, None, normal(draw, (length,)))
    frame = np.array(length) if window is None or pick(draw, 0, 1) else None
    data = (0,) if window is None else pick(draw, (0,), (2,), (0, 2))
    feeds = pick(draw, (), (1,)) if frame is None else pick(draw, (), (1,), (3,))
    attributes = {"onesided": 0 if parts == 2 else pick(draw, 0, 1)}
    step = np.array(pick(draw, 1, 2, 3))
    return Case(op, [signal, step, window, frame], data=data, feeds=feeds, attributes=attributes, tolerance=1e-8)
