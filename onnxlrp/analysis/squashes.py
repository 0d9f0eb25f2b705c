"""Functions that squash a value between 0 and a bound, as a sigmoid does, known by their values whatever way they are
written: ½·(1 + tanh), e^x / (e^x + 1), a linear function cut at both ends by Min and Max."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.elementwise_functions import upstream_operand
from onnxlrp.analysis.facts import Facts
from onnxlrp.source.evaluate import evaluate

_FAR = 8
"""Functions of one value that are followed upstream."""
_ENDS = 40.0
_FLAT = 1e-3
_OPEN = 0.05
"""A gate is neither shut nor open where its argument is 0: a ReLU6 is."""


def is_squashed(value: ir.Value, facts: Facts) -> bool:
    """Decide whether a value is a squashing function of another: monotone, 0 at one end, constant at the other."""
    argument, node = value, value.producer()
    for _ in range(_FAR):
        upstream = None if node is None else upstream_operand(argument, node, facts)
        if upstream is None:
            return False
        argument = upstream
        if _squashes(value, argument):
            return True
    return False


def _squashes(value: ir.Value, argument: ir.Value) -> bool:
    points = np.linspace(-_ENDS, _ENDS, 81).reshape((-1,) + (1,) * (len(argument.shape or (0,)) - 1))
    found = evaluate(value, {argument: points})
    if found is None or not np.isfinite(found).all() or found.shape[:1] != points.shape[:1]:
        return False
    curves = found.reshape(len(points), -1)
    curves = curves if (curves[-1] > curves[0]).all() else curves[::-1]
    low, high = curves[0], curves[-1]
    rises = bool((np.diff(curves, axis=0) >= 0).all() and (high > 0).all())
    flat = np.abs(curves[1] - low) + np.abs(high - curves[-2]) <= _FLAT * high
    middle = curves[len(points) // 2]
    inside = (middle > low + _OPEN * (high - low)) & (middle < high - _OPEN * (high - low))
    return rises and bool((flat & inside & (np.abs(low) <= _FLAT * high)).all())
