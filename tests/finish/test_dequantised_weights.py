"""Weights of a few bits that DequantizeLinear makes floats: a session makes one kernel of that and the product, which
rounds the product's input, and it does so in the explained model wherever it does in the source."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp

WIDTH, RANGES = 64, {"INT4": (-8, 8), "UINT4": (0, 16), "INT8": (-128, 128), "UINT8": (0, 256)}
X = np.random.default_rng(1).normal(size=(16, WIDTH)).astype(np.float32)


class Sketch:
    """Nodes one after the other, with constants drawn from one seed."""

    def __init__(self, floats: type = np.float32) -> None:
        self.rng, self.floats = np.random.default_rng(0), floats
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, op_type: str, *inputs: str, domain: str = "", **attributes) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], name, domain=domain, **attributes))
        return name

    def const(self, value) -> str:
        array = np.asarray(value)
        array = array.astype(self.floats) if array.dtype.kind == "f" else array
        self.tensors.append(numpy_helper.from_array(array, f"c{len(self.tensors)}"))
        return self.tensors[-1].name

    def drawn(self, *shape: int) -> str:
        return self.const(self.rng.normal(size=shape))

    def weight(self, kind: str = "INT4", axis: int = 0, block: int = 32, zeros: bool = False) -> str:
        """A dequantised weight; block 0: a scale for each index of the axis, −1: a single scale."""
        shape = [WIDTH // block if a == axis else WIDTH for a in (0, 1)] if block > 0 else [WIDTH][: block + 1]
        attributes = {"axis": axis} if block == 0 else {"axis": axis, "block_size": block} if block > 0 else {}
        operands = [(("W", [WIDTH, WIDTH])), *([("Z", shape)] if zeros else [])]
        names = []
        for letter, dims in operands:
            name = f"{letter}{len(self.tensors)}"
            numbers = self.rng.integers(*RANGES[kind], int(np.prod(dims))).tolist()
            self.tensors.append(helper.make_tensor(name, getattr(TensorProto, kind), dims, numbers))
            names.append(name)
        scale = self.const(np.asarray(self.rng.uniform(0.5, 1, shape) / RANGES[kind][1] / 8))
        return self.add("DequantizeLinear", names[0], scale, *names[1:], **attributes)

    def model(self, last: str, opset: int = 21) -> onnx.ModelProto:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.floats))
        self.nodes.append(helper.make_node("Flatten", [last], ["y"]))
        x, y = (helper.make_tensor_value_info(name, kind, ["N", WIDTH]) for name in "xy")
        graph = helper.make_graph(self.nodes, "sketch", [x], [y], self.tensors)
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)


def session(model: onnx.ModelProto, path=None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if path is not None:
        options.optimized_model_filepath = str(path)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def kernels(model: onnx.ModelProto, path) -> int:
    session(model, path)
    return [n.op_type for n in onnx.load(path).graph.node].count("MatMulNBits")


def one_product(kind="INT4", axis=0, block=32, zeros=False, form="MatMul", opset=21, floats=np.float32):
    net = Sketch(floats)
    w = net.weight(kind, axis, block, zeros)
    if form == "Transpose":
        return net.model(net.add("MatMul", "x", net.add("Transpose", w, perm=[1, 0])), opset)
    if form == "Gemm":
        return net.model(net.add("Gemm", "x", w, net.drawn(WIDTH)), opset)
    return net.model(net.add("MatMul", "x", w), opset)


def activated(op_type: str) -> onnx.ModelProto:
    """A product, its bias and an activation that alone reads it, then another product."""
    net = Sketch()
    h = net.add(op_type, net.add("Add", net.add("MatMul", "x", net.weight()), net.drawn(WIDTH)))
    return net.model(net.add("Add", net.add("MatMul", h, net.weight()), net.drawn(WIDTH)))


def normed(packed: bool) -> onnx.ModelProto:
    """A block of a transformer: product, bias, GELU written out, product, bias, skip connection, norm, product."""
    net = Sketch()

    def layer(x: str) -> str:
        if not packed:
            return net.add("Add", net.add("MatMul", x, net.weight()), net.drawn(WIDTH))
        numbers = net.const(net.rng.integers(0, 256, (WIDTH, 2, 16)).astype(np.uint8))
        scales = net.const(net.rng.uniform(0.01, 0.03, (WIDTH, 2)))
        sizes = {"K": WIDTH, "N": WIDTH, "bits": 4, "block_size": 32, "accuracy_level": 4}
        return net.add(
            "Add", net.add("MatMulNBits", x, numbers, scales, domain="com.microsoft", **sizes), net.drawn(WIDTH)
        )

    h = layer("x")
    erf = net.add("Add", net.add("Erf", net.add("Div", h, net.const(np.sqrt(2.0)))), net.const(1.0))
    h = layer(net.add("Mul", net.add("Mul", h, erf), net.const(0.5)))
    h = net.add("LayerNormalization", net.add("Add", h, "x"), net.drawn(WIDTH), net.drawn(WIDTH))
    return net.model(layer(h))


MODELS = {
    **{f"{kind} {block}": one_product(kind, 0, block) for kind in RANGES for block in (16, 32)},
    **{f"{kind} with zero points": one_product(kind, zeros=True) for kind in ("UINT4", "INT8")},
    "one scale": one_product("INT8", block=-1),
    "a scale a column": one_product("INT4", axis=1, block=0),
    "Gemm": one_product(form="Gemm"),
    "Transpose": one_product("INT8", block=0, form="Transpose"),
    "float16": one_product(floats=np.float16),
    "Relu": activated("Relu"),
    "Tanh": activated("Tanh"),
    "norm and GELU": normed(packed=False),
    "norm and GELU, packed": normed(packed=True),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("composite", ["epsilon_plus", "gradient"])
def test_outputs_keep_their_bits_and_sessions_their_kernels(name, composite, tmp_path):
    model = MODELS[name]
    explained = onnxlrp.convert(model, composite).to_proto()
    feed = {"x": X.astype(helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type))}
    np.testing.assert_array_equal(session(explained).run(["y"], feed)[0], session(model).run(["y"], feed)[0])
    assert kernels(explained, tmp_path / "explained.onnx") == kernels(model, tmp_path / "source.onnx") > 0


@pytest.mark.parametrize("opset", [13, 20, 21])
def test_a_weight_that_is_transposed_is_fused_where_it_is_in_the_source(opset, tmp_path):
    """Signed bytes without a zero point are moved through a Transpose from opset 21 on only."""
    model = one_product("INT8", block=0, form="Transpose", opset=opset)
    explained = onnxlrp.convert(model, "epsilon").to_proto()
    np.testing.assert_array_equal(session(explained).run(["y"], {"x": X})[0], session(model).run(["y"], {"x": X})[0])
    assert kernels(explained, tmp_path / "explained.onnx") == kernels(model, tmp_path / "source.onnx") == (opset > 20)


@pytest.mark.parametrize("name", ["INT4 32", "Relu", "Tanh"])
def test_the_ledger_closes_though_kernels_round(name):
    model = MODELS[name]
    outputs = session(onnxlrp.convert(model, "epsilon", ledger=True).to_proto())
    score, relevance, table = outputs.run(["y", "x_relevance", "relevance_ledger"], {"x": X})
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-5 * np.abs(table).max())
    np.testing.assert_allclose(score.max(1).sum(), relevance.sum() + table[:, 2:].sum(), rtol=1e-5)


def test_weights_are_stored_once():
    model = MODELS["norm and GELU"]
    grown = len(onnxlrp.convert(model, "epsilon_plus").to_proto().SerializeToString()) - len(model.SerializeToString())
    assert grown < 64_000


def test_a_weight_that_two_products_share():
    net = Sketch()
    w = net.weight()
    model = net.model(net.add("MatMul", net.add("Tanh", net.add("MatMul", "x", w)), w))
    explained = onnxlrp.convert(model, "epsilon").to_proto()
    np.testing.assert_array_equal(session(explained).run(["y"], {"x": X})[0], session(model).run(["y"], {"x": X})[0])


@pytest.mark.parametrize("composite", ["gradient", "gradient_x_input", "epsilon"])
@pytest.mark.parametrize("target", ["class", "weights"])
def test_nothing_is_read_that_was_removed(composite, target):
    """A constant of the relevance part that nobody reads is removed before weights are dequantised once more."""
    net = Sketch()
    h = net.add("Gemm", "x", net.weight(), net.drawn(WIDTH))
    source = net.model(net.add("LayerNormalization", h, net.drawn(WIDTH), net.drawn(WIDTH)))
    explained = onnxlrp.convert(source, composite, target=target).to_proto()
    onnx.checker.check_model(explained)
    np.testing.assert_array_equal(session(explained).run(["y"], {"x": X})[0], session(source).run(["y"], {"x": X})[0])
