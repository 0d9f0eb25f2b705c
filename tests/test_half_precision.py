"""float16 and bfloat16, whole or in part: relevance in float32, on request in float16 without leaving its range.

onnxruntime's CPU computes float16 in float32 and drops the casts in between; what is to stay in float16 is run by
onnx's reference evaluator, which rounds at every step.
"""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxlrp
from tests.operators.case import OURS, onnxruntime, reference
from tests.oracle import reference as evaluator
from tests.oracle.half import furthest, in_type, on_rounded_weights, on_the_same_values
from tests.oracle.net import Net
from tests.oracle.zoo import NETS

Array = np.ndarray
COMPOSITES = ["epsilon_plus_flat", "epsilon", "epsilon_alpha2_beta1", "excitation_backprop", "attn_lrp", "gradient"]
SIZE = (3, 8, 8)
MODELS = Path(__file__).parent.parent / "models"


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
    return in_type(model, TensorProto.FLOAT, {last: scale})


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


def pictures(count: int, seed: int = 0, kind: type = np.float32) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).normal(size=(count, *SIZE)).astype(np.float16).astype(kind)}


def distances(ours: Array, theirs: Array) -> Array:
    """Of every sample, relative."""
    a, b = (v.astype(np.float64).reshape(len(v), -1) for v in (ours, theirs))
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


def attention() -> onnx.ModelProto:
    """A block of one head, with norms and a gated unit."""
    rng = np.random.default_rng(4)
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        block (float[N, 5, 8] x) => (float[N, 4] y) {
            q = MatMul(x, wq)  k = MatMul(x, wk)  v = MatMul(x, wv)
            turned = Transpose <perm = [0, 2, 1]> (k)
            scores = MatMul(q, turned)
            scaled = Mul(scores, small)
            weights = Softmax <axis = -1> (scaled)
            mixed = MatMul(weights, v)
            sum = Add(x, mixed)
            normal = LayerNormalization <axis = -1> (sum, gamma, beta)
            up = MatMul(normal, wu)  gate = MatMul(normal, wg)
            opened = Sigmoid(gate)
            gated = Mul(up, opened)
            pooled = ReduceMean <keepdims = 0> (gated, one)
            y = Gemm(pooled, last, bias)
        }""")
    shapes = {"wq": (8, 8), "wk": (8, 8), "wv": (8, 8), "gamma": 8, "beta": 8, "wu": (8, 6), "wg": (8, 6)}
    drawn = {k: rng.normal(size=v) for k, v in {**shapes, "last": (6, 4), "bias": 4}.items()}
    constants = {k: v.astype(np.float32) for k, v in {**drawn, "small": np.array(8**-0.5)}.items()}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    return model


def explained_model(name: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model by its name, and 20 inputs that float16 holds."""
    rng = np.random.default_rng(2)
    if name == "digits_lstm":
        rows = np.load(MODELS / "digits_lstm/samples.npz")["rows"]
        return onnx.load(MODELS / "digits_lstm/digits_lstm.onnx"), {"rows": rows[:20].astype(np.float16)}
    if name in NETS:
        net = NETS[name]()
        return net.model(), {k: v.astype(np.float16) for k, v in net.feeds(20).items()}
    return attention(), {"x": rng.normal(size=(20, 5, 8)).astype(np.float16)}


@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "epsilon_alpha2_beta1", "attn_lrp", "gradient"])
@pytest.mark.parametrize("name", ["residual", "depthwise", "smooth", "transposed", "mixer", "attention", "digits_lstm"])
def test_relevance_of_the_rounded_values(name, composite):
    """The relevance part of a float16 model is float32's on the very values that the model had, of every input."""
    model, feeds = explained_model(name)
    half = onnxlrp.convert(in_type(model, TensorProto.FLOAT16), composite).to_proto()
    wide = onnxlrp.convert(on_rounded_weights(model), composite).to_proto()
    ours, theirs = on_the_same_values(half, wide, feeds)
    for relevance in theirs:
        assert ours[relevance].dtype == np.float32
        assert furthest(ours[relevance], theirs[relevance]).max() < 1e-4


@pytest.mark.parametrize("name", ["residual", "depthwise", "smooth", "transposed", "mixer", "attention", "digits_lstm"])
def test_everything_is_float32_first(name):
    """Of float16 the relevance part reads nothing but shapes, and the score that chooses the class, before a Cast; and
    no value, weights above all, is cast twice."""
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
        assert node.op_type in ("Cast", "Shape", "Size"), node
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


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_float16_stays_in_range(composite, scale):
    """A thousand inputs, every step rounded to float16: finite, and near float32 with small and large scores too."""
    half = in_type(network(scale), TensorProto.FLOAT16)
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
    half = in_type(network(100.0), TensorProto.FLOAT16)
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
    narrow = in_type(model, TensorProto.BFLOAT16)
    explained = onnxlrp.convert(narrow, "epsilon_plus_flat").to_proto()
    run = ReferenceEvaluator(explained, new_ops=[*(o for o in OURS if o.__name__ != "Conv"), Conv])
    values = run.run(None, pictures(20, kind=ml_dtypes.bfloat16))
    ours = dict(zip((o.name for o in explained.graph.output), map(np.asarray, values), strict=True))
    theirs = onnxruntime(onnxlrp.convert(model, "epsilon_plus_flat").to_proto())(pictures(20))
    assert ours["x_relevance"].dtype == np.float32 and np.isfinite(ours["x_relevance"]).all()
    same = ours["y"].astype(float).argmax(1) == theirs["y"].argmax(1)
    assert same.sum() >= 15
    assert np.median(distances(ours["x_relevance"][same], theirs["x_relevance"][same])) < 5e-2
