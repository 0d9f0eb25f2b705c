"""The blocked layout that onnxruntime's CPU optimiser writes: as it writes it, and in blocks of either size by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from onnxlrp.operators import block_size
from tests.operators.case import onnxruntime
from tests.operators.fused import Array, floats

DOMAIN = "com.microsoft.nchwc"
CHANNELS = 20
WEIGHTS = {
    "w0": floats(0, CHANNELS, 3, 3, 3) / 4,
    "b0": floats(1, CHANNELS),
    "scale": floats(2, CHANNELS),
    "shift": floats(3, CHANNELS),
    "mean": floats(4, CHANNELS),
    "variance": floats(5, CHANNELS) ** 2 + 0.5,
    "w1": floats(6, CHANNELS, 1, 3, 3),
    "b1": floats(7, CHANNELS),
    "w2": floats(8, CHANNELS, CHANNELS, 1, 1) / 4,
    "b2": floats(9, CHANNELS),
    "w3": floats(10, 16, 2 * CHANNELS, 3, 3) / 8,
    "w4": floats(11, 16, 5),
}


def network(last: bool = False) -> onnx.ModelProto:
    """Stem, lone batch norm, depthwise, a sum, pools, a concatenation, resizes; `last`: channels last outside."""
    made: list[onnx.NodeProto] = []

    def node(op: str, *names: str, **attributes) -> str:
        made.append(helper.make_node(op, list(names), [f"v{len(made)}"], **attributes))
        return str(made[-1].output[0])

    x = node("Transpose", "x", perm=[0, 3, 1, 2]) if last else "x"
    stem = node("Relu", node("Conv", x, "w0", "b0", kernel_shape=[3, 3], pads=[1] * 4))
    normal = node("Relu", node("BatchNormalization", stem, "scale", "shift", "mean", "variance"))
    deep = node("Conv", normal, "w1", "b1", kernel_shape=[3, 3], pads=[1] * 4, group=CHANNELS)
    deep = node("Clip", deep, "zero", "six")
    total = node("Relu", node("Add", node("Conv", deep, "w2", "b2", kernel_shape=[1, 1]), stem))
    pooled = node("MaxPool", total, kernel_shape=[2, 2], strides=[2, 2])
    average = node("AveragePool", total, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    big = node("Resize", node("Concat", pooled, average, axis=1), "", "twice", mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="asymmetric")  # fmt: skip
    h = node("Sigmoid", node("Conv", big, "w3", kernel_shape=[3, 3]))
    h = node("Resize", h, "", "twice", mode="linear")
    h = node("ReduceMean", node("Transpose", h, perm=[0, 2, 3, 1]), axes=[1, 2], keepdims=0) if last else node(
        "Flatten", node("GlobalAveragePool", h))  # fmt: skip
    made.append(helper.make_node("Gemm", [h, "w4"], ["y"]))
    more = {"zero": np.float32(0), "six": np.float32(6), "twice": np.array([1, 1, 2, 2], np.float32)}
    shape = ["N", 8, 8, 3] if last else ["N", 3, 8, 8]
    graph = helper.make_graph(
        made,
        "blocked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(v, k) for k, v in {**WEIGHTS, **more}.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def optimised(model: onnx.ModelProto, folder, level: str) -> onnx.ModelProto:
    path = folder / "optimised.onnx"
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "epsilon_plus", "excitation_backprop", "gradient"])
@pytest.mark.parametrize("level", ["ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
def test_as_onnxruntime_writes_it(last, level, composite, tmp_path):
    model = network(last)
    fused = optimised(model, tmp_path, level)
    if level == "ORT_ENABLE_ALL" and not any(n.domain == DOMAIN for n in fused.graph.node):
        pytest.skip("onnxruntime knows no blocks for this processor")
    x = {"x": np.moveaxis(floats(20, 2, 3, 8, 8), 1, -1).copy() if last else floats(20, 2, 3, 8, 8)}
    explained = onnxlrp.convert(fused, composite).to_proto()
    assert {o.domain for o in explained.opset_import}.isdisjoint({DOMAIN, "com.microsoft"})
    ours, plain = onnxruntime(explained)(x), onnxruntime(onnxlrp.convert(model, composite).to_proto())(x)
    np.testing.assert_allclose(ours["y"], onnxruntime(model)(x)["y"], rtol=1e-5, atol=1e-5)
    difference = np.linalg.norm(ours["x_relevance"] - plain["x_relevance"])
    assert difference < 1e-3 * np.linalg.norm(plain["x_relevance"])


def whole(array: Array, axis: int, size: int) -> Array:
    """Filled up with zeros to whole blocks."""
    fill = [(0, -n % size if a == axis else 0) for a, n in enumerate(array.shape)]
    return np.pad(array, fill)


def in_blocks(weight: Array, size: int, blocked_input: bool) -> Array:
    """As the kernels want it, element by element."""
    weight = whole(weight, 0, size)
    weight = whole(weight, 1, size) if blocked_input else weight
    out, into, height, width = weight.shape
    flat = [
        weight[o * size + lane, i * step + inner, h, w]
        for step in [size if blocked_input else into]
        for o in range(out // size)
        for i in range(into // step)
        for h, w, inner in (
            ((h, w, inner) for h in range(height) for w in range(width) for inner in range(step))
            if blocked_input
            else ((h, w, inner) for inner in range(step) for h in range(height) for w in range(width))
        )
        for lane in range(size)
    ]
    return np.array(flat, np.float32).reshape(weight.shape)


def by_hand(size: int, **deep) -> onnx.ModelProto:
    """Two convolutions of 20 channels, the first of 24: whole blocks of 8, which a reorder fills up to 32 in 16s."""
    constants = {
        "w0": in_blocks(floats(0, CHANNELS, 24, 3, 3), size, True),
        "b0": whole(floats(1, CHANNELS), 0, size),
        "w1": in_blocks(floats(2, CHANNELS, 1, 3, 3), size, False),
    }
    deep = {"group": constants["w0"].shape[0], "kernel_shape": [3, 3], **deep}
    nodes = [
        helper.make_node("ReorderInput", ["x"], ["v0"], domain=DOMAIN, channels_last=0),
        helper.make_node("Conv", ["v0", "w0", "b0"], ["v1"], domain=DOMAIN, kernel_shape=[3, 3], activation="Relu"),
        helper.make_node("Conv", ["v1", "w1"], ["v2"], domain=DOMAIN, **deep),
        helper.make_node("GlobalMaxPool", ["v2"], ["v3"], domain=DOMAIN),
        helper.make_node("ReorderOutput", ["v3"], ["v4"], domain=DOMAIN, channels=CHANNELS, channels_last=0),
        helper.make_node("Flatten", ["v4"], ["y"]),
    ]  # fmt: skip
    return _model(nodes, constants, [helper.make_opsetid(DOMAIN, 1)])


def plain() -> onnx.ModelProto:
    constants = {"w0": floats(0, CHANNELS, 24, 3, 3), "b0": floats(1, CHANNELS), "w1": floats(2, CHANNELS, 1, 3, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["v0"]),
        helper.make_node("Relu", ["v0"], ["v1"]),
        helper.make_node("Conv", ["v1", "w1"], ["v2"], group=CHANNELS),
        helper.make_node("GlobalMaxPool", ["v2"], ["v3"]),
        helper.make_node("Flatten", ["v3"], ["y"]),
    ]
    return _model(nodes, constants, [])


def _model(nodes: list[onnx.NodeProto], constants: dict[str, Array], opsets: list) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "blocked",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 24, 7, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CHANNELS])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), *opsets], ir_version=8)


@pytest.mark.parametrize("size", block_size.SIZES)
@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "epsilon"])
def test_the_size_of_a_block_shows_in_the_file(size, composite, monkeypatch):
    """20 channels are 24 in blocks of 8, 32 with 12 idle ones in blocks of 16: nobody need be asked. A flat rule gives
    the channels that were filled in no share."""
    monkeypatch.setattr(block_size, "_at_hand", lambda: None)
    x = {"x": floats(20, 2, 24, 7, 7)}
    ours, theirs = (onnxruntime(onnxlrp.convert(m, composite).to_proto())(x) for m in (by_hand(size), plain()))
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-4 * np.abs(value).max(), err_msg=name)


def test_a_size_that_nothing_tells_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(block_size, "_at_hand", lambda: None)
    model = by_hand(16)
    for constant, shape in zip(model.graph.initializer, ([32, 32, 3, 3], [32], [32, 1, 3, 3]), strict=True):
        constant.CopyFrom(numpy_helper.from_array(floats(0, *shape), constant.name))
    with pytest.raises(UnsupportedOperatorError, match=r"how many channels are in a block.*level EXTENDED"):
        onnxlrp.convert(model)
    monkeypatch.setattr(block_size, "_at_hand", lambda: 8)
    onnxlrp.convert(model)


def test_all_or_nothing():
    """One node that cannot be undone leaves every other as it is: half of it would mix layouts."""
    with pytest.raises(UnsupportedOperatorError, match="the activation 'Unheard' is not supported") as error:
        onnxlrp.convert(by_hand(8, activation="Unheard"))
    for operator in ("Conv", "GlobalMaxPool", "ReorderOutput"):
        assert f"{DOMAIN}::{operator}" in str(error.value)
