"""Masks of concepts: inputs that say which channels of inner values relevance passes (CRP, Achtibat et al. 2023)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.plan.concept_axes import Concept


@dataclasses.dataclass(frozen=True)
class Mask:
    """A mask in the rank of its value."""

    tensor: ir.Value
    is_per_channel: bool
    """True where it runs along axes 0 and 1 alone, which pools keep."""


def mask_inputs(
    op: Builder,
    concepts: Sequence[Concept],
    dtype: ir.DataType,
    unique: Callable[[str], str],
    *,
    required: bool,
) -> dict[ir.Value, ir.Value]:
    """Add an input `<value>_mask` [N, channels] for each concept; [1, channels] ones are its default, unless it is
    required."""
    added = {}
    for concept in concepts:
        name = unique(f"{concept.value.name}_mask")
        count = ir.SymbolicDim(f"{name}_channels") if concept.count is None else concept.count
        given = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape([ir.SymbolicDim(f"{name}_batch"), count]))
        op.graph.inputs.append(given)
        if not required:
            given.const_value = ir.tensor(np.ones([1, concept.count or 1], dtype.numpy()), name=name)
            op.graph.register_initializer(given)
        added[concept.value] = given
    return added


def spread_masks(op: Builder, concepts: Sequence[Concept], inputs: dict[ir.Value, ir.Value]) -> dict[ir.Value, Mask]:
    """Bring each mask [N, channels] to the rank of its value, to which it is broadcast."""
    op.label("masks of concepts")
    return {c.value: Mask(_in_rank(op, c, inputs[c.value]), (c.samples, c.channels) == (0, 1)) for c in concepts}


def _in_rank(op: Builder, concept: Concept, mask: ir.Value) -> ir.Value:
    rank = len(concept.value.shape or ())
    if concept.samples is None:
        return op.Reshape(mask, op.ints([-1 if axis == concept.channels else 1 for axis in range(rank)]))
    if concept.samples > concept.channels:
        mask = op.Transpose(mask, perm=[1, 0])
    others = [axis for axis in range(rank) if axis not in (concept.samples, concept.channels)]
    return op.Unsqueeze(mask, op.ints(others)) if others else mask
