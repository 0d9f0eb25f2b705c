"""Convolutions, products by a matrix, batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, each, normal, pick

SAME = ("SAME_UPPER", "SAME_LOWER")


@draws("Conv")
def conv(draw: DrawFn, op: str) -> Case:
    rank, group = pick(draw, 1, 2, 3), pick(draw, 1, 2)
    channels = group * pick(draw, 1, 2)
    kernel, strides, dilations = each(draw, rank, 1, 3), each(draw, rank, 1, 3), each(draw, rank, 1, 2)
    auto = pick(draw, "NOTSET", "NOTSET", "VALID", *SAME)
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": group, "auto_pad": auto}
    if auto == "NOTSET":
        attributes["pads"] = each(draw, 2 * rank, 0, 3)
    if auto in SAME:
        attributes["dilations"] = [1] * rank  # onnxruntime refuses the two together
    if pick(draw, False, True):
        attributes["kernel_shape"] = kernel
    least = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [n + m for n, m in zip(least, each(draw, rank, 0, 4), strict=True)]
    out = group * pick(draw, 1, 2)
    weight, bias = normal(draw, (out, channels // group, *kernel)), normal(draw, (out,)) if pick(draw, 0, 1) else None
    data = pick(draw, (0,), (0,), (0, 1), (1,), (0, 1, 2) if bias is not None else (0,))
    return Case(op, [normal(draw, (2, channels, *sizes)), weight, bias], data=data, static=(1,), attributes=attributes)


@draws("Conv")
def conv_of_a_picture(draw: DrawFn, op: str) -> Case:
    """Few channels and even sizes: back by the sub-pixel form."""
    channels, kernel = pick(draw, 1, 3), [pick(draw, 3, 4, 5), pick(draw, 3, 5)]
    sizes = [pick(draw, 6, 8), pick(draw, 6, 10)]
    attributes = {"pads": each(draw, 4, 0, 2), "strides": [1, 1]}
    return Case(op, [normal(draw, (2, channels, *sizes)), normal(draw, (5, channels, *kernel))], attributes=attributes)


@draws("Conv")
def conv_of_each_channel(draw: DrawFn, op: str) -> Case:
    """At stride 2: back by a convolution of what lies apart, where its pads allow that."""
    kernel = [pick(draw, 1, 2, 3), pick(draw, 3, 5)]
    sizes = [pick(draw, 5, 6), pick(draw, 9, 10)]
    attributes = {
        "pads": each(draw, 4, 0, 2),
        "strides": [2, 2],
        "dilations": [pick(draw, 1, 2), 1],
        "group": 3,
    }
    return Case(op, [normal(draw, (2, 3, *sizes)), normal(draw, (3, 1, *kernel))], attributes=attributes)


@draws("ConvTranspose")
def conv_transpose(draw: DrawFn, op: str) -> Case:
    rank, group = pick(draw, 1, 2, 3), pick(draw, 1, 2)
    channels = group * pick(draw, 1, 2)
    kernel, strides, dilations = each(draw, rank, 1, 3), each(draw, rank, 1, 3), each(draw, rank, 1, 2)
    sizes = each(draw, rank, 2, 4)
    how = pick(draw, "pads", "pads", "VALID", "output_shape", *SAME)
    attributes: dict[str, Any] = {"strides": strides, "dilations": dilations, "group": group}
    width = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [(n - 1) * s + w for n, s, w in zip(sizes, strides, width, strict=True)]
    if how in ("pads", "VALID"):
        attributes["output_padding"] = [pick(draw, *range(s)) for s in strides]
    if how == "pads":
        # Something of every axis must be left.
        begins = [pick(draw, *range(min(3, (f + 1) // 2))) for f in full]
        attributes["pads"] = begins + [pick(draw, *range(min(3, (f + 1) // 2))) for f in full]
    elif how == "output_shape":
        cuts = each(draw, rank, 0, 3)
        attributes["output_shape"] = [max(n, f - cut) for n, f, cut in zip(sizes, full, cuts, strict=True)]
    else:
        attributes["auto_pad"] = how
    if how in SAME:
        # A SAME output is stride × input: possible where the windows reach that far.
        attributes["strides"] = [min(s, w) for s, w in zip(strides, width, strict=True)]
    out = pick(draw, 1, 2)
    weight, bias = normal(draw, (channels, out, *kernel)), normal(draw, (group * out,)) if pick(draw, 0, 1) else None
    data = pick(draw, (0,), (0,), (0, 1), (1,), (0, 1, 2) if bias is not None else (0,))
    return Case(op, [normal(draw, (2, channels, *sizes)), weight, bias], data=data, static=(1,), attributes=attributes)


@draws("MatMul")
def matmul(draw: DrawFn, op: str) -> Case:
    """Any rank, a constant on either side or none, leading axes that broadcast."""
    lead = dims(draw, 0, 2, 1, 3)
    n, k, m = each(draw, 3, 1, 4)
    a, b = (*lead, n, k), (*lead, k, m)
    for cut in range(pick(draw, 0, 1, 2)):
        if pick(draw, 0, 1):
            a = a[1:] if len(a) > 2 else a
        elif len(b) > 2 + cut:
            b = (1, *b[1:])
        else:
            b = b[-2:]
    if pick(draw, False, False, True):
        a = a[-1:]
    elif pick(draw, False, False, True):
        b = (k,)
    data = pick(draw, (0,), (1,), (0, 1))
    return Case(op, [normal(draw, a), normal(draw, b) * 2 + 0.3], data=data)


@draws("Gemm")
def gemm(draw: DrawFn, op: str) -> Case:
    n, k, m = each(draw, 3, 1, 4)
    turned = {"transA": pick(draw, 0, 1), "transB": pick(draw, 0, 1)}
    factors = pick(draw, {}, {"alpha": 0.5}, {"beta": 2.0}, {"alpha": -1.5, "beta": 0.25})
    a, b = (k, n) if turned["transA"] else (n, k), (m, k) if turned["transB"] else (k, m)
    bias = pick(draw, None, (), (1,), (m,), (1, m), (n, 1), (n, m))
    data = pick(draw, (0,), (1,), (0, 1))
    operands = [normal(draw, a), normal(draw, b) + 0.3, None if bias is None else normal(draw, bias)]
    return Case(op, operands, data=data, attributes={**turned, **factors})


@draws("BatchNormalization")
def batch_norm(draw: DrawFn, op: str) -> Case:
    shape = (2, pick(draw, 1, 3), *dims(draw, 0, 3))
    c = shape[1]
    parameters = [normal(draw, (c,)) for _ in range(3)]
    return Case(op, [normal(draw, shape), *parameters, np.full(c, 0.7)], attributes={"epsilon": pick(draw, 1e-5, 1e-2)})
