"""The output of interactions: those of all ensembles, added up by the columns of the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.plan.asked_interactions import Interactions


def interactions_of_inputs(
    op: Builder, asked: Interactions, found: Mapping[str, ir.Value], relevance: Sequence[ir.Value], dtype: ir.DataType
) -> ir.Value:
    """Add up the interactions that steps gave back, by the names of the steps, to one tensor [N, columns, columns].

    Columns that come from the same column are added up. The diagonal is set so that each row adds up to the relevance
    of its column; `relevance` holds that of all inputs, in their shapes. All tensors are of the type `dtype`.
    """
    count = len(asked.columns)
    pairs = [_by_source(op, found[name], sources, count) for name, sources in asked.sources.items() if name in found]
    rows = [op.Flatten(r, axis=1) if len(op.dims(r)) != 2 else r for r in relevance]
    values = rows[0] if len(rows) == 1 else op.Concat(*rows, axis=1)
    own = op.constant(np.eye(count, dtype=bool))
    others = op.Where(own, op.constant(0, dtype), op.Sum(*pairs))
    rest = op.Sub(values, op.ReduceSum(others, op.ints([2]), keepdims=0))
    return op.Where(own, op.Unsqueeze(rest, op.ints([2])), others)


def _by_source(op: Builder, pairs: ir.Value, sources: np.ndarray, count: int) -> ir.Value:
    """Bring interactions of a step's own columns, [N, own, own], to the columns that these come from."""
    if np.array_equal(sources, np.arange(count)):
        return pairs
    matrix = (sources[:, None] == np.arange(count)).astype(np.int64)
    return op.MatMul(op.constant(matrix.T, pairs.dtype), op.MatMul(pairs, op.constant(matrix, pairs.dtype)))
