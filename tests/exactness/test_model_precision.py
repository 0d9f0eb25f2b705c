"""`precision="model"`: the relevance of a float16 model in float16, finite whatever comes and near what float32 gives.

onnx's reference evaluator rounds at every step, as a GPU does; onnxruntime's CPU computes in float32 and leaves out
casts, and not the same ones everywhere.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import onnxlrp
from onnxlrp.rules import AlphaBeta
from tests.operators.case import onnxruntime, reference
from tests.oracle.half import distances, furthest, in_type, is_relevance
from tests.oracle.half_nets import OF_EVERY_KIND, SIZE, explained_model, network, pictures
from tests.oracle.net import Net

Array = np.ndarray
COMPOSITES = ["epsilon_plus_flat", "epsilon", "epsilon_alpha2_beta1", "excitation_backprop", "attn_lrp", "gradient"]
RELATIVE = "vgg_overview(low=-3, high=3)"
SIZES = (1.0, 1e3, 1e-4, 6e-8, 0.0)
"""Of inputs; 6e-8 is the smallest number there is."""


def both(model: onnx.ModelProto, composite: str, feeds: dict[str, Array], run=reference) -> tuple[dict, dict]:
    """All outputs with the relevance part in float16, and in float32."""
    half = in_type(model, TensorProto.FLOAT16)
    with np.errstate(all="ignore"):
        return tuple(run(onnxlrp.convert(half, composite, precision=p).to_proto())(feeds) for p in ("model", "float32"))  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_small_and_large_scores(composite, scale):
    """A thousand inputs, every step rounded to float16: finite, and near float32 with small and large scores too."""
    x = pictures(1000 if (composite, scale) == ("epsilon_plus_flat", 1) else 40, kind=np.float16)
    ours, theirs = (found["x_relevance"] for found in both(network(scale), composite, x))
    assert np.isfinite(ours).all() and np.isfinite(theirs).all()
    assert np.median(distances(ours, theirs)) < 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "epsilon_alpha2_beta1", "lrp0", RELATIVE])
@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_finite_whatever_the_input(name, composite):
    """Of every size, none and all the same, in one batch: wherever the model's own outputs are finite."""
    model, feeds = explained_model(name)
    kinds = [v.astype(np.float64) for v in feeds.values()]
    (key,) = feeds
    drawn = [(kinds[0][:8] * size).astype(np.float16) for size in SIZES]
    same = np.broadcast_to(kinds[0][:8].mean(tuple(range(1, kinds[0].ndim)), keepdims=True), kinds[0][:8].shape)
    batch = {key: np.concatenate([*drawn, same.astype(np.float16)])}
    for found in both(model, composite, batch):
        result = next(v for k, v in found.items() if k.endswith("_relevance")).reshape(len(batch[key]), -1)
        own = [v.reshape(len(v), -1) for k, v in found.items() if not k.endswith("_relevance")]
        good = np.all([np.isfinite(v).all(1) for v in own], axis=0)
        assert good.sum() >= 40 and np.isfinite(result[good]).all()


