"""Pools and resizes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case, distinct
from tests.operators.draws.common import Array, dims, draws, each, ints, normal, pick, random


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


@draws("LpPool")
def norm_pool(draw: DrawFn, op: str) -> Case:
    """The windows of the other pools; no element near 0, where the norm has a kink."""
    case = pool(draw, op)
    case.attributes = {**case.attributes, "p": pick(draw, 1, 2, 3)}
    return dataclasses.replace(case, operands=[_apart(case.operands[0])], step=1e-4, tolerance=1e-5)


@draws("GlobalLpPool")
def global_norm_pool(draw: DrawFn, op: str) -> Case:
    x = normal(draw, (2, 3, *each(draw, pick(draw, 1, 2, 3), 1, 4)))
    return Case(op, [_apart(x)], attributes={"p": pick(draw, 1, 2, 3)}, step=1e-4, tolerance=1e-5)


def _apart(x: Array | None) -> Array:
    """As large as a normal distribution, and away from 0."""
    assert x is not None
    x = x / max(float(np.abs(x).std()), 1.0)
    return x + 0.3 * np.where(x < 0, -1, 1)


@draws("Col2Im")
def column_to_image(draw: DrawFn, op: str) -> Case:
    rank = pick(draw, 1, 2, 3)
    block, strides, dilations = each(draw, rank, 1, 3), each(draw, rank, 1, 3), each(draw, rank, 1, 2)
    pads = [pick(draw, *range(b)) for b in block * 2]
    both = [front + behind for front, behind in zip(pads[:rank], pads[rank:], strict=True)]
    width = [(b - 1) * d + 1 for b, d in zip(block, dilations, strict=True)]
    image = [max(1, w + n - p) for w, n, p in zip(width, each(draw, rank, 0, 4), both, strict=True)]
    steps = [(n + p - w) // s + 1 for n, p, w, s in zip(image, both, width, strides, strict=True)]
    attributes = {"strides": strides, "dilations": dilations, "pads": pads}
    x = normal(draw, (2, pick(draw, 1, 2) * math.prod(block), math.prod(steps)))
    feeds = pick(draw, (), (1,), (1, 2))
    # onnxruntime dilates blocks of one or three axes wrongly.
    deployed = rank == 2 or set(dilations) == {1}
    operands = [x, ints(*image), ints(*block)]
    return Case(op, operands, feeds=feeds, static=(1, 2), attributes=attributes, deployed=deployed)


@draws("MaxUnpool")
def unpool(draw: DrawFn, op: str) -> Case:
    """Places of its own for every element, or one for several; the output's shape as the pool implies it, or larger."""
    rank = pick(draw, 1, 2, 3)
    kernel = each(draw, rank, 1, 3)
    strides = [pick(draw, *range(1, k + 1)) for k in kernel]
    pads = [pick(draw, *range((k + 1) // 2)) for k in kernel * 2]
    sizes = each(draw, rank, 2, 3)
    both = [front + behind for front, behind in zip(pads[:rank], pads[rank:], strict=True)]
    whole = [(n - 1) * s - p + k for n, s, p, k in zip(sizes, strides, both, kernel, strict=True)]
    x = normal(draw, (2, 2, *sizes))
    places = 4 * math.prod(whole)
    rng = random(draw)
    alone = places >= x.size and pick(draw, True, True, False)
    index = rng.choice(places, x.size, replace=not alone).reshape(x.shape).astype(np.int64)
    if not alone:
        # Elements that meet are equal, as those of a pool are.
        x = rng.normal(size=places)[index]
    more = pick(draw, None, 0, 0 if rank == 1 else 1)
    shape = None if more is None else ints(2, 2, *(n + more for n in whole))
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    # onnxruntime counts in a larger shape otherwise than onnx: places that are no places of its own.
    return Case(op, [x, index, shape], feeds=pick(draw, (), (1,)), attributes=attributes, deployed=not more)


@draws("CenterCropPad")
def center_crop_pad(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 1, 4, 1, 5)
    axes = None
    attributes: dict[str, Any] = {}
    if pick(draw, False, True):
        axes = pick(draw, *range(len(shape)), *range(-len(shape), 0))
        attributes["axes"] = [axes]
    wanted = ints(*each(draw, len(shape) if axes is None else 1, 1, 6))
    kind = pick(draw, np.int32, np.int64)
    operands = [normal(draw, shape), wanted.astype(kind)]
    feeds = pick(draw, (), (1,))
    # onnxruntime runs the function body of onnx, which mixes the two kinds of integers.
    return Case(op, operands, feeds=feeds, static=(1,), attributes=attributes, deployed=kind is np.int64)


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


@draws("Resize")
def resize_less(draw: DrawFn, op: str) -> Case:
    """An antialias, where there is less to see."""
    attributes = {"mode": pick(draw, "linear", "cubic"), "antialias": 1}
    x = normal(draw, (2, 1, *each(draw, 2, 4, 7)))
    return Case(op, [x, None, None, ints(2, 1, *each(draw, 2, 2, 3))], attributes=attributes)


@draws("Resize")
def resize_region(draw: DrawFn, op: str) -> Case:
    """A region, some of it outside; its edges are data too."""
    mode = pick(draw, "nearest", "linear", "linear", "cubic")
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize"}
    attributes["extrapolation_value"] = pick(draw, 0.0, 2.0)
    if mode == "cubic":
        attributes.update(cubic_coeff_a=pick(draw, -0.75, -0.5), exclude_outside=pick(draw, 0, 1))
    x = normal(draw, (1, 2, *each(draw, 2, 2, 5)))
    region = random(draw).uniform(-0.2, 1.2, size=4)
    wanted = each(draw, 2, 1, 6)
    few = pick(draw, False, True)
    if few:
        attributes["axes"] = pick(draw, [2, 3], [3, 2])
    front: list[int] = [] if few else [1, 2]
    starts, ends = ([], []) if few else ([0.0, 0.0], [1.0, 1.0])
    roi = np.array([*starts, *region[:2], *ends, *region[2:]])
    data = pick(draw, (0,), (0, 1)) if mode != "nearest" and few else (0,)
    operands = [x, roi, None, ints(*front, *wanted)]
    smooth = {"step": 1e-6, "tolerance": 1e-4} if 1 in data else {}
    # Along an axis whose length stays, onnxruntime does not look at the region.
    after = wanted[::-1] if attributes.get("axes") == [3, 2] else wanted
    deployed = all(n != m for n, m in zip(x.shape[2:], after, strict=True))
    return Case(op, operands, data, attributes=attributes, static=(1,), deployed=deployed, **smooth)


@draws("Resize")
def resize_in_proportion(draw: DrawFn, op: str) -> Case:
    """Sizes that keep the aspect ratio."""
    mode = pick(draw, "nearest", "linear", "cubic")
    attributes: dict[str, Any] = {"mode": mode, "axes": pick(draw, [2, 3], [3, 2])}
    attributes["keep_aspect_ratio_policy"] = pick(draw, "not_larger", "not_smaller")
    attributes["coordinate_transformation_mode"] = pick(draw, *(c for c in COORDINATES if c != "align_corners"))
    if mode == "cubic":
        attributes.update(cubic_coeff_a=pick(draw, -0.75, -0.5), exclude_outside=pick(draw, 0, 1))
    x = normal(draw, (2, 1, *each(draw, 2, 2, 5)))
    return Case(
        op, [x, None, None, ints(*each(draw, 2, 2, 8))], feeds=pick(draw, (), (3,)), static=(3,), attributes=attributes
    )
