"""Sampling operators in numpy, where onnx's reference evaluator rounds to float32, knows fewer axes, or has none.

A point reads the elements around it one axis at a time: `_read` is the one loop over them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from onnx.reference.op_run import OpRun
from onnx.reference.ops import op_resize

from tests.oracle.reference import Window, _text

Array = np.ndarray
Fetch = Callable[[Array, Sequence[Array]], Array]


def _hat(d: Array) -> Array:
    return np.maximum(0, 1 - np.abs(d))


def _keys(d: Array, a: float = -0.75) -> Array:
    d = np.abs(d)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    return np.where(d <= 1, near, np.where(d < 2, a * (d**3 - 5 * d**2 + 8 * d - 4), 0))


def _mirror(position: Array, low: float, high: float) -> Array:
    """Mirrored at both ends until it lies between."""
    if high <= low:
        return np.full_like(position, low)
    phase = np.mod(position - low, 2 * (high - low))
    return low + np.minimum(phase, 2 * (high - low) - phase)


def _zeros(picture: Array, cells: Sequence[Array]) -> Array:
    """Elements of a picture [C, …], 0 where there are none."""
    exists = np.ones(cells[0].shape, bool)
    for at, n in zip(cells, picture.shape[1:], strict=True):
        exists &= (at >= 0) & (at < n)
    inside = tuple(np.clip(at, 0, n - 1).astype(int) for at, n in zip(cells, picture.shape[1:], strict=True))
    return np.where(exists, picture[(slice(None), *inside)], 0)


def _read(picture: Array, points: Sequence[Array], fetch: Fetch, kernel: Callable[[Array], Array], reach: int) -> Array:
    """A picture [C, …] at points, by a kernel of so many elements to either side."""
    lows = [np.floor(p) for p in points]
    total = np.zeros((picture.shape[0], *points[0].shape), picture.dtype)
    for shifts in itertools.product(range(1 - reach, reach + 1), repeat=len(points)):
        cells = [low + s for low, s in zip(lows, shifts, strict=True)]
        weight = np.prod([kernel(p - c) for p, c in zip(points, cells, strict=True)], axis=0)
        total += weight * fetch(picture, cells)
    return total


class GridSample(OpRun):
    """The evaluator's own rounds positions to float32."""

    def _run(self, x, grid, mode=None, padding_mode=None, align_corners=None):
        mode, padding = _text(mode).removeprefix("bi"), _text(padding_mode)
        sizes = x.shape[2:]
        points, borders = [], []
        for axis, n in enumerate(sizes):
            g = grid[..., len(sizes) - 1 - axis]
            at = (g + 1) / 2 * (n - 1) if align_corners else ((g + 1) * n - 1) / 2
            at = np.rint(at) if mode == "nearest" else at
            low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
            if padding == "border":
                at = np.where((at < low) | (at > high), np.clip(at, 0, n - 1), at)
            if padding == "reflection":
                at = _mirror(at, low, high)
            points.append(at)
            borders.append((low, high))

        def fetch(picture: Array, cells: Sequence[Array]) -> Array:
            if padding == "reflection":
                cells = [_mirror(c, *b) for c, b in zip(cells, borders, strict=True)]
            if padding != "zeros":
                cells = [np.clip(c, 0, n - 1) for c, n in zip(cells, sizes, strict=True)]
            return _zeros(picture, cells)

        rows = []
        for picture, *at in zip(x, *points, strict=True):
            if mode == "nearest":
                rows.append(fetch(picture, at))
            else:
                rows.append(_read(picture, at, fetch, *((_hat, 1) if mode == "linear" else (_keys, 2))))
        return (np.stack(rows).astype(x.dtype),)


