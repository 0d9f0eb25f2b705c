"""onnxruntime's own operators in float16: outputs are the source's, though kernels round in places of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.operators.case import onnxruntime
from tests.operators.fused import FLOAT, INT32, Array, Fused, floats, ints
from tests.operators.test_fused_weights import product

BATCH, STEPS, WIDTH, HEADS = 2, 7, 64, 4
ROWS = (BATCH, STEPS, WIDTH)
THREE, ALL = (dict.fromkeys(range(n), FLOAT) for n in (3, 4))
IDS = ints(np.arange(BATCH * STEPS).reshape(BATCH, STEPS) % 5)
Draw = Callable[..., Array]


def embedding(x: Draw) -> Fused:
    tables = [x(5, WIDTH), x(STEPS, WIDTH), None, x(WIDTH), x(WIDTH)]
    outputs = {0: FLOAT, 1: INT32, 2: FLOAT}
    return Fused("EmbedLayerNormalization", [IDS, None, *tables], outputs=outputs)


def grouped(x: Draw, *rest: Array | None, **attributes) -> Fused:
    """Queries of 4 heads, keys and values of 2, all in one operand."""
    operands = [x(BATCH, STEPS, 2 * WIDTH), *[None] * 4, ints([STEPS - 1] * BATCH), ints([STEPS]), *rest]
    attributes = {"num_heads": HEADS, "kv_num_heads": 2, **attributes}
    return Fused("GroupQueryAttention", operands, feeds=(5, 6), outputs=THREE, attributes=attributes)


def heads(x: Draw, *rest: Array | None, **fields) -> Fused:
    operands = [x(*ROWS), x(*ROWS), x(*ROWS), *rest]
    return Fused("MultiHeadAttention", operands, (0, 1, 2), attributes={"num_heads": HEADS}, outputs=ALL, **fields)


def standard(x: Draw, opset: int, **attributes) -> Fused:
    attributes = {"q_num_heads": HEADS, "kv_num_heads": HEADS, **attributes}
    return Fused("Attention", [x(*ROWS) for _ in range(3)], (0, 1, 2), attributes=attributes, domain="", opset=opset)


def unscaled(seed: int) -> Array:
    """Sines or cosines of 7 places."""
    return np.clip(floats(seed, STEPS, WIDTH // HEADS // 2), -1, 1)


PLACES = ints([range(STEPS)] * BATCH, np.int64)
KEYS = ints([[1] * STEPS, [1] * 4 + [0] * (STEPS - 4)])
CASES: dict[str, Callable[[Draw], Fused]] = {
    "attention": lambda x: Fused(
        "Attention", [x(*ROWS), x(WIDTH, 3 * WIDTH), x(3 * WIDTH)], attributes={"num_heads": HEADS}
    ),
    "attention, cache": lambda x: Fused(
        "Attention",
        [x(*ROWS), x(WIDTH, 3 * WIDTH), x(3 * WIDTH), None, x(2, BATCH, HEADS, 3, WIDTH // HEADS)],
        data=(0, 4),
        outputs={0: FLOAT, 1: FLOAT},
        attributes={"num_heads": HEADS, "unidirectional": 1},
    ),
    "heads": heads,
    "heads, bias": lambda x: heads(x, x(3 * WIDTH)),
    "heads, bias, keys": lambda x: heads(x, x(3 * WIDTH), KEYS, feeds=(4,)),
    "grouped heads": grouped,
    "grouped heads, rotary": lambda x: grouped(x, unscaled(8), unscaled(9), do_rotary=1),
    "grouped heads, capped": lambda x: grouped(x, softcap=3.0),
    "the standard's attention": lambda x: standard(x, 23),
    "the standard's attention, capped": lambda x: standard(x, 24, softcap=3.0, is_causal=1),
    "norm of a sum": lambda x: Fused(
        "SkipLayerNormalization",
        [x(*ROWS), x(*ROWS), x(WIDTH), x(WIDTH), x(WIDTH)],
        (0, 1),
        outputs={0: FLOAT, 3: FLOAT},
    ),
    "norm of a sum by the root": lambda x: Fused(
        "SkipSimplifiedLayerNormalization", [x(*ROWS), x(*ROWS), x(WIDTH)], (0, 1), outputs={0: FLOAT, 3: FLOAT}
    ),
    "norm by the root": lambda x: Fused("SimplifiedLayerNormalization", [x(*ROWS), x(WIDTH)], domain=""),
    "embedding": embedding,
    "product": lambda x: Fused("FusedMatMul", [x(*ROWS), x(WIDTH, WIDTH)], attributes={"alpha": 0.3}),
    "product of data": lambda x: Fused("FusedMatMul", [x(*ROWS), x(*ROWS)], (0, 1), attributes={"transB": 1}),
    "GELU": lambda x: Fused("BiasGelu", [x(*ROWS), x(WIDTH)]),
    "fast GELU": lambda x: Fused("FastGelu", [x(*ROWS), x(WIDTH)]),
    "quick GELU": lambda x: Fused("QuickGelu", [x(*ROWS)]),
    "scaled SiLU": lambda x: Fused("ScaledSiLU", [x(*ROWS)], attributes={"alpha": 1.7}),
    "gated sum": lambda x: Fused("GatedAdd", [x(*ROWS), x(*ROWS), x(BATCH, STEPS, 1)], (0, 1, 2)),
    "gated norm": lambda x: Fused("GatedRMSNorm", [x(*ROWS), x(16), x(*ROWS)], (0, 2)),
    "rotary": lambda x: Fused(
        "RotaryEmbedding", [x(BATCH, HEADS, STEPS, 16), PLACES, unscaled(8), unscaled(9)], feeds=(1,)
    ),
    "4 bits": lambda x: resized(product(4, k=WIDTH, n=WIDTH, bias=True)[0], x),
    "8 bits, zero points": lambda x: resized(product(8, k=WIDTH, n=WIDTH, zeros="packed")[0], x),
}


def resized(case: Fused, x: Draw) -> Fused:
    case.operands = [x(*ROWS), *case.operands[1:]]
    return case


def distances(name: str, size: float, precision: str, seed: int = 0) -> dict[str, float]:
    """The largest difference of every output from the source's, by that output's largest number."""
    rng = np.random.default_rng(seed)
    case = CASES[name](lambda *shape: (rng.normal(size=shape) * size).astype(np.float32))
    feeds = case.inputs(np.float16)
    theirs = onnxruntime(case.model(np.float16))(feeds)
    ours = onnxruntime(case.explain("epsilon", np.float16, precision=precision))(feeds)
    found = {}
    for output, value in theirs.items():
        exact = value.astype(np.float64)
        assert np.isfinite(exact).all(), "the source itself overflows"
        largest = max(np.abs(exact).max(), 1e-30)
        found[output] = float(np.abs(ours[output] - exact).max() / largest)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.1, 1, 5])
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_kernels(name, size):
    for precision in ("float32", "model"):
        assert max(distances(name, size, precision).values()) < 2e-3
