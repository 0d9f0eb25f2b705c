"""References of kernel machines: one neutral value for each feature, against which a kernel is explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.values_inside import value_inside
from onnxlrp.errors import InputError
from onnxlrp.graph.call import content

_AFFINE = {"Identity": 0, "Cast": 0, "Neg": 0, "Mul": None, "Add": None, "Sub": 0, "Div": 0, "MatMul": 0, "Gemm": 0}
"""Operators that map the mean of their operand to the mean of their output, each with the index of the operand that
must be data; None permits either."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A reference, and its source in words for the plan."""

    values: np.ndarray
    """The reference itself, [features], float64."""
    source: str


class Background:
    """Background rows of the model's inputs, and the values inside the graph that belong to them."""

    def __init__(self, rows: Mapping[ir.Value, np.ndarray], clusters: int | None = None) -> None:
        self.rows, self.clusters = rows, clusters
        """The rows by input, and the number of centres that stand for them where samples are compared with each."""
        self.used = False
        """True once something has been computed from the rows."""
        self._inside: dict[ir.Value, np.ndarray] = {}

    def at(self, value: ir.Value) -> np.ndarray:
        """Compute a value inside the graph for all rows, once."""
        if value not in self._inside:
            self._inside[value] = value_inside(value, self.rows)
        self.used = True
        return self._inside[value]

    def mean(self, value: ir.Value) -> np.ndarray:
        """Compute the mean [features] of a value [samples, features] over the rows; raises InputError if the mean is
        not finite."""
        mean = self.at(value).astype(np.float64)
        mean = mean.reshape(-1, mean.shape[-1]).mean(0)
        if not np.isfinite(mean).all():
            raise InputError(f"background: the mean of the rows is not finite at {value.name!r}, the kernel's input")
        return mean


def reference_of(
    x: ir.Value, vectors: np.ndarray, background: Background | None, constant: Collection[ir.Value]
) -> Reference:
    """Choose the reference of a kernel that compares x [samples, features] with vectors [rows, features].

    It is the mean of the background, else the mean that a scaler upstream subtracts, else the mean of the vectors.
    """
    if background is not None:
        return Reference(background.mean(x), "the mean of the background")
    scaled = _scaler_mean(x, vectors, constant)
    if scaled is not None:
        return Reference(scaled, "the mean that the scaler upstream subtracts")
    return Reference(vectors.astype(np.float64).mean(0), "the mean of the kernel's own rows")


def _scaler_mean(x: ir.Value, vectors: np.ndarray, constant: Collection[ir.Value]) -> np.ndarray | None:
    """Compute the x that results where the nearest scaler upstream gives 0; None where no scaler subtracts a mean.

    A scaler is a difference with one constant for each feature, followed by affine nodes. A scaler that subtracts a
    minimum is not used, because it leaves most vectors on one side of its zero.
    """
    value = x
    while (node := value.producer()) is not None and node.domain == "" and node.op_type in _AFFINE:
        operands = [i for i, v in enumerate(node.inputs) if v is not None and v not in constant]
        wanted = _AFFINE[node.op_type]
        if len(operands) != 1 or wanted not in (None, operands[0]):
            return None
        source = node.inputs[operands[0]]
        assert source is not None
        if node.op_type == "Sub" and (width := _width(node)) is not None:
            zeros = np.zeros((1, width), (value.dtype or ir.DataType.FLOAT).numpy())
            mean = value_inside(x, {value: zeros}).reshape(-1).astype(np.float64)
            return mean if _between(mean, vectors) else None
        value = source
    return None


def _width(node: ir.Node) -> int | None:
    """Count the features of a Sub that subtracts one constant from each; None for another Sub."""
    shape, offset = node.outputs[0].shape, content(node.inputs[1])
    columns = None if shape is None or len(shape) != 2 else shape[1]
    return columns if isinstance(columns, int) and offset is not None and offset.size == columns else None


def _between(point: np.ndarray, vectors: np.ndarray) -> bool:
    """Decide whether vectors lie on both sides of a point along at least half of the features."""
    both = (vectors.min(0) < point) & (vectors.max(0) > point)
    return bool(both.mean() >= 0.5)