def steep() -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Inputs so small that factors of them are beyond float16; the first is 0, and so are its denominators."""
    rng = np.random.default_rng(7)
    net = Net(1, x=(16,))
    h = net.relu(net.gemm(net.relu(net.gemm("x", 16, bias=False)), 16, bias=False))
    model = net.output(net.gemm(h, 3)).model()
    dense = [node.input[1] for node in model.graph.node if node.op_type == "Gemm"]
    scales = dict(zip(dense, (1e4, 300.0), strict=False))
    feeds = rng.normal(size=(50, 16)) * 1e-6
    feeds[0] = 0
    return in_type(model, TensorProto.FLOAT, scales), {"x": np.where(feeds > 1e-6, 0, feeds).astype(np.float16)}


def cancelling() -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A score of 0.01 that is left of terms of 20,000, whose relevance is beyond float16 and of both signs."""
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        large (float[N, 1] x, float[N, 2] q) => (float[N, 1] y)
        <float[2] shift = {0, 0}, float[2, 1] last = {1, -1}, float[1] bias = {0.01}> {
            p = Add(x, shift)
            d = Sub(p, q)
            y = Gemm(d, last, bias)
        }""")
    return model, {"x": np.full((3, 1), 2e4, np.float16), "q": np.full((3, 2), 2e4 - 16, np.float16)}


def product() -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A slope that is beyond float16 once it is multiplied with its seed."""
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        product (float[N, 1, 2] x, float[N, 2, 1] q) => (float[N, 1, 1] y) { y = MatMul(x, q) }""")
    return model, {"x": np.full((3, 1, 2), 1e-5, np.float16), "q": np.full((3, 2, 1), 2e4, np.float16)}


@pytest.mark.parametrize(
    ("made", "composite"), [(steep, "epsilon"), (steep, "alpha"), (cancelling, "epsilon"), (product, "gradient")]
)
def test_what_is_beyond_float16_is_its_bound(made, composite):
    """Neither infinite, nor what becomes of two infinities or of one times 0."""
    model, feeds = made()
    rules = [("Gemm", AlphaBeta(2, 1, epsilon=1e-9))] if composite == "alpha" else []
    composite = "gradient" if composite == "gradient" else "epsilon"
    half = in_type(model, TensorProto.FLOAT16)
    explained = onnxlrp.convert(half, composite, rules=rules, precision="model").to_proto()
    with np.errstate(all="ignore"):
        ours = reference(explained)(feeds)
    assert all(np.isfinite(v).all() for v in ours.values())


@pytest.mark.parametrize("composite", ["attn_lrp", "gradient"])
@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_near_float32(name, composite):
    """Layers in float16, what divides more than once in float32: a few units of float16's last place."""
    model, feeds = explained_model(name)
    ours, theirs = both(model, composite, feeds)
    for relevance in (k for k in ours if k.endswith("_relevance")):
        off = furthest(ours[relevance], theirs[relevance])
        assert np.median(off) < 3e-3 and np.quantile(off, 0.9) < 2e-2


@pytest.mark.parametrize("precision", ["float32", "model"])
@pytest.mark.parametrize("composite", ["epsilon_alpha2_beta1", "gradient"])
def test_what_is_compared_is_rounded_alike(composite, precision):
    """Max and a global max pool look for the operand that is the output, on any runtime."""
    model, feeds = explained_model("smooth")
    half = in_type(model, TensorProto.FLOAT16)
    ours = onnxruntime(onnxlrp.convert(half, composite, precision=precision).to_proto())(feeds)
    theirs = onnxruntime(onnxlrp.convert(in_type(model, TensorProto.FLOAT), composite).to_proto())
    wide = theirs({k: v.astype(np.float32) for k, v in feeds.items()})
    assert np.median(furthest(ours["x_relevance"], wide["x_relevance"])) < 2e-2


def test_weights_are_modified_in_float32():
    """Only that is folded when the session is created."""
    explained = onnxlrp.convert(in_type(network(), TensorProto.FLOAT16), "epsilon_plus", precision="model").to_proto()
    weights = {t.name for t in explained.graph.initializer if len(t.dims) > 1}
    modified = [n for n in explained.graph.node if is_relevance(n) and weights.intersection(n.input)]
    assert {"Cast"} < {n.op_type for n in modified} <= {"Cast", "Gemm", "MatMul", "ConvTranspose", "Conv", "Transpose"}


def test_a_relative_stabiliser_of_large_values():
    """Squares of what lies above 255 are beyond float16; their mean is taken in float32."""
    x = pictures(20, kind=np.float16)
    x["x"] *= np.float16(300)
    ours, theirs = (found["x_relevance"] for found in both(network(), RELATIVE, x))
    assert np.median(distances(ours, theirs)) < 2e-2
    assert ours.shape[1:] == SIZE


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
