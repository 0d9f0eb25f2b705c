"""Max pools backwards without the indices of their winners.

Several runtimes have no pools that give indices. On onnxruntime's CPU such a pool takes 25 times as long as one
without, and the scatter that follows runs on one thread: comparisons take .3 to .8 of that time, for windows of 2 to 13
elements a side.

A maximum over a window is a maximum over one axis after the other, and so is the choice of its winner: of equal
elements the first row wins, and in it the first element, as in the operator's order of indices.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import windows

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def to_winners(op: Builder, call: Call, r: ir.Value) -> ir.Value:
    """Give `r` to the first of the largest elements of each window; windows may overlap, be padded and have gaps.

    Each axis is pooled by itself, beginning with the last one; then the relevance of a maximum goes to the place along
    the first axis that it came from, and so on to the last axis.
    """
    assert r.dtype is not None
    axes = list(_axes(op, call))
    largest = [op.cast(call.operand(0), r.dtype)]
    for axis in reversed(axes):
        largest.append(op.run(axis.pool(call, largest[-1])))
    for axis, (y, x) in zip(axes, itertools.pairwise(reversed(largest)), strict=True):
        r = axis.share(op, x, y, r)
    return r


def _axes(op: Builder, call: Call) -> Iterator[_Axis]:
    kernel = call.ints("kernel_shape")
    strides, dilations = (call.ints(name, [1] * len(kernel)) for name in ("strides", "dilations"))
    begins, _ = windows.pads(op, call, kernel)
    for place, (k, s, d, begin) in enumerate(zip(kernel, strides, dilations, begins, strict=True)):
        yield _Axis(place, k, s, d, begin)


@dataclasses.dataclass(frozen=True)
class _Axis:
    """The windows along one spatial axis."""

    place: int
    kernel: int
    stride: int
    dilation: int
    begin: int | ir.Value
    """Pad before the first element, int64 [1] where it is known only when the model runs."""

    @property
    def axis(self) -> int:
        """The axis of the pooled tensor, after the batch and the channels."""
        return self.place + 2

    def pool(self, call: Call, x: ir.Value) -> Call:
        """Return the pool of `call` along this axis alone."""
        alone = call.variant(without=("storage_order",)).rebind({0: x})
        attributes = dict(alone.attributes)
        for name, neutral in (("kernel_shape", 1), ("strides", 1), ("dilations", 1)):
            numbers = call.ints(name, [1] * len(call.ints("kernel_shape")))
            kept = [n if i == self.place else neutral for i, n in enumerate(numbers)]
            attributes[name] = ir.AttrInt64s(name, kept)
        if "pads" in attributes:
            pads = call.ints("pads")
            spatial = len(pads) // 2
            kept = [n if i % spatial == self.place else 0 for i, n in enumerate(pads)]
            attributes["pads"] = ir.AttrInt64s("pads", kept)
        return dataclasses.replace(alone, attributes=attributes)

    def share(self, op: Builder, x: ir.Value, y: ir.Value, r: ir.Value) -> ir.Value:
        """Give the `r` of each maximum `y` along this axis to the first element of its window in `x` that equals it."""
        if self.kernel == self.stride == 1 and self.begin == 0:
            return r
        padded, count = self._padded(op, x), op.dim(y, self.axis)
        rest, parts = r, []
        for place in range(self.kernel):
            if place == self.kernel - 1:
                parts.append(rest)
                break
            found = op.Equal(self._every(op, padded, place, count), y)
            parts.append(op.Where(found, rest, op.number(0.0, r)))
            rest = op.Where(found, op.number(0.0, r), rest)
        return self._put_back(op, parts, x, count)

    def _padded(self, op: Builder, x: ir.Value) -> ir.Value:
        """Pad `x` with the lowest number, amply at the end, because windows may end past the declared pads."""
        rank = len(op.dims(x))
        begins: list[int | ir.Value] = [0] * rank
        ends: list[int | ir.Value] = [0] * rank
        begins[self.axis], ends[self.axis] = self.begin, (self.kernel - 1) * self.dilation + self.stride
        assert x.dtype is not None
        lowest = op.constant(np.finfo(x.dtype.numpy()).min, x.dtype)
        return op.Pad(x, windows.vector(op, [*begins, *ends]), lowest)

    def _every(self, op: Builder, padded: ir.Value, place: int, count: ir.Value) -> ir.Value:
        """Take the element number `place` of every window; `count` is the number of windows, int64 [1]."""
        start, known = place * self.dilation, op.known(count)
        last = (
            op.Mul(op.Sub(count, op.ints([1])), op.ints([self.stride]))
            if known is None
            else op.ints([(int(known[0]) - 1) * self.stride])
        )
        end = op.plus(last, op.ints([start + 1]))
        return op.Slice(padded, op.ints([start]), end, op.ints([self.axis]), op.ints([self.stride]))

    def _put_back(self, op: Builder, parts: list[ir.Value], x: ir.Value, count: ir.Value) -> ir.Value:
        """Add up the parts, one for each element of a window, at the places of these elements.

        Elements whose places leave one remainder when divided by the stride lie a whole number of windows apart: they
        are moved by these windows and added up. The sums for all remainders are then taken in turn.
        """
        offsets = [divmod(place * self.dilation, self.stride) for place in range(self.kernel)]
        most = max(windows_on for windows_on, _ in offsets)
        sums: list[ir.Value | None] = [None] * self.stride
        for part, (moved, remainder) in zip(parts, offsets, strict=True):
            shifted = self._moved(op, part, moved, most - moved)
            before = sums[remainder]
            sums[remainder] = shifted if before is None else op.Add(before, shifted)
        nothing = next(s for s in sums if s is not None)
        full = [op.Mul(nothing, op.number(0.0, nothing)) if s is None else s for s in sums]
        whole = full[0] if self.stride == 1 else self._in_turn(op, full, op.plus(count, op.ints([most])))
        # Elements at the end that no window covers have no relevance.
        whole = self._moved(op, whole, 0, self.stride + (self.kernel - 1) * self.dilation)
        start = op.ints([self.begin]) if isinstance(self.begin, int) else self.begin
        result = op.Slice(whole, start, op.plus(start, op.dim(x, self.axis)), op.ints([self.axis]))
        return self._sized(result, parts[0], x)

    def _moved(self, op: Builder, r: ir.Value, before: int, after: int) -> ir.Value:
        if not before and not after:
            return r
        pads = np.zeros([2, len(op.dims(r))], np.int64)
        pads[:, self.axis] = before, after
        return op.Pad(r, op.ints(pads.ravel().tolist()), op.number(0.0, r))

    def _in_turn(self, op: Builder, sums: list[ir.Value], count: ir.Value) -> ir.Value:
        """Take one element of each tensor in turn along the axis, which has `count` elements in each."""
        last = op.ints([self.axis + 1])
        side_by_side = op.Concat(*(op.Unsqueeze(s, last) for s in sums), axis=self.axis + 1)
        width = op.known(count)
        size = op.Mul(count, op.ints([self.stride])) if width is None else op.ints([int(width[0]) * self.stride])
        # With a 0 for the batch, onnxruntime would write the only open size as −1, which an empty batch cannot have.
        samples = op.ints([0]) if op.profile.partial_shapes else op.dim(sums[0], 0)
        front, behind = op.ints([0] * (self.axis - 1)), op.shape(sums[0], self.axis + 1)
        rank = len(op.dims(sums[0]))
        pieces = [samples, front, size, *([behind] if rank > self.axis + 1 else [])]
        return op.Reshape(side_by_side, op.Concat(*pieces, axis=0))

    def _sized(self, result: ir.Value, r: ir.Value, x: ir.Value) -> ir.Value:
        """Restore the names of sizes, which inference loses."""
        assert r.shape is not None and x.shape is not None
        sizes = [x.shape[i] if i == self.axis else d for i, d in enumerate(r.shape)]
        result.shape = ir.Shape(sizes)
        return result
