"""Attention and LSTM on quantised weights against the same operators on floats."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.emit.cuda_kernels import missing
from tests.operators.case import onnxruntime
from tests.operators.test_quantised import FUSED, Net

Array = np.ndarray


def attention(floats: bool, mask: Array | None, columns: bool) -> onnx.ModelProto:
    rng, net = np.random.default_rng(1), Net([2, 5, 8])
    near = net.const(np.float32(0.02)), net.const(np.uint8(120))
    q = net.add("QuantizeLinear", "x", *near)
    w, b = rng.integers(-90, 90, (8, 24)).astype(np.int8), net.const(rng.normal(size=24).astype(np.float32) / 10)
    scale = rng.uniform(0.01, 0.02, 24 if columns else ()).astype(np.float32)
    mask_index, options = "" if mask is None else net.const(mask), {"domain": FUSED, "num_heads": 2}
    if floats:
        x, weight = net.add("DequantizeLinear", q, *near), net.const((w * scale).astype(np.float32))
        h = net.add("Attention", x, weight, b, mask_index, **options)
    else:
        given = net.const(w), b, near[0], net.const(scale), mask_index, near[1]
        h = net.add("QAttention", q, *given, net.const(np.zeros_like(scale, np.int8)), **options)
    h = net.add("MatMul", h, net.const(rng.normal(size=(8, 3)).astype(np.float32)))
    return net.model(net.add("ReduceSum", h, net.const(np.array([1])), keepdims=0))


@pytest.mark.parametrize("composite", ["epsilon_plus", "attn_lrp"])
@pytest.mark.parametrize(("mask", "columns"), [(None, False), (np.array([[1, 1, 1, 0, 0], [1] * 5], np.int32), True)])
def test_attention(mask, columns, composite):
    x = {"x": np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)}
    model = attention(False, mask, columns)
    explained = onnxlrp.convert(model, composite).to_proto()
    found = onnxruntime(explained)(x)
    wanted = onnxruntime(onnxlrp.convert(attention(True, mask, columns), composite).to_proto())(x)
    np.testing.assert_array_equal(found["y"], onnxruntime(model)(x)["y"])
    np.testing.assert_allclose(found["x_relevance"], wanted["x_relevance"], rtol=1e-3, atol=1e-4)
    assert missing(explained) == []


def embedding(floats: bool, segments: bool, mask: bool) -> onnx.ModelProto:
    """As quantize_dynamic writes a BERT that was fused before; the mask's sum is read as well."""
    rng, net = np.random.default_rng(3), Net([2, 4])
    numbers = [rng.integers(0, 255, size).astype(np.uint8) for size in ((9, 8), (6, 8), (2, 8), (8,), (8,))]
    scales = [np.float32(s) for s in (0.02, 0.01, 0.03, 0.01, 0.005)]
    zeros = [np.uint8(z) for z in (120, 100, 128, 0, 130)]
    kinds, kept = (
        net.const(np.array([[0, 1, 1, 0], [0, 0, 1, 1]], np.int32)),
        np.array([[1, 1, 1, 0], [1] * 4], np.int32),
    )
    ids = net.add("Cast", "x", to=onnx.TensorProto.INT32)
    rest, options = net.const(kept) if mask else "", {"domain": FUSED, "outputs": 2, "epsilon": 1e-3}
    there = [i for i in range(5) if segments or i != 2]

    def given(arrays: list) -> list[str]:
        return [net.const(a) if i in there else "" for i, a in enumerate(arrays)]

    if floats:
        real = [
            ((q.astype(np.float32) - z) * s).astype(np.float32) for q, s, z in zip(numbers, scales, zeros, strict=True)
        ]
        h, lengths = net.add("EmbedLayerNormalization", ids, kinds if segments else "", *given(real), rest, **options)
    else:
        tables = (*given(numbers), rest, *given(scales), *given(zeros))
        h, lengths = net.add("QEmbedLayerNormalization", ids, kinds if segments else "", *tables, **options)
    h = net.add("MatMul", h, net.const(rng.normal(size=(8, 3)).astype(np.float32)))
    y = net.add("ReduceSum", h, net.const(np.array([1])), keepdims=0)
    far = net.add("Unsqueeze", net.add("Cast", lengths, to=onnx.TensorProto.FLOAT), net.const(np.array([1])))
    model = net.model(net.add("Add", y, far))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    return model


