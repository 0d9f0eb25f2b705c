"""Inputs for a reference sample, whose difference from each sample is explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir


def reference_inputs(
    graph: ir.Graph, inputs: Sequence[ir.Value], unique: Callable[[str], str], *, required: bool
) -> dict[ir.Value, ir.Value]:
    """Add an input `<input>_reference` for each of the inputs, to whose shape it is broadcast; 0 is its default, unless
    it is required or the input's rank is unknown."""
    added = {}
    for value in inputs:
        name = unique(f"{value.name}_reference")
        dims = None if value.shape is None else [ir.SymbolicDim(f"{name}_{a}") for a in range(len(value.shape))]
        given = ir.Value(name=name, type=value.type, shape=None if dims is None else ir.Shape(dims))
        graph.inputs.append(given)
        if dims is not None and not required:
            assert value.dtype is not None
            given.const_value = ir.tensor(np.zeros([1] * len(dims), value.dtype.numpy()), name=name)
            graph.register_initializer(given)
        added[value] = given
    return added
