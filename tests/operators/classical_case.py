"""A model of ai.onnx.ml explained, with what must hold of every one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

import onnxlrp
from tests.emit.cuda_kernels import report
from tests.operators.case import onnxruntime, reference

Array = np.ndarray


def normal(seed: int, *shape: int) -> Array:
    """Numbers that go with a seed."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explain(
    source: onnx.ModelProto,
    x: Array | Mapping[str, Array],
    weights: Array | None = None,
    composite: str = "auto",
    runner: Any = onnxruntime,
    atol: float = 1e-6,
    **options: Any,
) -> dict[str, Array]:
    """All outputs of the explained model. The source's own are what they were, the ledger closes, and every node of
    the relevance part has a CUDA kernel; `atol`: how far outputs may move."""
    options = {"ledger": composite != "gradient", "target": "class" if weights is None else "weights", **options}
    converted = onnxlrp.convert(source, composite, **options)
    explained = converted.to_proto()
    if {o.domain: o.version for o in source.opset_import}["ai.onnx.ml"] > 1:
        # Of older ones onnx infers no types.
        report(explained)
    feeds = dict(x) if isinstance(x, Mapping) else {"x": x}
    given = dict(feeds)
    if weights is not None:
        double = runner is reference and next(iter(feeds.values())).dtype == np.float64
        given[str(converted.interface.weights_input)] = weights.astype(np.float64 if double else np.float32)
    found = runner(explained)(given)
    _same(runner(source)(feeds), found, atol)
    if "relevance_ledger" in found:
        _closes(found, [found[name] for name in converted.interface.relevance.values()])
    return found


def _same(before: Mapping[str, Array], after: Mapping[str, Array], atol: float) -> None:
    for name, value in before.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=atol)
        else:
            np.testing.assert_array_equal(after[name], value)


def _closes(found: Mapping[str, Array], relevance: list[Array]) -> None:
    ledger = found["relevance_ledger"].astype(np.float64)
    total = sum(r.sum(dtype=np.float64) for r in relevance)
    size = max(1.0, np.abs(ledger).max())
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), atol=1e-5 * size)
    assert abs(ledger[0, 0] - total - ledger[:, 2:].sum()) < 1e-5 * size
