"""Recognition of functions that squash a value between 0 and a bound, as a sigmoid does.

They are recognised by their values, so that any spelling will do: ½·(1 + tanh), e^x / (e^x + 1), a line cut at both
ends by Min and Max.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.elementwise_functions import arguments_upstream
from onnxlrp.analysis.facts import Facts
from onnxlrp.source.evaluate import evaluate

_FAR = 8
"""Largest number of elementwise nodes that are walked upstream."""
_ENDS = 40.0
_FLAT = 1e-3
_OPEN = 0.05
"""Distance from either bound that a gate keeps where its argument is 0, as a fraction of the distance between the
bounds. A ReLU6 is at a bound there, so it is no gate."""


def is_squashed(value: ir.Value, facts: Facts) -> bool:
    """Decide whether a value is a squashing function of one upstream: monotone, 0 at one end, constant at the other."""
    node = value.producer()
    if node is None:
        return False
    arguments = itertools.islice(arguments_upstream(value, node, facts), _FAR)
    return any(_squashes(value, argument) for _, argument in arguments)


def _squashes(value: ir.Value, argument: ir.Value) -> bool:
    points = np.linspace(-_ENDS, _ENDS, 81).reshape((-1,) + (1,) * (len(argument.shape or (0,)) - 1))
    values = evaluate(value, {argument: points})
    if values is None or not np.isfinite(values).all() or values.shape[:1] != points.shape[:1]:
        return False
    curves = values.reshape(len(points), -1)
    curves = curves if (curves[-1] > curves[0]).all() else curves[::-1]
    low, high = curves[0], curves[-1]
    rises = bool((np.diff(curves, axis=0) >= 0).all() and (high > 0).all())
    flat = np.abs(curves[1] - low) + np.abs(high - curves[-2]) <= _FLAT * high
    middle = curves[len(points) // 2]
    inside = (middle > low + _OPEN * (high - low)) & (middle < high - _OPEN * (high - low))
    return rises and bool((flat & inside & (np.abs(low) <= _FLAT * high)).all())
