"""A softmax that is written out is explained as one."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from tests.source.nets import run


def _model(kind: str) -> onnx.ModelProto:
    """Scores of a dense layer and their softmax, whole or written out in some way, over the last axis."""
    weight = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    taken_off = kind in ("jax", "kept")
    exp = ["shifted" if taken_off else "scores"]
    keep = int(kind != "jax")
    constants = {"w": weight, "last": np.array([1]), "one": np.array([1]), "floor": np.float32(-np.inf)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    if kind == "whole":
        nodes.append(helper.make_node("Softmax", ["scores"], ["y"], axis=-1))
    else:
        if taken_off:
            nodes += [
                helper.make_node("ReduceMax", ["scores", "last"], ["max"], keepdims=keep),
                helper.make_node("Max", ["floor", "max"], ["most"]),
                *([] if keep else [helper.make_node("Unsqueeze", ["most", "last"], ["most_wide"])]),
                helper.make_node("Sub", ["scores", "most" if keep else "most_wide"], ["shifted"]),
            ]
        nodes += [
            helper.make_node("Exp", exp, ["e"]),
            helper.make_node("ReduceSum", ["e", "last"], ["sum"], keepdims=keep),
            *([] if keep else [helper.make_node("Unsqueeze", ["sum", "last"], ["sum_wide"])]),
        ]
        below = "sum" if keep else "sum_wide"
        if kind == "reciprocal":
            nodes += [helper.make_node("Reciprocal", [below], ["r"]), helper.make_node("Mul", ["r", "e"], ["y"])]
        else:
            nodes.append(helper.make_node("Div", ["e", below], ["y"]))
    graph = helper.make_graph(
        nodes,
        "softmax",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _by_logarithm(kind: str, logarithm: bool) -> onnx.ModelProto:
    """The same scores and their softmax, or its logarithm, as `x − log Σ exp x`."""
    model = _model("whole")
    last = "log" if not logarithm else "y"
    nodes = [model.graph.node[0]]
    if kind == "whole":
        nodes.append(helper.make_node("LogSoftmax", ["scores"], [last], axis=-1))
    elif kind == "in one step":
        nodes += [
            helper.make_node("ReduceLogSumExp", ["scores", "last"], ["sum"], keepdims=0),
            helper.make_node("Reshape", ["sum", "column"], ["wide"]),
            helper.make_node("Sub", ["scores", "wide"], [last]),
        ]
    else:
        nodes += [
            helper.make_node("ReduceMax", ["scores", "last"], ["max"]),
            helper.make_node("Sub", ["scores", "max"], ["shifted"]),
            helper.make_node("Exp", ["shifted"], ["e"]),
            helper.make_node("ReduceSum", ["e", "last"], ["sum"]),
            helper.make_node("Log", ["sum"], ["wide"]),
            helper.make_node("Sub", ["shifted", "wide"], [last]),
        ]
    if not logarithm:
        nodes.append(helper.make_node("Exp", ["log"], ["y"]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "column"))
    return model


@pytest.mark.parametrize("kind", ["whole", "in one step", "step by step"])
@pytest.mark.parametrize("logarithm", [False, True])
@pytest.mark.parametrize("probability", [False, True])
def test_a_softmax_by_its_logarithm(kind, logarithm, probability):
    feeds = {"x": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)}
    plain = _by_logarithm("whole", True) if logarithm else _model("whole")
    wanted, found = (
        run(onnxlrp.convert(m, "epsilon", explain_probability=probability).to_proto(), feeds)
        for m in (plain, _by_logarithm(kind, logarithm))
    )
    assert np.abs(wanted["x_relevance"]).sum() > 0.1
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["jax", "kept", "plain", "reciprocal"])
@pytest.mark.parametrize("probability", [False, True])
def test_however_it_is_written_it_is_explained_as_softmax(kind, probability):
    feeds = {"x": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)}
    wanted, found = (
        run(onnxlrp.convert(_model(k), "epsilon", explain_probability=probability).to_proto(), feeds)
        for k in ("whole", kind)
    )
    assert np.abs(wanted["x_relevance"]).sum() > 0.1
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["jax", "plain", "reciprocal"])
def test_of_a_quantised_model_the_nodes_stay(kind):
    """Outputs are the same to the bit, and so is what is explained."""

    def quantised(kind: str) -> onnx.ModelProto:
        model = _model(kind)
        scale = numpy_helper.from_array(np.float32(0.05), "scale")
        model.graph.initializer.extend([scale, numpy_helper.from_array(np.uint8(128), "zero")])
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            *model.graph.node,
        ]
        nodes[2].input[0] = "d"
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        return model

    feeds = {"x": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)}
    wanted, found = (
        run(onnxlrp.convert(quantised(k), "epsilon", explain_probability=True).to_proto(), feeds)
        for k in ("whole", kind)
    )
    np.testing.assert_array_equal(found["y"], run(quantised(kind), feeds)["y"])
    assert np.abs(wanted["x_relevance"]).sum() > 0.1
    np.testing.assert_allclose(found["x_relevance"], wanted["x_relevance"], rtol=1e-4, atol=1e-6)
    ours = {
        n.op_type for n in onnxlrp.convert(quantised(kind), "epsilon").to_proto().graph.node if not n.metadata_props
    }
    assert "Softmax" not in ours and "Exp" in ours
