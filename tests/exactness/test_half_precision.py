"""float16 and bfloat16, whole or in part: the model as it is, relevance in float32.

onnxruntime's CPU computes float16 in float32 and leaves out casts in between; onnx's reference evaluator rounds at
every step.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError
from tests.operators.case import onnxruntime, reference
from tests.oracle.half import distances, furthest, in_type, on_rounded_weights, on_the_same_values
from tests.oracle.half_nets import OF_EVERY_KIND, SIZE, explained_model, network, pictures
from tests.oracle.net import Net

BOX = "epsilon_gamma_box(low=-3, high=3)"


def island(model: onnx.ModelProto) -> onnx.ModelProto:
    """In float16 but for the first dense layer, and with inputs and outputs in float32."""
    made = in_type(model, TensorProto.FLOAT16)
    nodes, graph = list(made.graph.node), made.graph
    dense = next(n for n in nodes if n.op_type == "Gemm")
    weights = {t.name: t for t in graph.initializer}
    casts_in = [helper.make_node("Cast", [dense.input[0]], ["wide_in"], to=TensorProto.FLOAT)]
    casts_out = [helper.make_node("Cast", ["wide_out"], [dense.output[0]], to=TensorProto.FLOAT16)]
    for name in dense.input[1:]:
        tensor = weights[name]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), name))
    dense.input[0], dense.output[0] = "wide_in", "wide_out"
    at = nodes.index(dense)
    last = nodes[-1]
    last.output[0] = "narrow"
    first = helper.make_node("Cast", ["x"], ["narrow_x"], to=TensorProto.FLOAT16)
    for node in nodes:
        node.input[:] = ["narrow_x" if name == "x" else name for name in node.input]
    end = helper.make_node("Cast", ["narrow"], ["y"], to=TensorProto.FLOAT)
    ordered = [first, *nodes[:at], *casts_in, dense, *casts_out, *nodes[at + 1 :], end]
    del graph.node[:]
    graph.node.extend(ordered)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    return made


@pytest.mark.parametrize("composite", ["epsilon_plus_flat", BOX, "attn_lrp", "gradient"])
@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_relevance_of_the_rounded_values(name, composite):
    """The relevance part of a float16 model is float32's on the very values that the model had, of every input."""
    model, feeds = explained_model(name)
    half = onnxlrp.convert(in_type(model, TensorProto.FLOAT16), composite).to_proto()
    wide = onnxlrp.convert(on_rounded_weights(model), composite).to_proto()
    ours, theirs = on_the_same_values(half, wide, feeds)
    for relevance in theirs:
        assert ours[relevance].dtype == np.float32
        assert furthest(ours[relevance], theirs[relevance]).max() < 1e-4


@pytest.mark.parametrize("name", ["depthwise", "transposed"])
def test_what_little_the_output_leaves(name):
    """The negative denominator of αβ is no difference from an output that was rounded: it would be of either sign."""
    model, feeds = explained_model(name)
    half = onnxlrp.convert(in_type(model, TensorProto.FLOAT16), "epsilon_alpha2_beta1").to_proto()
    wide = onnxlrp.convert(in_type(model, TensorProto.FLOAT), "epsilon_alpha2_beta1").to_proto()
    ours, theirs = reference(half)(feeds), onnxruntime(wide)({k: v.astype(np.float32) for k, v in feeds.items()})
    assert np.quantile(furthest(ours["x_relevance"], theirs["x_relevance"]), 0.75) < 2e-2


@pytest.mark.parametrize("precision", ["float32", "model"])
def test_a_bound_that_is_reached_after_rounding(precision):
    """Clip's gradient asks where its operand lies, not what it became: onnxruntime's CPU rounds one of them only."""
    net = Net(6, x=SIZE)
    h = net.add_step("pass", "Clip", [net.conv("x", 8, pads=[1, 1, 1, 1])], [0.0, 1.0])
    model = net.output(net.head(net.add_step("pass", "Clip", [net.conv(h, 8)], [0.0, 1.0]))).model()
    half = onnxlrp.convert(in_type(model, TensorProto.FLOAT16), "gradient", precision=precision).to_proto()
    wide = onnxlrp.convert(on_rounded_weights(model), "gradient").to_proto()
    ours, theirs = onnxruntime(half)(pictures(50, kind=np.float16)), onnxruntime(wide)(pictures(50))
    off = furthest(ours["x_relevance"], theirs["x_relevance"])
    assert np.median(off) < 1e-2 and np.quantile(off, 0.8) < 5e-2


