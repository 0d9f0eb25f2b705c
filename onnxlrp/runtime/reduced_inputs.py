"""Relevance that was reduced in the graph: its places in the input, and the same laid out over the input."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from onnxlrp.interface import Interface
from onnxlrp.reductions import Reduction, edges_of_cells
from onnxlrp.runtime.end_values import inner_as_inputs

if TYPE_CHECKING:
    from onnxlrp.runtime.explanation import Explanation


def reductions_of(interface: Interface | None) -> dict[str, Reduction]:
    """Read the reduction of each input whose relevance was reduced."""
    return {} if interface is None else {name: Reduction.parse(text) for name, text in interface.reduce.items()}


def is_cut(interface: Interface | None) -> bool:
    """Decide whether only the largest elements of some relevance were kept, so that it adds up to nothing known."""
    return any(reduction.top is not None for reduction in reductions_of(interface).values())


@dataclasses.dataclass(frozen=True)
class ReducedLayout:
    """Axes of one input, and of its relevance after sums over channels and cells."""

    reduction: Reduction
    inner: tuple[int, ...]
    """Sizes of one sample of the input."""
    channels: int | None
    """Axis of one sample that holds channels; None if it has none."""
    is_alone: bool
    """True if the input has no axis of samples, while its reduced relevance has one, of length 1."""

    @property
    def space(self) -> tuple[int, ...]:
        """Sizes of one sample without the channels."""
        return tuple(size for axis, size in enumerate(self.inner) if axis != self.channels)

    @property
    def kept(self) -> tuple[int, ...]:
        """Sizes of one sample's relevance after all sums; places of the largest elements count these."""
        if self.reduction.grid is not None:
            return (self.reduction.grid,) * len(self.space)
        return self.space if self.reduction.channels else self.inner


def layout_of(explanation: Explanation, name: str) -> ReducedLayout | None:
    """Find the axes of an input whose relevance was reduced; None if it was not, or if the input is not known."""
    interface, value = explanation.interface, explanation.inputs.get(name)
    reduction = reductions_of(interface).get(name)
    if interface is None or reduction is None or reduction.keeps_shape or not isinstance(value, np.ndarray):
        return None
    is_alone, channels = name in interface.unbatched, interface.channel_axes.get(name)
    front = 0 if is_alone else 1
    return ReducedLayout(reduction, value.shape[front:], None if channels is None else channels - front, is_alone)


def laid_out(explanation: Explanation) -> Explanation:
    """Bring relevance to what views show: that of inner values where no input is explained, and reduced relevance on
    the axes of its inputs.

    Elements that were not kept are 0. The relevance of a cell is shared out evenly among its places, and an axis of
    channels that was summed over has length 1, so that every sum stays.
    """
    explanation = inner_as_inputs(explanation)
    interface = explanation.interface
    if interface is None or not interface.reduce:
        return explanation
    relevance = {name: _laid_out(explanation, name, array) for name, array in explanation.relevance.items()}
    plain = dataclasses.replace(interface, reduce={}, relevance_indices={}, channel_axes={})
    return dataclasses.replace(explanation, relevance=relevance, relevance_indices={}, interface=plain)


def _laid_out(explanation: Explanation, name: str, relevance: np.ndarray) -> np.ndarray:
    layout, interface = layout_of(explanation, name), explanation.interface
    wide = relevance.astype(np.float32) if relevance.dtype == np.float16 else relevance
    if layout is None or interface is None:
        return wide
    front = 1 if interface.targets == 1 else 2
    if name in explanation.relevance_indices:
        wide = _at_places(wide, explanation.relevance_indices[name], layout.kept)
    if layout.reduction.grid is not None:
        wide = _over_cells(wide, layout, front)
    if layout.reduction.sums_channels and layout.channels is not None:
        wide = np.expand_dims(wide, front + layout.channels)
    if not layout.is_alone:
        return wide
    return wide[0] if front == 1 else np.moveaxis(wide[0], 0, 1)


def _at_places(values: np.ndarray, places: np.ndarray, kept: tuple[int, ...]) -> np.ndarray:
    """Put the largest elements where they belong, in an array [..., *kept] of zeros."""
    size = math.prod(kept)
    whole = np.zeros((*values.shape[:-1], size + 1), values.dtype)
    np.put_along_axis(whole, np.where(places < 0, size, places), values, axis=-1)
    return whole[..., :size].reshape(*values.shape[:-1], *kept)


def _over_cells(cells: np.ndarray, layout: ReducedLayout, front: int) -> np.ndarray:
    """Share the relevance of each cell out among its places."""
    assert layout.reduction.grid is not None
    for axis, size in enumerate(layout.space, front):
        lengths = np.diff(edges_of_cells(size, layout.reduction.grid))
        each = np.expand_dims(np.maximum(lengths, 1), tuple(range(1, cells.ndim - axis)))
        cells = np.repeat(cells / each.astype(cells.dtype), lengths, axis=axis)
    return cells
