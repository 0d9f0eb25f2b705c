"""Every node of the relevance part has a CUDA kernel in onnxruntime-gpu, for its opset and its types."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper

import onnxlrp
from onnxlrp.composites import COMPOSITES
from onnxlrp.errors import InputError
from onnxlrp.operators.registry import Kind
from tests import bundled
from tests.emit import test_rolled_out
from tests.emit.cuda_kernels import report, without_kernel
from tests.operators.case import Case
from tests.operators.draws import DRAWS, registered
from tests.oracle.net import Net

LARGE = ("auto", "epsilon_gamma_box", "epsilon_alpha2_beta1", "gradient")
"""Composites for EfficientNet-Lite0."""
BOUNDED = {"epsilon_gamma_box", "vgg_overview"}
"""Composites that need the bounds of the input."""
PICTURES = ("digits_cnn", "efficientnet_lite0")
"""Folders of models with convolutions over two axes, which class activation maps need."""
ATTENTION = ("minilm_similarity",)
"""Folders of models with attention, which rollout needs; the sentence encoder lies in `models/` only where
`tools/make_models` made it."""


def is_refused(name: str, folder: str) -> bool:
    """Decide whether a composite is not for the model in a folder."""
    rollout = name == "attention_rollout" and folder not in ATTENTION
    return rollout or (name.endswith("_cam") and folder not in PICTURES)


def composite(name: str) -> str:
    return f"{name}(low=-1, high=1)" if name in BOUNDED else name


def test_the_check_sees_what_has_no_kernel():
    """Mean has none, nor has ArgMax of int64; Add has."""
    types = {"f": "float", "i": "int64"}
    assert without_kernel(helper.make_node("Add", ["f", "f"], ["f"]), 21, types) is None
    assert without_kernel(helper.make_node("Mean", ["f", "f"], ["f"]), 21, types)
    assert without_kernel(helper.make_node("ArgMax", ["i"], ["i"]), 21, types)
    assert without_kernel(helper.make_node("Pad", ["i", "i"], ["i"]), 21, types)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "name"),
    [
        (p, n)
        for p, n in bundled.pairs(COMPOSITES, ["auto"])
        if (n in LARGE or p.stem != "efficientnet_lite0") and not is_refused(n, p.parent.name)
    ],
    ids=lambda v: v if isinstance(v, str) else v.stem,
)
def test_models(path, name):
    report(onnxlrp.convert(path, composite(name), **bundled.options(path)).to_proto())


def network() -> Net:
    """Layers of every kind, pools, a residual sum, batch norm, a concatenation."""
    net = Net(3, x=(4, 8, 8))
    h = net.relu(net.batch_norm(net.conv("x", 4, strides=[2, 2], pads=[1, 1, 1, 1])))
    h = net.sum(h, net.relu(net.conv(h, 4, pads=[1, 1, 1, 1], group=2)))
    h = net.max_pool(h, 2, strides=[1, 1])
    h = net.relu(net.conv_transpose(h, 4, 2, strides=[2, 2]))
    h = net.concat(net.average_pool(h, 2, strides=[2, 2]), net.max_pool(h, 2, strides=[2, 2]))
    h = net.batch_norm(net.activation(h, "Sigmoid"))
    return net.output(net.gemm(net.relu(net.matmul(net.flatten(net.global_average(h)), 6)), 4))


def single(model: onnx.ModelProto, floating: type = np.float32) -> onnx.ModelProto:
    """The same model in single or half precision."""
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(floating))
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float64:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(floating), tensor.name))
    return model


OPTIONS = {
    "ledger": {"ledger": True},
    "targets": {"targets": 3},
    "weights": {"target": "weights"},
    "element": {"target": "element"},
    "one": {"initial": "one"},
    "none": {"target_input": "none"},
    "required": {"target_input": "required"},
    "on demand": {"on_demand": True, "ledger": True},
    "reduced": {"reduce": "grid=3+top=4+float16"},
    "channels": {"reduce": "channels+float16", "targets": 2},
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", COMPOSITES)
def test_composites(name, dynamic):
    if name == "attention_rollout":
        with pytest.raises(InputError, match="no softmax that is multiplied"):
            onnxlrp.convert(single(network().model(dynamic=dynamic)), name)
        return
    report(onnxlrp.convert(single(network().model(dynamic=dynamic)), composite(name)).to_proto())


def test_attention_rollout():
    proto = test_rolled_out.model(f"{test_rolled_out.TWO} {test_rolled_out.HEAD.format(z='z')}")
    report(onnxlrp.convert(single(proto), "attention_rollout").to_proto())


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("options", OPTIONS)
def test_options(options, dynamic):
    report(onnxlrp.convert(single(network().model(dynamic=dynamic)), "epsilon_plus", **OPTIONS[options]).to_proto())


@pytest.mark.parametrize("precision", ["float32", "model"])
@pytest.mark.parametrize("name", ["epsilon_plus_flat", "epsilon_alpha2_beta1", "gradient"])
def test_half_precision(name, precision):
    report(onnxlrp.convert(single(network().model(dynamic=True), np.float16), name, precision=precision).to_proto())


@pytest.mark.parametrize("part", ["then_branch", "else_branch"])
def test_the_check_looks_into_the_switch(part):
    """A marked node without a kernel is seen in each branch, and none of the model's own."""
    proto = onnxlrp.convert(single(network().model()), on_demand=True).to_proto()
    (branch,) = [a.g for a in proto.graph.node[-1].attribute if a.name == part]
    own, marked = (helper.make_node("Mean", [proto.graph.input[0].name], [name]) for name in ("own", "marked"))
    marked.metadata_props.add(key="onnxlrp.rule", value="a step")
    branch.node.append(own)
    report(proto)
    branch.node.append(marked)
    with pytest.raises(AssertionError, match="Mean"):
        report(proto)


@pytest.mark.parametrize("integers", ["uint8", "int8"])
def test_pools_of_quantised_values(integers):
    """Windows side by side: CUDA compares no eight bits."""
    source = f"""<ir_version: 10, opset_import: ["": 21]>
    net (float[N, 2, 4, 4] x) => (float[N, 2] y)
    <float scale = {{0.02}}, {integers} zero = {{3}}, int64[2] axes = {{2, 3}}> {{
        rounded = QuantizeLinear (x, scale, zero)
        highest = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (rounded)
        wide = DequantizeLinear (highest, scale, zero)
        y = ReduceSum <keepdims = 0> (wide, axes)
    }}"""
    report(onnxlrp.convert(onnx.parser.parse_model(source), "epsilon").to_proto())


@pytest.mark.slow
@pytest.mark.parametrize("name", registered(*(k for k in Kind if k not in (Kind.STOP, Kind.REFUSED))))
@settings(deadline=None, derandomize=True, max_examples=4, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_operators(name, data):
    """Relevance and gradients of every operator in single precision, static and dynamic."""
    case: Case = data.draw(st.one_of([draw() for draw in DRAWS[name]]))
    dynamic = data.draw(st.booleans(), label="dynamic")
    model = case.model(dynamic, np.float32)
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        assume(False)  # onnx itself refuses some: an Einsum with ellipses of unequal rank
    assume(all(np.size(case.operands[i]) for i in case.data))  # Of nothing there is nothing to explain.
    # DynamicQuantizeLinear: a scale alone has a gradient, no relevance
    relevance = () if name == "DynamicQuantizeLinear" else ("epsilon", "epsilon_plus_flat")
    for composite in ("gradient", *relevance):
        report(onnxlrp.convert(model, composite, target="weights").to_proto())
