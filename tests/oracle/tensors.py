"""Operators over whole tensors that the reference evaluator cannot run in double precision, or gets wrong."""

from __future__ import annotations

import numpy as np
from onnx.reference.op_run import OpRun


class LayerNormalization(OpRun):
    """The evaluator gives the statistics in the input's precision, ONNX in single."""

    def _run(self, x, scale, bias=None, axis=None, epsilon=None, stash_type=None):
        axes = tuple(range(axis % x.ndim, x.ndim))
        mean = x.mean(axes, keepdims=True)
        factor = 1 / np.sqrt(x.var(axes, keepdims=True) + np.asarray(epsilon, x.dtype))
        y = (x - mean) * factor * scale
        made = (y if bias is None else y + bias, mean.astype(np.float32), factor.astype(np.float32))
        return made[: len(self.onnx_node.output)]


class MeanVarianceNormalization(OpRun):
    """The evaluator runs the function body, which adds a number in single precision."""

    def _run(self, x, axes=None):
        axes = (0, 2, 3) if axes is None else tuple(axes)
        return ((x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + np.asarray(1e-9, x.dtype)),)


class Scatter(OpRun):
    """The evaluator knows only what it is called since opset 11."""

    def _run(self, data, indices, updates, axis=None):
        written = data.copy()
        np.put_along_axis(written, indices, updates, axis or 0)
        return (written,)


class Unique(OpRun):
    """The evaluator sorts what was not to be sorted, unless positions are asked for, and then along the first axis."""

    def _run(self, x, axis=None, sorted=None):
        y, first, inverse, counts = np.unique(x, True, True, True, axis=axis)
        order = np.arange(len(first)) if sorted else np.argsort(first)
        y = y[order] if axis is None else np.take(y, order, axis)
        found = (y, first[order], np.argsort(order)[inverse.reshape(-1)], counts[order])
        return tuple(np.asarray(v, np.int64) if i else v for i, v in enumerate(found))[: len(self.onnx_node.output)]


OPERATORS = [LayerNormalization, MeanVarianceNormalization, Scatter, Unique]
"""For `new_ops` of the evaluator."""
