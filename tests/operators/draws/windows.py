"""Pools and resizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case, distinct
from tests.operators.draws.common import draws, each, ints, normal, pick, random


@draws("AveragePool", "MaxPool")
def pool(draw: DrawFn, op: str) -> Case:
    rank = pick(draw, 1, 2, 3)
    kernel, strides, dilations = each(draw, rank, 1, 3), each(draw, rank, 1, 3), each(draw, rank, 1, 2)
    auto = pick(draw, "NOTSET", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "auto_pad": auto}
    if auto.startswith("SAME"):
        dilations = [1] * rank
        attributes["strides"] = [min(s, k) for s, k in zip(strides, kernel, strict=True)]  # or pads were negative
    reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    attributes["dilations"] = dilations
    if auto == "NOTSET":
        # Every window holds an element of the input.
        attributes["pads"] = [pick(draw, *range(r // 2 + 1)) for r in reach * 2]
        # A kernel shorter than its stride rounds up to windows that do not exist, which onnx's inference counts.
        long = all(k >= s for k, s in zip(kernel, strides, strict=True))
        attributes["ceil_mode"] = pick(draw, 0, 1) if long or rank == 1 else 0
    if op == "AveragePool":
        attributes["count_include_pad"] = pick(draw, 0, 1)
    sizes = [r + 1 + n for r, n in zip(reach, each(draw, rank, 0, 4), strict=True)]
    x = distinct(random(draw), (2, 2, *sizes))
    return Case(op, [x], attributes=attributes, step=1.0 if op == "AveragePool" else 1e-3)


@draws("AveragePool")
def average_pool_plain(draw: DrawFn, op: str) -> Case:
    """Windows that tile the input: what most networks have."""
    rank = pick(draw, 1, 2, 3)
    kernel = each(draw, rank, 1, 3)
    sizes = [k * n for k, n in zip(kernel, each(draw, rank, 1, 3), strict=True)]
    return Case(op, [normal(draw, (2, 3, *sizes))], attributes={"kernel_shape": kernel, "strides": kernel})


@draws("GlobalAveragePool", "GlobalMaxPool")
def global_pool(draw: DrawFn, op: str) -> Case:
    x = distinct(random(draw), (2, 3, *each(draw, pick(draw, 1, 2, 3), 1, 4)))
    return Case(op, [x], step=1.0 if op == "GlobalAveragePool" else 1e-3)


COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")


@draws("Resize")
def resize(draw: DrawFn, op: str) -> Case:
    mode = pick(draw, "nearest", "linear", "linear", "cubic")
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": pick(draw, *COORDINATES)}
    rank = 2 if mode == "cubic" else pick(draw, 1, 2, 3) if mode == "nearest" else pick(draw, 2, 3)
    sizes = each(draw, rank, 2, 5)
    if mode == "nearest":
        kinds = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        attributes["nearest_mode"] = pick(draw, *kinds)
    if mode == "cubic":
        attributes["cubic_coeff_a"] = pick(draw, -0.75, -0.5)
        attributes["exclude_outside"] = pick(draw, 0, 1)
    # Of the image axes alone where `axes` says so.
    few = pick(draw, False, True)
    front: list[float] = [] if few else [1, 1]
    if few:
        attributes["axes"] = list(range(2, 2 + rank))
    x = normal(draw, (2, 1, *sizes))
    if pick(draw, False, True):
        factors = [pick(draw, 0.5, 1.0, 1.5, 2.0, 2.5, 1.3) for _ in range(rank)]
        # Where no size changes onnxruntime copies, whatever the factors.
        changes = any(int(n * f) != n for n, f in zip(sizes, factors, strict=True))
        scales = [*front, *(factors if changes else [2.0] * rank)]
        return Case(op, [x, None, np.array(scales, np.float32)], attributes=attributes)
    wanted = [*([] if few else x.shape[:2]), *each(draw, rank, 1, 8)]
    feeds = pick(draw, (), (3,))
    return Case(op, [x, None, None, ints(*wanted)], feeds=feeds, static=(3,), attributes=attributes)