@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_everything_is_float32_first(name):
    """Of float16 the relevance part reads nothing but shapes, and the score that chooses the class, before a Cast,
    values of the model behind a Sum; and no value, weights above all, is cast twice."""
    explained = onnxlrp.convert(in_type(explained_model(name)[0], TensorProto.FLOAT16), "epsilon_plus").to_proto()
    typed = onnx.shape_inference.infer_shapes(explained, strict_mode=True).graph
    values = {v.name: v.type.tensor_type.elem_type for v in (*typed.value_info, *typed.input, *typed.output)}
    values |= {t.name: t.data_type for t in typed.initializer}
    narrow = {name for name, kind in values.items() if kind == TensorProto.FLOAT16}
    casts = []
    for node in explained.graph.node:
        rule = next((entry.value for entry in node.metadata_props if entry.key == "onnxlrp.rule"), None)
        if rule in (None, "target") or not narrow.intersection(node.input):
            continue
        assert node.op_type in ("Cast", "Shape", "Size") or rule == "apart", node
        casts += [node.input[0]] if node.op_type == "Cast" else []
    assert casts and len(casts) == len(set(casts))


@pytest.mark.parametrize("change", [lambda m: in_type(m, TensorProto.FLOAT16), island], ids=["whole", "island"])
def test_outputs_keep_their_values(change):
    """In the reference evaluator to the bit; onnxruntime's CPU leaves out casts, and not the same ones in both."""
    half = change(network())
    explained = onnxlrp.convert(half, "epsilon_plus_flat").to_proto()
    x = pictures(50, kind=helper.tensor_dtype_to_np_dtype(half.graph.input[0].type.tensor_type.elem_type))
    np.testing.assert_array_equal(reference(explained)(x)["y"], reference(half)(x)["y"])
    ours, theirs = (onnxruntime(m)(x)["y"].astype(np.float32) for m in (explained, half))
    np.testing.assert_allclose(ours, theirs, atol=2e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("precision", ["float32", "model"])
@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus"])
def test_reading_rounds_nothing(composite, precision):
    """onnxruntime's CPU has kernels for some operators in float16 (Clip), and uses them next to a Cast only."""
    net = Net(6, x=SIZE)
    h = "x"
    for _ in range(6):
        h = net.add_step("pass", "Clip", [net.conv(h, 8, pads=[1, 1, 1, 1])], [0.0, 1.0])
    half = in_type(net.output(net.head(h)).model(), TensorProto.FLOAT16)
    x, output = pictures(20, kind=np.float16), half.graph.output[0].name
    explained = onnxlrp.convert(half, composite, precision=precision).to_proto()
    ours, theirs = (onnxruntime(m)(x)[output].astype(np.float32) for m in (explained, half))
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("change", [lambda m: in_type(m, TensorProto.FLOAT16), island], ids=["whole", "island"])
@pytest.mark.parametrize("precision", ["float32", "model"])
def test_near_the_model_in_float32(change, precision):
    model = network()
    half = change(model)
    kind = helper.tensor_dtype_to_np_dtype(half.graph.input[0].type.tensor_type.elem_type)
    explained = onnxlrp.convert(half, "epsilon_plus_flat", precision=precision).to_proto()
    theirs = onnxruntime(onnxlrp.convert(model, "epsilon_plus_flat").to_proto())(pictures(50))
    for run in (onnxruntime, reference):
        ours = run(explained)(pictures(50, kind=kind))
        same = ours["y"].argmax(1) == theirs["y"].argmax(1)
        assert same.sum() >= 48
        assert np.median(distances(ours["x_relevance"][same], theirs["x_relevance"][same])) < 2e-2


@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "attn_lrp"])
@pytest.mark.parametrize("name", ["perceptron", "depthwise", "mixer", "attention"])
def test_bfloat16(name, composite):
    """The model in bfloat16, relevance in float32, of the very values that it had."""
    model, feeds = explained_model(name)
    feeds = {k: v.astype(ml_dtypes.bfloat16) for k, v in feeds.items()}
    narrow = onnxlrp.convert(in_type(model, TensorProto.BFLOAT16), composite).to_proto()
    wide = onnxlrp.convert(on_rounded_weights(model, TensorProto.BFLOAT16), composite).to_proto()
    ours, theirs = on_the_same_values(narrow, wide, feeds)
    assert ours["x_relevance"].dtype == np.float32
    assert furthest(ours["x_relevance"], theirs["x_relevance"]).max() < 1e-4


def test_no_relevance_in_bfloat16():
    with pytest.raises(InputError, match="no bfloat16 kernels"):
        onnxlrp.convert(in_type(network(), TensorProto.BFLOAT16), precision="model")


@pytest.mark.parametrize("precision", ["model", "float32"])
def test_float64_stays(precision):
    explained = onnxlrp.convert(in_type(network(), TensorProto.DOUBLE), precision=precision).to_proto()
    assert {o.type.tensor_type.elem_type for o in explained.graph.output} == {TensorProto.DOUBLE}
