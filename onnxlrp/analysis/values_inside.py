"""Evaluation of values inside a graph for given inputs, during conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.graph.call import content
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.printable import listed
from onnxlrp.source.evaluate import run_nodes


def value_inside(value: ir.Value, feeds: Mapping[ir.Value, np.ndarray]) -> np.ndarray:
    """Compute the array that a value holds when other values hold `feeds`.

    Raises InputError where a node upstream cannot be evaluated, or needs a value that is neither constant nor fed.
    """
    if value in feeds:
        return feeds[value]
    known = content(value)
    if known is not None:
        return known
    nodes, ends = _upstream(value, feeds)
    protos = [ir.serde.serialize_node(n) for n in nodes]
    given = {v: feeds[v] for v in ends if v in feeds}
    constants = {v: _content(v) for v in ends if v not in feeds}
    versions = {} if nodes[0].graph is None else nodes[0].graph.opset_imports
    try:
        return run_nodes(protos, given, constants, value, versions)
    except Exception as e:  # the evaluator raises what its operators raise
        domains = listed(sorted({f"{n.domain or 'ai.onnx'}::{n.op_type}" for n in nodes}))
        raise InputError(f"{value.name!r} cannot be computed at conversion through {domains}: {e}") from e


def value_of_one_sample(value: ir.Value, feeds: Mapping[ir.Value, np.ndarray]) -> np.ndarray:
    """Compute the array, float64, that a value holds for one sample when other values hold `feeds`; all that it may
    read of the graph's inputs besides are their sizes.

    Raises InputError as `value_inside` does.
    """
    cast = {v: array.astype((v.dtype or ir.DataType.FLOAT).numpy()) for v, array in feeds.items()}
    inputs = [] if value.graph is None else [v for v in value.graph.inputs if v not in feeds and not v.is_initializer()]
    sizes = {v: zeros for v in inputs if (zeros := zeros_of_one_sample(v)) is not None}
    return value_inside(value, {**sizes, **cast}).astype(np.float64)


def zeros_of_one_sample(value: ir.Value) -> np.ndarray | None:
    """Return zeros in the shape of a value for one sample; None if its shape is not known, or for strings."""
    if value.shape is None or value.dtype in (None, ir.DataType.STRING):
        return None
    return np.zeros([d if isinstance(d, int) else 1 for d in value.shape], value.dtype.numpy())


def _upstream(value: ir.Value, feeds: Mapping[ir.Value, np.ndarray]) -> tuple[Sequence[ir.Node], Sequence[ir.Value]]:
    """Return the nodes that compute a value, in topological order, and the values at which they start."""
    nodes = set(upstream([value], lambda node: [v for v in read_by(node) if v not in feeds]))
    graph = next(iter(nodes)).graph if nodes else None
    if graph is None or any(n.graph is not graph for n in nodes):
        raise InputError(f"{value.name!r} lies inside a body of If, Loop or Scan")
    ordered = [n for n in graph if n in nodes]
    read = dict.fromkeys(v for n in ordered for v in read_by(n) if v is not None)
    return ordered, [v for v in read if v in feeds or v.producer() is None]


def _content(value: ir.Value) -> np.ndarray:
    known = content(value)
    if known is None:
        raise InputError(f"the background has no rows for the input {value.name!r}")
    return known
