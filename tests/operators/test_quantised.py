"""Quantised models: the value is the deployed one, relevance is that of the dequantised values it really used."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.emit.cuda_kernels import missing
from tests.operators.case import onnxruntime
from tests.oracle import rules

Array = np.ndarray
FUSED = "com.microsoft"
S0, S1, S2 = (np.float32(s) for s in (0.03, 0.05, 0.07))
"""Scales of the input, the hidden and the last values."""


class Net:
    """Nodes as they are added, and constants by name."""

    def __init__(self, shape: list[Any]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}
        self.shape, self.count = shape, 0

    def const(self, value: Array, kind: int | None = None) -> str:
        name = f"c{len(self.tensors)}"
        if kind is None:
            self.tensors[name] = numpy_helper.from_array(np.asarray(value), name)
        else:
            self.tensors[name] = helper.make_tensor(name, kind, value.shape, value.reshape(-1).tolist())
        return name

    def add(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        names = [f"v{self.count + i}" for i in range(outputs)]
        self.count += outputs
        self.nodes.append(helper.make_node(op, inputs, names, f"{op}_{self.count}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def model(self, last: str, opset: int = 21) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Flatten", [last], ["y"], "last"))
        given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "net", given, made, list(self.tensors.values()))
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(FUSED, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


RNG = np.random.default_rng(3)
W1, W2 = RNG.integers(-90, 90, (6, 5)), RNG.integers(-90, 90, (5, 4))
B1, B2 = RNG.integers(-900, 900, 5), RNG.integers(-900, 900, 4)
X = RNG.normal(size=(3, 6)).astype(np.float32)
PER_CHANNEL = (np.linspace(0.01, 0.02, 5, dtype=np.float32), np.linspace(0.02, 0.01, 4, dtype=np.float32))
PER_TENSOR = (np.float32(0.015), np.float32(0.012))


def rounded(v: Array, scale: float, zero: int, kind: type) -> Array:
    """Quantised and dequantised."""
    ends = np.iinfo(kind)
    return (np.clip(np.rint(v / np.float32(scale)) + zero, ends.min, ends.max) - zero) * np.float64(scale)


def tied(v: Array, scale: float) -> Array:
    """The samples with a number near the middle between two steps, which runtimes round either way: onnxruntime 1.32
    keeps fewer digits of products of int16 than 1.31 does."""
    part = np.abs(v / scale) % 1
    return (np.abs(part - 0.5) < 1e-2).any(-1)


def expected(rule: str, scales: tuple, kind: type = np.uint8, bias: bool = True) -> tuple[Array, Array, Array]:
    """Two dense layers with the rounding steps kept, the relevance of the input by the oracle's rule, and which samples
    are clear of ties."""
    low = 128 if kind == np.uint8 else 0
    zero = np.iinfo(kind).min
    a0 = rounded(X, S0, low, kind)
    layers = [
        (w * np.float64(s), b * np.float64(r) * s) for w, b, s, r in ((W1, B1, scales[0], S0), (W2, B2, scales[1], S1))
    ]
    layers = [(w, b if bias else 0 * b) for w, b in layers]
    z1 = a0 @ layers[0][0] + layers[0][1]
    a1 = rounded(z1.astype(np.float32), S1, zero, kind)
    z2 = a1 @ layers[1][0] + layers[1][1]
    y = rounded(z2.astype(np.float32), S2, low, kind)
    back = []
    for x, hidden, out in zip(a0, a1, y, strict=True):
        r = np.where(np.arange(4) == out.argmax(), out, 0.0)
        for (w, b), a in ((layers[1], hidden), (layers[0], x)):
            r = rules.FORMULAS[rule](rules.Layer(w.T, b), a, r)
        back.append(r)
    return y, np.array(back), ~tied(z1, S1) & ~tied(z2, S2)


def qdq(kind: type, scales: tuple, conv: bool, domain: str = "") -> onnx.ModelProto:
    net = Net(["N", 6, 1, 1] if conv else ["N", 6])
    low, zero = (net.const(kind(z)) for z in (128 if kind == np.uint8 else 0, np.iinfo(kind).min))

    def pair(v: str, scale: Array, point: str) -> str:
        at = net.const(scale)
        return net.add(
            "DequantizeLinear", net.add("QuantizeLinear", v, at, point, domain=domain), at, point, domain=domain
        )

    def dequantised(v: Array, scale: Array, axis: int) -> str:
        return net.add("DequantizeLinear", net.const(v), net.const(np.asarray(scale, np.float32)), axis=axis)

    h = pair("x", S0, low)
    for w, b, scale, incoming, outgoing, point in ((W1, B1, scales[0], S0, S1, zero), (W2, B2, scales[1], S1, S2, low)):
        matrix = w.astype(np.int8).T.reshape(*w.T.shape, 1, 1) if conv else w.astype(np.int8)
        operands = h, dequantised(matrix, scale, 0 if conv else 1), dequantised(b.astype(np.int32), scale * incoming, 0)
        h = pair(net.add("Conv" if conv else "Gemm", *operands), outgoing, point)
    return net.model(h)


def in_integers(op: str, scales: tuple) -> onnx.ModelProto:
    """QLinearConv, QGemm or QLinearMatMul (which has no bias)."""
    conv = op == "QLinearConv"
    net = Net(["N", 6, 1, 1] if conv else ["N", 6])
    s0, s1, s2 = (net.const(s) for s in (S0, S1, S2))
    low, zero = net.const(np.uint8(128)), net.const(np.uint8(0))
    h = net.add("QuantizeLinear", "x", s0, low)
    for w, b, scale, near, far in (
        (W1, B1, scales[0], (s0, low), (s1, zero)),
        (W2, B2, scales[1], (s1, zero), (s2, low)),
    ):
        weight = w.astype(np.int8).T.reshape(*w.T.shape, 1, 1) if conv else w.astype(np.int8)
        own = net.const(weight), net.const(scale), net.const(np.zeros_like(scale, np.int8))
        bias = net.const(b.astype(np.int32))
        if op == "QGemm":
            h = net.add(op, h, *near, *own, bias, *far, domain=FUSED)
        else:
            h = net.add(op, h, *near, *own, *far, *([bias] if conv else []))
    return net.model(net.add("DequantizeLinear", h, s2, low))


CASES = {
    **{
        f"QDQ, {kind.__name__}": (qdq(kind, PER_TENSOR, False), PER_TENSOR, kind)
        for kind in (np.uint8, np.int8, np.int16)
    },
    "QDQ, per channel": (qdq(np.uint8, PER_CHANNEL, False), PER_CHANNEL, np.uint8),
    "QDQ, convolutions": (qdq(np.int8, PER_CHANNEL, True), PER_CHANNEL, np.int8),
    "QDQ of onnxruntime's own": (qdq(np.uint8, PER_TENSOR, False, FUSED), PER_TENSOR, np.uint8),
    "QLinearConv": (in_integers("QLinearConv", PER_CHANNEL), PER_CHANNEL, np.uint8),
    "QLinearMatMul": (in_integers("QLinearMatMul", PER_TENSOR), PER_TENSOR, np.uint8),
    "QGemm": (in_integers("QGemm", PER_CHANNEL), PER_CHANNEL, np.uint8),
}


def feed(model: onnx.ModelProto) -> dict[str, Array]:
    rank = len(model.graph.input[0].type.tensor_type.shape.dim)
    return {"x": X.reshape(*X.shape, *[1] * (rank - 2))}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("composite", "rule"), [("epsilon", "Epsilon"), ("excitation_backprop", "ZPlus")])
def test_rules_act_on_the_dequantised_values(name, composite, rule):
    model, scales, kind = CASES[name]
    found = onnxruntime(onnxlrp.convert(model, composite).to_proto())(feed(model))
    y, relevance, clear = expected(rule, scales, kind, bias=name != "QLinearMatMul")
    assert clear.sum() > len(X) / 2
    np.testing.assert_allclose(found["y"].reshape(y.shape)[clear], y[clear], atol=1e-6)
    ours, scale = found["x_relevance"].reshape(X.shape), np.abs(relevance).max()
    np.testing.assert_allclose(ours[clear], relevance[clear], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("name", CASES)
def test_outputs_keep_their_bits_and_the_ledger_closes(name):
    model = CASES[name][0]
    source = onnxruntime(model)(feed(model))
    found = onnxruntime(onnxlrp.convert(model, "epsilon", ledger=True).to_proto())(feed(model))
    np.testing.assert_array_equal(found["y"], source["y"])
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-5 * np.abs(found["x_relevance"]).sum())


def deployed_operators(model: onnx.ModelProto, folder) -> list[str]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    return sorted(n.op_type for n in nodes if n.op_type.startswith(("QLinear", "QGemm")))


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_the_runtime_fuses_what_it_fused(kind, tmp_path):
    """Signed bytes too, which onnxruntime makes unsigned only where nobody else reads them."""
    model = qdq(kind, PER_CHANNEL, True)
    before = deployed_operators(model, tmp_path)
    assert before == ["QLinearConv", "QLinearConv"]
    assert deployed_operators(onnxlrp.convert(model, "epsilon").to_proto(), tmp_path) == before


def test_a_sum_that_is_read_stays_fused(tmp_path):
    """Its copy in floats has the same operands: sessions must not take the two for one."""
    net = Net(["N", 6, 2, 2])
    scale, zero = net.const(S0), net.const(np.uint8(128))

    def pair(v: str) -> str:
        return net.add("DequantizeLinear", net.add("QuantizeLinear", v, scale, zero), scale, zero)

    total = pair(net.add("Add", pair(net.add("Sin", "x")), pair("x")))
    model = net.model(pair(net.add("GlobalAveragePool", total)))
    before = deployed_operators(model, tmp_path)
    assert before == ["QLinearAdd", "QLinearGlobalAveragePool"]
    assert deployed_operators(onnxlrp.convert(model, "epsilon").to_proto(), tmp_path) == before


@pytest.mark.parametrize("name", CASES)
def test_no_kernel_that_cuda_lacks(name):
    assert missing(onnxlrp.convert(CASES[name][0], "epsilon").to_proto()) == []


@pytest.mark.parametrize("block", [0, 2])
def test_four_bits_and_blocks(block):
    """Relevance is shared out as by the layer on the dequantised weight. Its amount is the score that the runtime
    gives, which may round the layer's input."""
    net = Net(["N", 6])
    numbers = RNG.integers(-8, 8, (6, 4))
    scale = RNG.uniform(0.1, 0.3, (3, 4) if block else (4,)).astype(np.float32)
    attributes = {"axis": 0, "block_size": block} if block else {"axis": 1}
    w = net.add("DequantizeLinear", net.const(numbers, TensorProto.INT4), net.const(scale), **attributes)
    model = net.model(net.add("MatMul", "x", w))
    found = onnxruntime(onnxlrp.convert(model, "epsilon").to_proto())({"x": X})
    matrix = numbers * (np.repeat(scale, 2, 0) if block else scale)
    score = next(iter(found.values()))
    np.testing.assert_array_equal(score, onnxruntime(model)({"x": X})[model.graph.output[0].name])
    np.testing.assert_allclose(score, X @ matrix, atol=0.02 * np.abs(X @ matrix).max())
    r = np.where(np.arange(4) == score.argmax(1)[:, None], score, 0)
    wanted = [rules.epsilon_rule(rules.Layer(matrix.T, np.zeros(4)), x, row) for x, row in zip(X, r, strict=True)]
    np.testing.assert_allclose(found["x_relevance"], wanted, rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------------------------- dynamic quantisation


def dynamic(op: str) -> onnx.ModelProto:
    """Integers as quantize_dynamic and onnxruntime's optimiser write them."""
    net = Net(["N", 6])
    w, scale, zero = net.const(W1.astype(np.int8)), net.const(PER_CHANNEL[0]), net.const(np.zeros(5, np.int8))
    bias = net.const((B1 * 1e-3).astype(np.float32))
    if op == "DynamicQuantizeMatMul":
        return net.model(net.add(op, "x", w, scale, zero, bias, domain=FUSED))
    q, s, z = net.add("DynamicQuantizeLinear", "x", outputs=3)
    if op == "MatMulIntegerToFloat":
        return net.model(net.add(op, q, w, s, scale, z, zero, bias, domain=FUSED))
    product = net.add("Cast", net.add("MatMulInteger", q, w, z, zero), to=TensorProto.FLOAT)
    if op == "one by one":
        return net.model(net.add("Add", bias, net.add("Mul", scale, net.add("Mul", s, product))))
    return net.model(net.add("Add", net.add("Mul", product, net.add("Mul", s, scale)), bias))


@pytest.mark.parametrize("op", ["MatMulInteger", "one by one", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"])
def test_dynamic_quantisation(op):
    model = dynamic(op)
    found = onnxruntime(onnxlrp.convert(model, "epsilon").to_proto())({"x": X})
    np.testing.assert_array_equal(found["y"], onnxruntime(model)({"x": X})["y"])
    scale = np.float32((max(X.max(), 0) - min(X.min(), 0)) / 255)
    x = rounded(X, scale, int(np.rint(-X.min() / scale)), np.uint8)
    layer = rules.Layer((W1 * PER_CHANNEL[0].astype(np.float64)).T, (B1 * 1e-3))
    z = x @ layer.A.T + layer.b
    r = np.where(np.arange(5) == z.argmax(1)[:, None], z, 0)
    wanted = [rules.epsilon_rule(layer, a, row) for a, row in zip(x, r, strict=True)]
    np.testing.assert_allclose(found["x_relevance"], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger"])
def test_integers_of_a_known_scale(op):
    """As QuantizeLinear makes them; scales of the output features stand behind the product."""
    models = []
    for floats in (False, True):
        net = Net(["N", 6, 1, 1] if op == "ConvInteger" else ["N", 6])
        s, z = net.const(S0), net.const(np.uint8(128))
        q = net.add("QuantizeLinear", "x", s, z)
        w = (W1.T.reshape(5, 6, 1, 1) if op == "ConvInteger" else W1) + 128
        scale = PER_CHANNEL[0].reshape(5, 1, 1) if op == "ConvInteger" else PER_CHANNEL[0]
        if floats:
            weight = (w - 128) * (scale[..., None] if op == "ConvInteger" else scale)
            h = net.add(
                op.removesuffix("Integer"), net.add("DequantizeLinear", q, s, z), net.const(weight.astype(np.float32))
            )
        else:
            product = net.add(op, q, net.const(w.astype(np.uint8)), z, net.const(np.uint8(128)))
            product = net.add("Cast", product, to=TensorProto.FLOAT)
            h = net.add("Mul", product, net.add("Mul", net.const(scale), s))
        models.append(net.model(h))
    x = feed(models[0])
    found, wanted = (onnxruntime(onnxlrp.convert(m, "excitation_backprop").to_proto())(x) for m in models)
    np.testing.assert_array_equal(found["y"], onnxruntime(models[0])(x)["y"])
    np.testing.assert_allclose(found["x_relevance"], wanted["x_relevance"], rtol=1e-4, atol=1e-5)


def test_a_product_of_two_that_are_quantised():
    models = []
    for floats in (False, True):
        net = Net(["N", 3, 6])
        a = net.add("DynamicQuantizeLinear", "x", outputs=3)
        b = net.add("DynamicQuantizeLinear", net.add("Transpose", net.add("Sin", "x"), perm=[0, 2, 1]), outputs=3)
        if floats:
            h = net.add("MatMul", net.add("DequantizeLinear", *a), net.add("DequantizeLinear", *b))
        else:
            product = net.add("Cast", net.add("MatMulInteger", a[0], b[0], a[2], b[2]), to=TensorProto.FLOAT)
            h = net.add("Mul", product, net.add("Mul", a[1], b[1]))
        models.append(net.model(h))
    x = {"x": np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)}
    options = {"target": "weights"}
    found, wanted = (onnxruntime(onnxlrp.convert(m, "attn_lrp", **options).to_proto())(x) for m in models)
    np.testing.assert_array_equal(found["y"], onnxruntime(models[0])(x)["y"])
    np.testing.assert_allclose(found["x_relevance"], wanted["x_relevance"], rtol=1e-3, atol=1e-4)


def test_integers_whose_zero_point_is_not_taken_off_are_refused():
    """Relevance must not go round by the scale."""
    net = Net(["N", 6])
    q, s, _ = net.add("DynamicQuantizeLinear", "x", outputs=3)
    product = net.add("Cast", net.add("MatMulInteger", q, net.const(W1.astype(np.int8))), to=TensorProto.FLOAT)
    model = net.model(net.add("Mul", product, net.add("Mul", s, net.const(np.float32(0.01)))))
    with pytest.raises(UnsupportedOperatorError, match=r"not recognised"):
        onnxlrp.convert(model, "epsilon")


def test_integers_that_become_floats_in_another_way_are_refused():
    net = Net(["N", 6])
    q, _, z = net.add("DynamicQuantizeLinear", "x", outputs=3)
    product = net.add("MatMulInteger", q, net.const(W1.astype(np.int8)), z)
    model = net.model(net.add("Cast", product, to=TensorProto.FLOAT))
    with pytest.raises(UnsupportedOperatorError, match=r"MatMulInteger.*not recognised"):
        onnxlrp.convert(model, "epsilon")


def test_floats_between_roundings_stay_fused(tmp_path):
    """A sum and the norm behind it are one operator to onnxruntime, where shapes are declared: relevance, which needs
    the sum, computes it for itself."""
    net = Net(["N", "T", 4])
    norm = net.const(np.ones(4, np.float32)), net.const(np.full(4, 0.1, np.float32))
    start = net.add("LayerNormalization", "x", *norm, axis=-1)
    q, s, z = net.add("DynamicQuantizeLinear", start, outputs=3)
    product = net.add("MatMulInteger", q, net.const(W2[:4].astype(np.int8)), z, net.const(np.int8(0)))
    scale = net.add("Mul", s, net.const(np.float32(0.01)))
    scaled = net.add("Mul", net.add("Cast", product, to=TensorProto.FLOAT), scale)
    shaped = net.add("Reshape", scaled, net.const(np.array([0, -1, 4])))
    model = net.model(net.add("LayerNormalization", net.add("Add", shaped, start), *norm, axis=-1))
    # Nothing else tells the session that the two are of one shape.
    model.graph.value_info.append(helper.make_tensor_value_info(shaped, TensorProto.FLOAT, ["N", "T", 4]))
    source = tmp_path / "optimised.onnx"

    def fused(m: onnx.ModelProto) -> int:
        options = ort.SessionOptions()
        options.log_severity_level, options.optimized_model_filepath = 4, str(source)
        ort.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return sum(n.op_type == "SkipLayerNormalization" for n in onnx.load(source).graph.node)

    explained = onnxlrp.convert(model, "epsilon").to_proto()
    assert fused(explained) == fused(model) > 0
    x = {"x": np.random.default_rng(2).normal(size=(3, 5, 4)).astype(np.float32)}
    np.testing.assert_array_equal(onnxruntime(explained)(x)["y"], onnxruntime(model)(x)["y"])


# ------------------------------------------------------------------------------------------- onnxruntime's QLinear…


def beside(name: str) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """An operator on integers between x and a product, and the same in floats between pairs that round."""
    models = []
    for floats in (False, True):
        op = name
        net = Net([2, 3, 4, 4])
        s0, s1, zero = net.const(np.float32(0.02)), net.const(np.float32(0.03)), net.const(np.uint8(100))
        other = np.random.default_rng(5).integers(0, 255, (3, 1, 1)).astype(np.uint8)
        q = net.add("QuantizeLinear", "x", s0, zero)
        near, far, second = (q, s0, zero), (s1, zero), (net.const(other), s0, zero)
        dq = net.add("DequantizeLinear", *near) if floats else ""
        dq2 = net.add("DequantizeLinear", *second) if floats else ""
        options: dict[str, Any] = {}
        if op in ("Add", "Mul"):
            inputs, plain = (*near, *second, *far), (dq, dq2)
        elif op == "Where":
            given = net.const(np.random.default_rng(6).random((2, 3, 4, 4)) > 0.3)
            inputs, plain = (given, *near, *second, *far), (given, dq, dq2)
        elif op == "Concat":
            inputs, plain, options = (*far, *near, *near), (dq, dq), {"axis": 1}
        else:
            inputs, plain = (*near, *far), (dq,)
        options |= {"LeakyRelu": {"alpha": 0.1}, "Softmax": {"axis": -1}}.get(op, {})
        if op == "Softmax of rows":
            # Before opset 13: over all axes from the given one on.
            op, options = "Softmax", {"axis": 2, "opset": 12}
            plain = (net.add("Reshape", dq, net.const(np.array([6, 16]))),) if floats else ()
        options |= {"kernel_shape": [2, 2], "strides": [2, 2]} if op == "AveragePool" else {}
        if floats:
            of_rows = options.pop("opset", None) is not None
            made = net.add(op, *plain, **({"axis": 1} if of_rows else options))
            made = net.add("Reshape", made, net.const(np.array([2, 3, 4, 4]))) if of_rows else made
            made = net.add("QuantizeLinear", made, *far)
        else:
            options = {"opset": 13, **options} if op == "Softmax" else options
            made = net.add(f"QLinear{op}", *inputs, domain=FUSED, **options)
        models.append(net.model(net.add("DequantizeLinear", made, *far)))
    return models[0], models[1]


@pytest.mark.parametrize(
    "op",
    [
        *("Add", "Mul", "Where", "Concat", "Sigmoid", "LeakyRelu", "Softmax", "Softmax of rows"),
        *("AveragePool", "GlobalAveragePool"),
    ],
)
def test_on_integers_as_between_roundings(op):
    deployed, written = beside(op)
    x = {"x": np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)}
    options = {"target": "weights", "explain_probability": True, "ledger": True}
    found, theirs = (onnxruntime(onnxlrp.convert(m, "attn_lrp", **options).to_proto())(x) for m in (deployed, written))
    np.testing.assert_array_equal(found["y"], onnxruntime(deployed)(x)["y"])
    # A kernel on integers may round the other way: relevance starts at its own output.
    start = {"y_weights": np.where(found["y"] == theirs["y"], 1, 0).astype(np.float32)}
    assert start["y_weights"].mean() > 0.9
    found, theirs = (
        onnxruntime(onnxlrp.convert(m, "attn_lrp", **options).to_proto())({**x, **start}) for m in (deployed, written)
    )
    np.testing.assert_allclose(found["x_relevance"], theirs["x_relevance"], rtol=1e-4, atol=1e-5)
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-4)
    assert missing(onnxlrp.convert(deployed, "attn_lrp").to_proto()) == [] or op in (
        "Softmax",
        "Softmax of rows",
        "Concat",
    )


def test_signed_bytes_may_be_moved():
    """onnxruntime pulls DequantizeLinear through a Reshape and gets the types wrong: it is kept from doing so."""
    net = Net(["N", 6])
    scale, zero = net.const(S0), net.const(np.int8(3))
    h = net.add("DequantizeLinear", net.add("QuantizeLinear", "x", scale, zero), scale, zero)
    w, flat = net.const(W1.astype(np.float32)), net.add("Reshape", h, net.const(np.array([-1, 6])))
    model = net.model(net.add("Add", net.add("MatMul", flat, w), net.add("MatMul", h, w)), opset=17)
    source = onnxruntime(model)({"x": X})
    found = onnxruntime(onnxlrp.convert(model, "epsilon").to_proto())({"x": X})
    np.testing.assert_array_equal(found["y"], source["y"])


def test_a_quantised_table_whose_rows_are_moved():
    """onnxruntime.quantization leaves the rows of a table in 8 bits through a Transpose in front of a recurrent net."""
    table = np.random.default_rng(0).integers(0, 255, (7, 6)).astype(np.uint8)
    net = Net(["N", "T"])
    rows = net.add("Transpose", net.add("Gather", net.const(table), "x"), perm=[1, 0, 2])
    h = net.add("DequantizeLinear", rows, net.const(S0), net.const(np.uint8(100)))
    y = net.add("MatMul", h, net.const(W1.astype(np.float32)))
    model = net.model(net.add("ReduceSum", y, net.const(np.array([0])), keepdims=0), opset=17)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    ids = np.array([[1, 5, 0], [6, 6, 2]])
    found = onnxruntime(onnxlrp.convert(model, "lrp0", target="weights").to_proto())({"x": ids})
    expected = ((table[ids].astype(float) - 100) * S0 @ W1).sum(-1)
    np.testing.assert_allclose(found["x_relevance"], expected, rtol=1e-4)


def pair_of(net: Net, v: str, scale: float, zero: Any) -> str:
    at = net.const(np.float32(scale)), net.const(zero)
    return net.add("DequantizeLinear", net.add("QuantizeLinear", v, *at), *at)


def test_a_quantised_mask_is_one():
    """What becomes floats to be added to scores says where, also where it is rounded in between."""
    net, zero = Net(["N", 6]), np.uint8(128)
    h = net.add("MatMul", pair_of(net, "x", S0, zero), net.const(W1.astype(np.float32) / 50))
    kept = net.add("Cast", net.const(np.ones((1, 5), np.int64)), to=TensorProto.FLOAT)
    masked = net.add("Mul", net.add("Sub", net.const(np.float32(1)), kept), net.const(np.float32(-9)))
    total = net.add("Add", pair_of(net, h, S1, zero), pair_of(net, masked, 9 / 255, np.uint8(255)))
    model = net.model(pair_of(net, total, S1, zero))
    mask = helper.make_tensor_value_info("mask", TensorProto.INT64, ["N", 5])
    model.graph.input.append(mask)
    next(n for n in model.graph.node if n.op_type == "Cast").input[0] = "mask"
    plan = onnxlrp.convert(model, "epsilon").plan
    assert [row.why for row in plan.rows() if row.operator == "Add"] == ["a constant is added: it absorbs its share"]


def test_a_rounded_gelu_has_its_name():
    net, zero = Net(["N", 6]), np.uint8(128)
    h = pair_of(net, "x", S0, zero)
    half = net.add(
        "DequantizeLinear", net.const(np.uint8(255)), net.const(np.float32(0.5 / 255)), net.const(np.uint8(0))
    )
    erf = pair_of(net, net.add("Erf", net.add("Div", h, net.const(np.float32(2**0.5)))), 1 / 127, zero)
    whole = pair_of(net, net.add("Add", erf, net.const(np.float32(1))), 2 / 255, np.uint8(0))
    made = net.add("Mul", pair_of(net, net.add("Mul", h, whole), S0, zero), half)
    plan = onnxlrp.convert(net.model(net.add("MatMul", made, net.const(W1.astype(np.float32)))), "epsilon").plan
    assert any(row.why.startswith("GELU (erf)") for row in plan.rows())


def test_a_final_softmax_between_roundings_is_skipped():
    net = Net(["N", 6])
    scale, zero = net.const(np.float32(1 / 255)), net.const(np.uint8(0))
    scores = net.add("MatMul", "x", net.const(W1.astype(np.float32) / 50))
    q = net.add("QuantizeLinear", net.add("Softmax", scores), scale, zero)
    plan = onnxlrp.convert(net.model(net.add("DequantizeLinear", q, scale, zero)), "epsilon").plan
    assert not any(row.operator == "Softmax" for row in plan.rows())
