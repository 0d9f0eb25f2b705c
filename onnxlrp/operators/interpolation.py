"""Interpolation: the elements that a position reads, their weights, and the derivatives of these by the position."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@dataclasses.dataclass(frozen=True)
class Tap:
    """One of the elements along an axis that a position reads."""

    index: ir.Value
    """Index along the axis: a float that may be out of range, or int64 and in range once `inside` has clamped it."""
    weight: ir.Value | None = None
    """The element's weight; None stands for 1."""
    slope: ir.Value | None = None
    """The weight's derivative by the position; None stands for 0."""


@dataclasses.dataclass(frozen=True)
class Corner:
    """One of the elements that a position in a picture reads: a tap along each axis."""

    index: ir.Value
    """Index into the flattened spatial axes, int64."""
    weight: ir.Value | None
    slopes: tuple[ir.Value | None, ...]
    """The weight's derivative by the position along each axis."""


def nearest(op: Builder, at: ir.Value) -> list[Tap]:
    """Read the nearest element; a position halfway between two reads the even one."""
    return [Tap(op.Round(at))]


def linear(op: Builder, at: ir.Value) -> list[Tap]:
    """Read the elements on either side with the weights 1 − t and t."""
    low = op.Floor(at)
    part = op.Sub(at, low)
    return [
        Tap(low, op.Sub(1.0, part), op.number(-1.0, at)),
        Tap(op.Add(low, 1.0), part, op.number(1.0, at)),
    ]


def cubic(op: Builder, at: ir.Value, a: float = -0.75) -> list[Tap]:
    """Read two elements on either side with the weights of Keys' cubic convolution (Keys 1981).

    At the distance d ≤ 1 the weight is (a + 2)d³ − (a + 3)d² + 1, at 1 < d < 2 it is a·d³ − 5a·d² + 8a·d − 4a.
    """
    low = op.Floor(at)
    part = op.Sub(at, low)
    taps = []
    for shift in (-1, 0, 1, 2):
        d = op.Add(part, float(-shift)) if shift <= 0 else op.Sub(float(shift), part)
        if shift in (0, 1):
            weight = op.Add(op.Mul(op.Sub(op.Mul(d, a + 2), a + 3), op.Mul(d, d)), 1.0)
            slope = op.Mul(op.Sub(op.Mul(d, 3 * (a + 2)), 2 * (a + 3)), d)
        else:
            weight = op.Sub(op.Mul(op.Add(op.Mul(op.Sub(op.Mul(d, a), 5 * a), d), 8 * a), d), 4 * a)
            slope = op.Add(op.Mul(op.Sub(op.Mul(d, 3 * a), 10 * a), d), 8 * a)
        taps.append(Tap(op.Add(low, float(shift)), weight, slope if shift <= 0 else op.Neg(slope)))
    return taps


def inside(op: Builder, tap: Tap, length: ir.Value, *, zeros: bool = False) -> Tap:
    """Clamp a tap to the elements that exist; with `zeros`, a tap out of range has the weight 0.

    `length` is the number of elements, a float scalar.
    """
    last = op.Sub(length, 1.0)
    index = op.Cast(op.Min(op.Max(tap.index, op.number(0.0, tap.index)), last), to=ir.DataType.INT64)
    if not zeros:
        return Tap(index, tap.weight, tap.slope)
    exists = op.And(op.GreaterOrEqual(tap.index, 0.0), op.LessOrEqual(tap.index, last))
    nothing, one = op.number(0.0, tap.index), op.number(1.0, tap.index)
    weight = op.Where(exists, one if tap.weight is None else tap.weight, nothing)
    return Tap(index, weight, None if tap.slope is None else op.Where(exists, tap.slope, nothing))


def product(op: Builder, factors: Sequence[ir.Value | None]) -> ir.Value | None:
    """Multiply factors, where None stands for 1, also in the result."""
    some = [f for f in factors if f is not None]
    return functools.reduce(op.Mul, some) if some else None


