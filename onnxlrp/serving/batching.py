"""Decision whether a server may join requests to one batch of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import OnnxLrpError
from onnxlrp.runtime import providers
from onnxlrp.runtime.checking import fitting_inputs
from onnxlrp.runtime.reading import ModelFile
from onnxlrp.serving.served_tensors import ServedTensors

_CLOSE = 1e-2
"""Largest difference between a row alone and the row in a batch, relative to the largest value: rows that influence
each other differ by more, rounding by less."""


def why_not_batched(served: ServedTensors, opened: ModelFile, session: Any) -> str:
    """Say why requests cannot be joined along axis 0, in a sentence; empty if they can.

    Every input and output must have an open axis 0 that counts samples. This is read from the shapes, and tried: two
    random samples must get the same results together as each alone.
    """
    if served.optional:
        names = ", ".join(repr(one.name) for one in served.optional)
        return (
            f"Triton joins no requests of a model with optional inputs ({names}), but each may hold a batch; "
            "--without-optional leaves them out, and a file converted with --target-input required has none"
        )
    for one in (*served.inputs, *served.outputs):
        if not one.is_open:
            return f"axis 0 of {one.name!r} is not open, so that it counts no samples"
    mixes = _rows_mix(opened, session)
    if mixes is None:
        symbols = {one.symbol for one in (*served.inputs, *served.outputs)}
        return "" if len(symbols) == 1 else "the file gives axis 0 of its inputs and outputs different names"
    return "the samples of a batch influence each other's results" if mixes else ""


def _rows_mix(opened: ModelFile, session: Any) -> bool | None:
    """Run two random samples together and each alone, and decide whether results differ; None if the model does not
    run on random inputs."""

    def run(arrays: Mapping[str, Any]) -> dict[str, Any]:
        return providers.run(session, None, dict(arrays))

    try:
        arrays = fitting_inputs({**opened.inputs, **opened.added}, run)
        if {len(array) for array in arrays.values()} != {2}:
            return None
        together = run(arrays)
        alone = [run({name: array[row : row + 1] for name, array in arrays.items()}) for row in (0, 1)]
    except OnnxLrpError:
        return None
    return any(_differs(value, [one[name] for one in alone]) for name, value in together.items())


def _differs(together: Any, alone: list[Any]) -> bool:
    try:
        apart = np.concatenate(alone)
    except ValueError:
        return True
    if apart.shape != together.shape:
        return True
    if together.dtype.kind != "f":
        return not np.array_equal(apart, together)
    largest = float(np.nanmax(np.abs(together), initial=0.0))
    return not np.allclose(apart, together, rtol=0, atol=_CLOSE * largest, equal_nan=True)
