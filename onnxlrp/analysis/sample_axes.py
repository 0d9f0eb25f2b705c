"""Axes of an input that count its samples, hold its channels and span its space or time, told by the first layer that
reads it, else by its declared sizes."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from onnxlrp.analysis.followed_axes import Axes, readers_with_axes

_SLIDES = frozenset({"AveragePool", "Conv", "ConvTranspose", "LpPool", "MaxPool"})
_STEPS = frozenset({"GRU", "LSTM", "RNN"})
_CHANNELS = (3, 1, 4, 2)
"""Usual numbers of channels, the most usual first, because a side may be 1 or 4 long too."""
_SMALLEST_PICTURE = 16
"""Least side of a square input without channels that is a picture."""


@dataclasses.dataclass(frozen=True)
class SampleAxes:
    """Axes of an input, each by its number in the input's shape."""

    batch: int | None
    """Axis that counts samples; None if the input is one sample."""
    channels: int | None
    """Axis that holds channels; None if there is none, or if it is not known."""
    is_known: bool = True
    """False if nothing tells whether there are channels, and which axis holds them."""


def axes_of_input(value: ir.Value, batch_symbol: object, is_one_sample: bool) -> SampleAxes:
    """Find the axes of an input.

    Parameters
    ----------
    batch_symbol
        The name of the size that counts samples in the explained output; None if it has none.
    is_one_sample
        True if the explained output is of one sample. The input then has an axis of samples only if axis 0 may be of
        size 1.
    """
    shape = value.shape
    if shape is None:
        return SampleAxes(0, None, is_known=False)
    named = [axis for axis, size in enumerate(shape) if isinstance(size, ir.SymbolicDim) and size.value is not None
             and size.value == batch_symbol]  # fmt: skip
    told = next((t for one in readers_with_axes(value) if (t := _told_by(*one)) is not None), None)
    batch: int | None = named[0] if named else 0
    if is_one_sample and (not shape or (isinstance(shape[0], int) and shape[0] != 1)):
        batch = None
    elif not named and told is not None:
        batch = told[0]  # None where the model adds the axis itself
    if told is not None:
        return SampleAxes(batch, told[1])
    return _by_sizes(shape, batch)


def _told_by(node: ir.Node, index: int, axes: Axes) -> tuple[int | None, int | None] | None:
    """Read the axes of samples and channels off a layer; None if it does not tell them."""
    if node.domain != "" or index != 0:
        return None
    if node.op_type in _SLIDES and len(axes) > 2:
        return axes[0], axes[1]
    if node.op_type in _STEPS:
        layout = node.attributes.get("layout")
        return axes[0 if layout is not None and layout.as_int() == 1 else 1], axes[2]
    if node.op_type == "MatMul" and len(axes) == 3:
        return axes[0], axes[2]
    return None


def _by_sizes(shape: ir.Shape, batch: int | None) -> SampleAxes:
    """Guess the axis of channels from declared sizes, as pictures from files are laid out."""
    own = [axis for axis in range(len(shape)) if axis != batch]
    if len(own) < 2:
        return SampleAxes(batch, None)
    if len(own) == 2:
        return _of_series(shape, batch, own)
    ends = (own[0], own[-1], *(own[1:2] if len(own) == 4 else ()))
    few = [axis for size in _CHANNELS for axis in ends if shape[axis] == size]
    if few:
        return SampleAxes(batch, few[0])
    is_open = [not isinstance(shape[axis], int) for axis in (own[0], own[-1])]
    return SampleAxes(batch, own[0] if all(is_open) else None, is_known=all(is_open))


def _of_series(shape: ir.Shape, batch: int | None, own: list[int]) -> SampleAxes:
    """Find the channels of [., .]: beside a single axis of open length; a square picture has none."""
    sizes = [shape[axis] for axis in own]
    is_fixed = [isinstance(size, int) for size in sizes]
    if is_fixed[0] != is_fixed[1]:
        return SampleAxes(batch, own[is_fixed.index(True)])
    is_picture = all(is_fixed) and sizes[0] == sizes[1] and int(str(sizes[0])) >= _SMALLEST_PICTURE
    return SampleAxes(batch, None, is_known=is_picture)