class DeformConv(OpRun):
    """The evaluator's own rounds positions to float32, and takes pictures only."""

    def _run(
        self,
        x,
        w,
        offset,
        b=None,
        mask=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        offset_group=None,
        pads=None,
        strides=None,
    ):
        group, shared = group or 1, offset_group or 1
        kernel, spatial = w.shape[2:], len(w.shape) - 2
        window = Window(x.shape[2:], kernel, strides, dilations, pads, "NOTSET")
        n, channels = x.shape[:2]
        offset = offset.reshape(n, shared, *kernel, spatial, *window.out)
        mask = (
            np.ones((n, shared, *kernel, *window.out))
            if mask is None
            else mask.reshape(n, shared, *kernel, *window.out)
        )
        weights = w.reshape(group, -1, *w.shape[1:])
        y = np.zeros((n, group, weights.shape[1], *window.out), x.dtype)
        for at, plain in window.positions():
            regular = np.meshgrid(*plain, indexing="ij")
            read = np.zeros((n, channels, *window.out), x.dtype)
            for i, g in itertools.product(range(n), range(shared)):
                own = slice(g * channels // shared, (g + 1) * channels // shared)
                moved = [c + offset[(i, g, *at, axis)] for axis, c in enumerate(regular)]
                read[i, own] = mask[(i, g, *at)] * _read(x[i, own], moved, _zeros, _hat, 1)
            read = read.reshape(n, group, -1, *window.out)
            y += np.einsum("ngi...,goi->ngo...", read, weights[(..., *at)])
        y = y.reshape(n, w.shape[0], *window.out)
        return (y if b is None else y + b.reshape(-1, *[1] * spatial),)


class AffineGrid(OpRun):
    """The evaluator's own rounds to float32."""

    def _run(self, theta, size, align_corners=None):
        sizes = [int(n) for n in size[2:]]
        lines = [
            -1 + 2 * np.arange(n) / max(n - 1, 1) if align_corners else -1 + (2 * np.arange(n) + 1) / n for n in sizes
        ]
        axes = np.meshgrid(*lines, indexing="ij")
        places = np.stack([*axes[::-1], np.ones(sizes)], axis=-1)
        return (np.einsum("...j,nij->n...i", places, theta).astype(theta.dtype),)


class MaxRoiPool(OpRun):
    """The evaluator has none. After Fast R-CNN (Girshick 2015): edges rounded, both included; an empty bin is 0."""

    def _run(self, x, rois, pooled_shape=None, spatial_scale=None):
        scale = 1.0 if spatial_scale is None else spatial_scale
        y = np.zeros((len(rois), x.shape[1], *pooled_shape), x.dtype)
        for r, roi in enumerate(rois):
            edges = np.sign(roi[1:]) * np.floor(np.abs(roi[1:] * scale) + 0.5)
            spans = []
            for low, high, bins, n in zip(edges[1::-1], edges[:1:-1], pooled_shape, x.shape[2:], strict=True):
                each = max(high - low + 1, 1) / bins
                first, last = np.floor(np.arange(bins) * each) + low, np.ceil(np.arange(1, bins + 1) * each) + low
                spans.append(list(zip(np.clip(first, 0, n).astype(int), np.clip(last, 0, n).astype(int), strict=True)))
            for (i, rows), (j, columns) in itertools.product(enumerate(spans[0]), enumerate(spans[1])):
                part = x[int(roi[0]), :, slice(*rows), slice(*columns)]
                if part.size:
                    y[r, :, i, j] = part.max(axis=(1, 2))
        return (y,)


class LpPool(OpRun):
    """The evaluator's own shares the elements that `ceil_mode` adds between front and back, and scales."""

    def _run(
        self,
        x,
        auto_pad=None,
        ceil_mode=None,
        dilations=None,
        kernel_shape=None,
        p=None,
        pads=None,
        strides=None,
    ):
        window = Window(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
        total = np.zeros((*x.shape[:2], *window.out), x.dtype)
        for _, cells in window.positions():
            part = np.abs(x[(slice(None), slice(None), *window.clipped(cells))]) ** p
            total += np.where(window.inside(cells), part, 0)
        return (total ** (1 / p),)


class GlobalLpPool(OpRun):
    """The evaluator has none."""

    def _run(self, x, p=None):
        return ((np.abs(x) ** p).sum(axis=tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


class Resize(op_resize.Resize):
    """The evaluator's own makes cubic weights in float32: its coefficient is a float32 number."""

    def _run(self, x, *operands, cubic_coeff_a=None, **attributes):
        return super()._run(x, *operands, cubic_coeff_a=float(cubic_coeff_a), **attributes)


OPERATORS: list[type[OpRun]] = [AffineGrid, DeformConv, GlobalLpPool, GridSample, LpPool, MaxRoiPool, Resize]