def corners(op: Builder, axes: Sequence[Sequence[Tap]], lengths: Sequence[ir.Value]) -> Iterator[Corner]:
    """Yield a corner for every combination of taps along the axes; `lengths` are the axes' lengths, int64."""
    for taps in itertools.product(*axes):
        index = taps[0].index
        for tap, length in zip(taps[1:], lengths[1:], strict=True):
            index = op.Add(op.Mul(index, length), tap.index)
        slopes = tuple(
            None if tap.slope is None else product(op, [t.slope if b == a else t.weight for b, t in enumerate(taps)])
            for a, tap in enumerate(taps)
        )
        yield Corner(index, product(op, [t.weight for t in taps]), slopes)


def matrix(op: Builder, taps: Sequence[Tap], length: ir.Value, *, slopes: bool = False) -> ir.Value:
    """Build the matrix [positions…, elements] of weights or, with `slopes`, of their derivatives; `length` is int64."""
    rows = []
    for tap in taps:
        factor = tap.slope if slopes else tap.weight
        assert factor is not None and factor.dtype is not None
        hot = op.one_hot(op.Unsqueeze(tap.index, op.ints([-1])), length, factor.dtype)
        scalar = factor.shape is not None and len(factor.shape) == 0
        rows.append(op.Mul(hot, factor if scalar else op.Unsqueeze(factor, op.ints([-1]))))
    return functools.reduce(op.Add, rows)


def gather_elements(op: Builder, pictures: ir.Value, index: ir.Value, shape: ir.Value) -> ir.Value:
    """Gather the elements of pictures [N, C, elements] at `index` [N, 1, positions], to the
    result's `shape`, [N, C, positions]."""
    return op.GatherElements(pictures, op.Expand(index, shape), axis=2)


def read(op: Builder, pictures: ir.Value, corners: Sequence[Corner], shape: ir.Value) -> ir.Value:
    """Compute what positions read from pictures [N, C, elements]; `shape` is the result's, [N, C, positions]."""
    parts = []
    for corner in corners:
        part = gather_elements(op, pictures, corner.index, shape)
        parts.append(part if corner.weight is None else op.Mul(part, corner.weight))
    return functools.reduce(op.Add, parts)


def give_back(op: Builder, r: ir.Value, corners: Sequence[Corner], pictures: ir.Value) -> ir.Value:
    """Carry `r` [N, C, positions] back to pictures [N, C, elements], by the transpose of `read`."""
    assert r.dtype is not None
    # onnxruntime's CPU cannot add up halves in ScatterElements.
    wide = ir.DataType.FLOAT if r.dtype == ir.DataType.FLOAT16 else r.dtype
    total = op.full(op.shape(pictures), 0, wide)
    for corner in corners:
        part = op.cast(r if corner.weight is None else op.Mul(r, corner.weight), wide)
        total = op.ScatterElements(total, op.Expand(corner.index, op.shape(r)), part, axis=2, reduction="add")
    return op.cast(total, r.dtype)


def by_position(op: Builder, r: ir.Value, corners: Sequence[Corner], pictures: ir.Value) -> list[ir.Value]:
    """Compute the derivative of ⟨r, read(positions)⟩ by the position along each axis, [N, 1, positions] each."""
    axes = len(corners[0].slopes)
    parts: list[list[ir.Value]] = [[] for _ in range(axes)]
    for corner in corners:
        value = op.ReduceSum(
            op.Mul(r, gather_elements(op, pictures, corner.index, op.shape(r))), op.ints([1]), keepdims=1
        )
        for axis, slope in enumerate(corner.slopes):
            if slope is not None:
                parts[axis].append(op.Mul(value, slope))
    return [functools.reduce(op.Add, p) if p else op.full(op.shape(corners[0].index), 0, r.dtype) for p in parts]
