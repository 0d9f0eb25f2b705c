"""Sampling between elements, and pools over regions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case, distinct
from tests.operators.draws.common import Array, draws, each, ints, normal, pick, random

SMOOTH = {"step": 1e-6, "tolerance": 1e-4}
"""By a position: smooth between elements."""


@draws("GridSample")
def grid_sample(draw: DrawFn, op: str) -> Case:
    spatial = pick(draw, 1, 2, 2, 3)
    mode = pick(draw, "linear", "linear", "cubic", "nearest")
    attributes = {
        "mode": mode,
        "padding_mode": pick(draw, "zeros", "border", "reflection"),
        "align_corners": pick(draw, 0, 1),
    }
    x = normal(draw, (2, pick(draw, 1, 3), *each(draw, spatial, 2, 4)))
    # Far outside as well.
    grid = random(draw).uniform(-2.5, 2.5, size=(2, *each(draw, spatial, 1, 3), spatial))
    data = (0,) if mode == "nearest" else pick(draw, (0,), (0, 1))
    deployed = spatial == 2 or (spatial == 3 and mode != "cubic")
    if mode == "cubic" and attributes["padding_mode"] == "border":
        # Past the border along one axis, onnxruntime takes the position to the border's middle along the other as well.
        deployed = False
    return Case(op, [x, grid], data, attributes=attributes, deployed=deployed, **(SMOOTH if 1 in data else {}))


@draws("DeformConv")
def deform_conv(draw: DrawFn, op: str) -> Case:
    spatial = pick(draw, 1, 2, 2, 2, 3)
    group, shared = pick(draw, 1, 2), pick(draw, 1, 2)
    channels = group * shared * pick(draw, 1, 2) if spatial < 3 else 2
    kernel, strides, dilations = each(draw, spatial, 1, 3), each(draw, spatial, 1, 2), each(draw, spatial, 1, 2)
    pads = each(draw, 2 * spatial, 0, 2)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [max(2, r) + m for r, m in zip(reach, each(draw, spatial, 0, 2), strict=True)]
    outs = [(n + pads[a] + pads[a + spatial] - reach[a]) // strides[a] + 1 for a, n in enumerate(sizes)]
    rng, taps = random(draw), math.prod(kernel)
    operands: list[Array | None] = [
        rng.normal(size=(2, channels, *sizes)),
        rng.normal(size=(group * 2, channels // group, *kernel)),
        rng.uniform(-1.5, 1.5, size=(2, shared * taps * spatial, *outs)),
        rng.normal(size=(group * 2,)) if pick(draw, False, True) else None,
        rng.uniform(0, 1, size=(2, shared * taps, *outs)) if pick(draw, False, True) else None,
    ]
    attributes: dict[str, Any] = {"group": group, "offset_group": shared, "strides": strides, "dilations": dilations}
    attributes.update(pads=pads, kernel_shape=kernel)
    there = [i for i, v in enumerate(operands) if v is not None]
    data = pick(draw, (0,), (0, 2), tuple(there))
    smooth = SMOOTH if data != (0,) else {}
    return Case(op, operands, data, attributes=attributes, static=(1,), deployed=spatial == 2, **smooth)


@draws("AffineGrid")
def affine_grid(draw: DrawFn, op: str) -> Case:
    spatial = pick(draw, 2, 3)
    size = ints(2, 3, *each(draw, spatial, 2, 4))
    attributes = {"align_corners": pick(draw, 0, 1)}
    theta = normal(draw, (2, spatial, spatial + 1))
    return Case(op, [theta, size], feeds=pick(draw, (), (1,)), static=pick(draw, (0,), (1,)), attributes=attributes)


def _regions(draw: DrawFn, count: int, sizes: list[int]) -> Array:
    """x1, y1, x2, y2 of regions, some of them partly outside."""
    rng = random(draw)
    corner = rng.uniform(-1, np.array(sizes[::-1]) - 1, size=(count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.3, 4, size=(count, 2))], axis=1)


@draws("RoiAlign")
def roi_align(draw: DrawFn, op: str) -> Case:
    sizes, count, batch = each(draw, 2, 3, 6), pick(draw, 1, 2, 4), pick(draw, 1, 2)
    mode = pick(draw, "avg", "avg", "max")
    attributes = {
        "mode": mode,
        "coordinate_transformation_mode": pick(draw, "half_pixel", "output_half_pixel"),
        "output_height": pick(draw, 1, 2, 3),
        "output_width": pick(draw, 1, 2, 3),
        "sampling_ratio": pick(draw, 0, 0, 1, 2),
        "spatial_scale": pick(draw, 1.0, 0.5),
    }
    x = distinct(random(draw), (batch, 2, *sizes)) / 10
    regions = _regions(draw, count, sizes) / attributes["spatial_scale"]
    owners = random(draw).integers(0, batch, size=count)
    data = pick(draw, (0,), (0, 1))
    smooth = SMOOTH if 1 in data or mode == "max" else {}
    return Case(op, [x, regions, owners], data, feeds=pick(draw, (), (2,)), attributes=attributes, **smooth)


@draws("MaxRoiPool")
def max_roi_pool(draw: DrawFn, op: str) -> Case:
    sizes, count, batch = each(draw, 2, 3, 6), pick(draw, 1, 2, 4), pick(draw, 1, 2)
    scale = pick(draw, 1.0, 0.5)
    attributes = {"pooled_shape": each(draw, 2, 1, 3), "spatial_scale": scale}
    x = distinct(random(draw), (batch, 2, *sizes))
    owners = random(draw).integers(0, batch, size=(count, 1)).astype(np.float64)
    regions = np.concatenate([owners, _regions(draw, count, sizes) / scale], axis=1)
    return Case(op, [x, regions], feeds=pick(draw, (), (1,)), attributes=attributes, step=1e-3)


@draws("Upsample")
def upsample(draw: DrawFn, op: str) -> Case:
    """As files of opset 9 hold it; they are lifted as they are read (the evaluator knows no linear one)."""
    sizes = [pick(draw, 2, 3, 4), pick(draw, 2, 3, 4)]
    scales = np.array([1.0, 1.0, *(pick(draw, 1.0, 2.0, 3.0) for _ in sizes)], np.float32)
    return Case(op, [normal(draw, (1, 2, *sizes)), scales], attributes={"mode": "nearest"}, opset=9)
