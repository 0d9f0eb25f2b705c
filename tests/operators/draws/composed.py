"""Operators that are written out by their function body as the model is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, ints, pick, random

NEW: dict[str, Any] = {"opset": 23, "deployed": False}
SMOOTH: dict[str, Any] = {"step": 1e-4, "tolerance": 1e-6}


@draws("Attention")
def attention(draw: DrawFn, op: str) -> Case:
    """Rank 4 or 3; grouped heads, masks, a causal one, a scale, a cap, keys and values of the past."""
    batch, heads, groups, width = pick(draw, 1, 2), pick(draw, 1, 2), pick(draw, 1, 2), pick(draw, 2, 3)
    queries, keys = pick(draw, 1, 3), pick(draw, 2, 4)
    rng = random(draw)
    q = rng.normal(size=(batch, heads * groups, queries, width))
    k, v = (rng.normal(size=(batch, heads, keys, width)) for _ in range(2))
    attributes: dict[str, Any] = pick(draw, {}, {"scale": 0.3}, {"softcap": 2.0}, {"is_causal": 1})
    mask, feeds = None, ()
    if not attributes.get("is_causal"):
        mask = pick(draw, None, rng.normal(size=(queries, keys)), rng.random((queries, keys)) < 0.8)
        if mask is not None and mask.dtype == bool:
            mask[:, 0], feeds = True, (3,)
    if pick(draw, False, True):
        q, k, v = (np.moveaxis(x, 1, 2).reshape(batch, x.shape[2], -1) for x in (q, k, v))
        attributes |= {"q_num_heads": heads * groups, "kv_num_heads": heads}
    data = (0, 1, 2) if mask is None or mask.dtype == bool else (0, 1, 2, 3)
    # onnxruntime's own reads no opset 23 mask without its tail of operands as it should.
    return Case(op, [q, k, v, mask], data=data, feeds=feeds, attributes=attributes, **NEW, rounding=1e-6, **SMOOTH)


@draws("RotaryEmbedding")
def rotary_embedding(draw: DrawFn, op: str) -> Case:
    batch, heads, length, width = pick(draw, 1, 2), pick(draw, 1, 3), pick(draw, 1, 4), pick(draw, 2, 4)
    angles = random(draw).normal(size=(6, width // 2))
    x = random(draw).normal(size=(batch, heads, length, width))
    where = np.random.default_rng(0).integers(0, 6, size=(batch, length))
    attributes = {"interleaved": pick(draw, 0, 1)}
    return Case(op, [x, np.cos(angles), np.sin(angles), where], attributes=attributes, **NEW)


@draws("SwiGLU")
def swiglu(draw: DrawFn, op: str) -> Case:
    shape = dims(draw)
    rng = random(draw)
    data = pick(draw, (0, 1), (0,), (1,))
    operands = [rng.normal(size=shape), rng.normal(size=shape)]
    return Case(op, operands, data=data, attributes=pick(draw, {}, {"alpha": 1.7}), opset=28, deployed=False, **SMOOTH)


@draws("LinearAttention")
def linear_attention(draw: DrawFn, op: str) -> Case:
    batch, heads, length, width = pick(draw, 1, 2), pick(draw, 1, 2), pick(draw, 1, 3), 2
    rng = random(draw)
    q, k, v = (rng.normal(size=(batch, length, heads * width)) for _ in range(3))
    rule = pick(draw, "linear", "delta", "gated")
    operands: list[np.ndarray | None] = [q, k, v]
    if rule == "gated":
        operands += [None, -rng.random((batch, length, heads * width))]
    elif rule == "delta":
        operands += [None, None, rng.random((batch, length, heads))]
    attributes = {"q_num_heads": heads, "kv_num_heads": heads, "update_rule": rule}
    # The evaluator computes it in single precision.
    rough = {"step": 1e-2, "tolerance": 2e-3, "rounding": 1e-5, "computes": np.float32}
    return Case(op, operands, data=(0, 1, 2), attributes=attributes, outputs=2, opset=27, deployed=False, **rough)


@draws("CausalConvWithState")
def causal_conv(draw: DrawFn, op: str) -> Case:
    batch, channels, length, kernel = pick(draw, 1, 2), pick(draw, 1, 3), pick(draw, 1, 4), pick(draw, 1, 3)
    rng = random(draw)
    shapes = [(batch, channels, length), (channels, 1, kernel), (channels,)]
    operands = [rng.normal(size=shape) for shape in shapes]
    data = pick(draw, (0,), (0, 1), (0, 1, 2))
    return Case(op, operands, data=data, static=(1,), outputs=2, opset=27, deployed=False, step=1e-3, tolerance=1e-6)


@draws("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def losses(draw: DrawFn, op: str) -> Case:
    samples, classes, rest = pick(draw, 1, 3), pick(draw, 2, 4), pick(draw, (), (3,), (2, 2))
    rng = random(draw)
    scores = rng.normal(size=(samples, classes, *rest))
    labels = ints(*rng.integers(0, classes, size=samples * int(np.prod(rest)))).reshape(samples, *rest)
    weights = pick(draw, None, rng.random(classes) + 0.1)
    attributes: dict[str, Any] = {"reduction": pick(draw, "none", "sum", "mean")} | pick(draw, {}, {"ignore_index": 0})
    if attributes.get("ignore_index") == 0:
        labels.flat[0] = 1
    return Case(op, [scores, labels, weights], feeds=pick(draw, (), (1,)), attributes=attributes, **SMOOTH)


@draws("CenterCropPad")
def center_crop_pad(draw: DrawFn, op: str) -> Case:
    shape = dims(draw, 2, 3, high=5)
    axes = pick(draw, None, [0], [1, 0])
    wanted = ints(*(pick(draw, 1, 3, 6) for _ in range(len(shape) if axes is None else len(axes))))
    attributes = {} if axes is None else {"axes": axes}
    x, feeds = random(draw).normal(size=shape), pick(draw, (), (1,))
    return Case(op, [x, wanted], feeds=feeds, static=(1,), attributes=attributes)
