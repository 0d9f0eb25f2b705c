"""float16 and bfloat16, whole or in part: relevance in float32, on request in float16 without leaving its range.

onnxruntime's CPU computes float16 in float32 and drops the casts in between; what is to stay in float16 is run by
onnx's reference evaluator, which rounds at every step.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxlrp
from tests.operators.case import OURS, onnxruntime, reference
from tests.oracle import reference as evaluator
from tests.oracle.net import Net

Array = np.ndarray
COMPOSITES = ["epsilon_plus_flat", "epsilon", "epsilon_alpha2_beta1", "excitation_backprop", "attn_lrp", "gradient"]
SIZE = (3, 8, 8)


def network(scale: float = 1.0, *, pool: bool = True) -> onnx.ModelProto:
    """A stem, a residual sum, a pool and dense layers; `scale`: of the last, and so of the scores."""
    net = Net(3, x=SIZE)
    h = net.relu(net.conv("x", 8, pads=[1, 1, 1, 1]))
    h = net.relu(net.sum(net.conv(h, 8, pads=[1, 1, 1, 1]), h))
    h = net.max_pool(h, 2, strides=[2, 2]) if pool else h
    h = net.relu(net.conv(h, 6))
    model = net.output(net.gemm(net.relu(net.gemm(net.flatten(h), 8)), 5)).model(dynamic=True)
    last = model.graph.node[-1].input[1]
    model.graph.node[-1].output[0] = model.graph.output[0].name = "y"
    return narrowed(model, TensorProto.FLOAT, {last: scale})


def narrowed(model: onnx.ModelProto, kind: int, scales: dict[str, float] | None = None) -> onnx.ModelProto:
    """The model in another floating type."""
    wide = {TensorProto.FLOAT, TensorProto.DOUBLE}
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for value in (*made.graph.input, *made.graph.output):
        if value.type.tensor_type.elem_type in wide:
            value.type.tensor_type.elem_type = kind
    for tensor in made.graph.initializer:
        if tensor.data_type in wide:
            array = numpy_helper.to_array(tensor) * (scales or {}).get(tensor.name, 1.0)
            tensor.CopyFrom(numpy_helper.from_array(array.astype(helper.tensor_dtype_to_np_dtype(kind)), tensor.name))
    del made.graph.value_info[:]
    return made


def rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    """In float32, on what weights become in float16."""
    return narrowed(_wide(narrowed(model, TensorProto.FLOAT16)), TensorProto.FLOAT)


def _wide(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def island(model: onnx.ModelProto) -> onnx.ModelProto:
    """In float16 but for the first dense layer, and with inputs and outputs in float32."""
    made = narrowed(model, TensorProto.FLOAT16)
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


def pictures(count: int, seed: int = 0, kind: type = np.float32) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).normal(size=(count, *SIZE)).astype(np.float16).astype(kind)}


def distances(ours: Array, theirs: Array) -> Array:
    """Of every sample, relative."""
    a, b = (v.astype(np.float64).reshape(len(v), -1) for v in (ours, theirs))
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_relevance_of_the_rounded_values(composite):
    """The relevance part of a float16 model is float32's on the same weights and inputs."""
    model = network()
    half = narrowed(model, TensorProto.FLOAT16)
    ours = onnxruntime(onnxlrp.convert(half, composite).to_proto())(pictures(50, kind=np.float16))
    theirs = onnxruntime(onnxlrp.convert(rounded(model), composite).to_proto())(pictures(50))
    assert ours["x_relevance"].dtype == np.float32
    assert np.median(distances(ours["x_relevance"], theirs["x_relevance"])) < 1e-3


@pytest.mark.parametrize("change", [lambda m: narrowed(m, TensorProto.FLOAT16), island], ids=["whole", "island"])
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


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_float16_stays_in_range(composite, scale):
    """A thousand inputs, every step rounded to float16: finite, and near float32 with small and large scores too."""
    half = narrowed(network(scale), TensorProto.FLOAT16)
    x = pictures(1000 if (composite, scale) == ("epsilon_plus_flat", 1) else 100, kind=np.float16)
    ours = reference(onnxlrp.convert(half, composite, precision="model").to_proto())(x)["x_relevance"]
    theirs = reference(onnxlrp.convert(half, composite).to_proto())(x)["x_relevance"]
    assert np.isfinite(ours).all() and np.isfinite(theirs).all()
    assert np.median(distances(ours, theirs)) < 2e-2


@pytest.mark.parametrize(
    "options",
    [{"targets": 2}, {"ledger": True}, {"target": "weights"}, {"initial": "one"}],
    ids=lambda options: next(iter(options)),
)
def test_the_seed_has_its_size_again(options):
    """Whatever relevance starts from, its size is what it is in float32, also above what float16 holds."""
    half = narrowed(network(100.0), TensorProto.FLOAT16)
    x = pictures(20, kind=np.float16)
    if "targets" in options:
        x["target"] = np.array([[0, 3]])
    if "target" in options:
        x["y_weights"] = np.full([1, 1], 3000, np.float32)
    found = {}
    for precision in ("model", "float32"):
        feeds = dict(x)
        if precision == "model" and "y_weights" in x:
            feeds["y_weights"] = x["y_weights"].astype(np.float16)
        explained = onnxlrp.convert(half, "epsilon_plus", precision=precision, **options).to_proto()
        found[precision] = reference(explained)(feeds)
    for name in ("x_relevance", *(["relevance_ledger"] if "ledger" in options else [])):
        ours, theirs = (found[p][name].astype(np.float64) for p in ("model", "float32"))
        assert np.median(distances(ours, theirs)) < 5e-2 if name == "x_relevance" else True
        np.testing.assert_allclose(np.abs(ours).sum(), np.abs(theirs).sum(), rtol=0.1, err_msg=name)
        assert found["model"][name].dtype == np.float32


class Conv(evaluator.Conv):
    """NumPy's einsum knows no bfloat16."""

    def _run(self, x, w, b=None, **window):
        (y,) = super()._run(*(None if v is None else v.astype(np.float32) for v in (x, w, b)), **window)
        return (y.astype(x.dtype),)


def test_bfloat16():
    """The forward in bfloat16, relevance in float32; near float32 as far as 8 bits go. (The evaluator pools none.)"""
    model = network(pool=False)
    narrow = narrowed(model, TensorProto.BFLOAT16)
    explained = onnxlrp.convert(narrow, "epsilon_plus_flat").to_proto()
    run = ReferenceEvaluator(explained, new_ops=[*(o for o in OURS if o.__name__ != "Conv"), Conv])
    values = run.run(None, pictures(20, kind=ml_dtypes.bfloat16))
    ours = dict(zip((o.name for o in explained.graph.output), map(np.asarray, values), strict=True))
    theirs = onnxruntime(onnxlrp.convert(model, "epsilon_plus_flat").to_proto())(pictures(20))
    assert ours["x_relevance"].dtype == np.float32 and np.isfinite(ours["x_relevance"]).all()
    same = ours["y"].astype(float).argmax(1) == theirs["y"].argmax(1)
    assert same.sum() >= 15
    assert np.median(distances(ours["x_relevance"][same], theirs["x_relevance"][same])) < 5e-2