@pytest.mark.parametrize(("segments", "mask"), [(True, True), (False, False)])
def test_embedding(segments, mask):
    x = {"x": np.array([[1, 8, 2, 2], [0, 3, 5, 7]])}
    model = embedding(False, segments, mask)
    explained = onnxlrp.convert(model, "epsilon", target="weights").to_proto()
    found, source = onnxruntime(explained)(x), onnxruntime(model)(x)
    wanted = onnxruntime(onnxlrp.convert(embedding(True, segments, mask), "epsilon", target="weights").to_proto())(x)
    np.testing.assert_array_equal(found["y"], source["y"])
    np.testing.assert_allclose(source["y"], wanted["y"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["x_relevance"], wanted["x_relevance"], rtol=1e-3, atol=1e-4)


def lstm(floats: bool, columns: bool, direction: str, last: bool) -> onnx.ModelProto:
    rng, net, sides = np.random.default_rng(1), Net([6, 2, 4]), 2 if direction == "bidirectional" else 1
    # Seven bits: without VNNI, onnxruntime's CPU adds pairs of products of uint8 and int8 in 16 bits, which saturate.
    w, r = (rng.integers(-64, 65, (sides, size, 20)).astype(np.int8) for size in (4, 5))
    scales = [rng.uniform(0.005, 0.01, (sides, 20) if columns else (sides,)).astype(np.float32) for _ in range(2)]
    b, options = net.const((rng.normal(size=(sides, 40)) * 0.3).astype(np.float32)), {"hidden_size": 5}
    options |= {"direction": direction, "outputs": 3}
    if floats:
        beside = [s[:, None] if columns else s[:, None, None] for s in scales]
        matrices = ((m * s).transpose(0, 2, 1).astype(np.float32) for m, s in zip((w, r), beside, strict=True))
        x = net.add("DequantizeLinear", *net.add("DynamicQuantizeLinear", "x", outputs=3))
        y, h, _ = net.add("LSTM", x, *map(net.const, matrices), b, **options)
    else:
        zero, (ws, rs) = net.const(np.zeros_like(scales[0], np.int8)), map(net.const, scales)
        given = net.const(w), net.const(r), b, "", "", "", "", ws, zero, rs, zero
        y, h, _ = net.add("DynamicQuantizeLSTM", "x", *given, domain=FUSED, **options)
    if last:
        h = net.add("Reshape", net.add("Transpose", h, perm=[1, 0, 2]), net.const(np.array([2, -1])))
    else:
        flat = net.add("Reshape", y, net.const(np.array([6, 2, -1])))
        h = net.add("ReduceSum", flat, net.const(np.array([0])), keepdims=0)
    return net.model(net.add("MatMul", h, net.const(rng.normal(size=(5 * sides, 3)).astype(np.float32))))


@pytest.mark.parametrize(
    ("direction", "columns", "last"),
    [("forward", False, False), ("reverse", False, True), ("bidirectional", True, True)],
)
def test_lstm(direction, columns, last):
    """The kernel rounds states to eight bits at every step, the floats do not: outputs are 1e-3 apart, and what ε
    divides by sums near 0 more (relevance correlates 0.989 to 0.9999)."""
    x = {"x": np.random.default_rng(0).normal(size=(6, 2, 4)).astype(np.float32), "target": np.array([1])}
    model = lstm(False, columns, direction, last)
    found = onnxruntime(onnxlrp.convert(model, "epsilon").to_proto())(x)
    wanted = onnxruntime(onnxlrp.convert(lstm(True, columns, direction, last), "epsilon").to_proto())(x)
    np.testing.assert_array_equal(found["y"], onnxruntime(model)({"x": x["x"]})["y"])
    np.testing.assert_allclose(found["y"], wanted["y"], atol=4e-3)
    assert np.corrcoef(found["x_relevance"].ravel(), wanted["x_relevance"].ravel())[0, 1] > 0.98


def test_a_cache_is_refused():
    model = attention(False, None, False)
    next(n for n in model.graph.node if n.op_type == "QAttention").output.append("present")
    with pytest.raises(onnxlrp.errors.UnsupportedOperatorError, match=r"QAttention.*cache"):
        onnxlrp.convert(model, "epsilon")
