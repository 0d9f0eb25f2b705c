"""The switch `explain`: on, the model is the one without a switch; off, it is the source."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from onnxlrp.finish import save
from onnxlrp.graph.call import graphs_of
from tests import bundled
from tests.finish.written_models import parsed, run

ort = pytest.importorskip("onnxruntime")

CNN = """<ir_version: 10, opset_import: ["": 17]>
net (float[N, 2, 8, 8] x) => (float[N, 3] y)
<float[4, 2, 3, 3] k, float[4] b, float[3, 64] w, int64[2] shape = {0, -1}> {
    h = Conv <pads = [1, 1, 1, 1]> (x, k, b)
    r = Relu (h)
    p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
    f = Reshape (p, shape)
    y = Gemm <transB = 1> (f, w)
}"""
LOOP = """<ir_version: 10, opset_import: ["": 21]>
net (float[N, 4] x) => (float[N, 4] y)
<float[4, 4] w = {1, 0, 2, 0, 0, 1, 0, 0, 1, 0, -1, 0, 0, 2, 0, 1}, int64 n = {3}, bool yes = {1}> {
    y = Loop (n, yes, x) <body = body (int64 i, bool c, float[N, 4] h) => (bool d, float[N, 4] g) {
        d = Identity (c)
        z = MatMul (h, w)
        g = Tanh (z)
    }>
}"""
GROWING = """<ir_version: 10, opset_import: ["": 21]>
net (float[N, 2] x) => (float[M, 2] y)
<float[2, 2] w = {1, 2, -1, 1}, int64 n = {3}, bool yes = {1}> {
    y = Loop (n, yes, x) <body = body (int64 i, bool c, float[K, 2] h) => (bool d, float[L, 2] g) {
        d = Identity (c)
        z = MatMul (h, w)
        t = Tanh (z)
        g = Concat <axis = 0> (t, x)
    }>
}"""
SCAN = """<ir_version: 10, opset_import: ["": 21]>
net (float[T, 4] x, float[4] s) => (float[4] y, float[T, 4] all)
<float[4, 4] w = {1, 0, 2, 0, 0, 1, 0, 0, 1, 0, -1, 0, 0, 2, 0, 1}> {
    y, all = Scan <num_scan_inputs = 1, body = body (float[4] h, float[4] e) => (float[4] g, float[4] o) {
        a = Add (h, e)
        z = MatMul (a, w)
        g = Tanh (z)
        o = Identity (g)
    }> (s, x)
}"""
LINEAR = """<ir_version: 10, opset_import: ["": 21]>
net (float[N, 4] x) => (float[N, 3] y) <float[4, 3] w> { y = MatMul (x, w) }"""


def feeds_of(model: onnx.ModelProto, samples: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = {v.name: [d.dim_value or samples for d in v.type.tensor_type.shape.dim] for v in model.graph.input}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def switch(value: bool, name: str = "explain") -> dict[str, np.ndarray]:
    return {name: np.array([value])}


def assert_switched(source: onnx.ModelProto, feeds: dict, **options) -> onnx.ModelProto:
    """Compare an explained model with a switch to the one without, and to the source; returns it."""
    plain = onnxlrp.convert(source, **options).to_proto()
    explained = onnxlrp.convert(source, on_demand=True, **options)
    proto, name = explained.to_proto(), explained.interface.explain_input
    onnx.checker.check_model(proto, full_check=True)
    wanted, own, on = run(plain, feeds), run(source, feeds), run(proto, feeds)
    off = run(proto, {**feeds, **switch(False, name)})
    assert list(on) == list(off) == list(wanted)
    for output, value in wanted.items():
        np.testing.assert_array_equal(on[output], value)
        if output in own:
            np.testing.assert_array_equal(off[output], own[output])
        else:
            assert off[output].shape[0] == 0 and off[output].dtype == value.dtype
            assert off[output].ndim == max(value.ndim, 1)
    return proto


def branches(proto: onnx.ModelProto) -> dict[str, onnx.GraphProto]:
    return {a.name: a.g for a in proto.graph.node[-1].attribute}


@pytest.mark.parametrize("text", [CNN, LOOP, GROWING, SCAN, LINEAR], ids=["cnn", "loop", "growing", "scan", "linear"])
def test_on_is_without_a_switch_and_off_is_the_source(text):
    source = parsed(text)
    assert_switched(source, feeds_of(source), target="weights")


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in bundled.FILES if p.stem != "efficientnet_lite0"], ids=lambda p: p.stem)
def test_bundled_models(path):
    """Both ways compared on random inputs by the check of `convert`."""
    explained = onnxlrp.convert(path, on_demand=True, check=True, **bundled.options(path))
    assert explained.comparison.outputs and not explained.comparison.skipped


OPTIONS = {
    "ledger": {"ledger": True},
    "targets": {"targets": 2},
    "element": {"target": "element"},
    "inner values": {"relevance_at": ["r"]},
    "coefficients": {"coefficients_at": ["r"]},
    "reference": {"composite": "deep_lift(baseline='input')"},
    "no target": {"target_input": "none"},
    "concepts": {"concepts": ["r"]},
    "reduced": {"reduce": "grid=2+top=3"},
    "inner values alone": {"relevance_at": ["r"], "inputs": []},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_added_output_is_empty(options):
    source = parsed(CNN)
    assert_switched(source, feeds_of(source), **options)


def test_the_portable_profile_requires_the_switch():
    source = parsed(CNN)
    feeds = feeds_of(source)
    plain, switched = (
        onnxlrp.Explainer(onnxlrp.convert(source, on_demand=way, profile="portable")) for way in (False, True)
    )
    assert switched.interface.required
    np.testing.assert_array_equal(switched(feeds).relevance["x"], plain(feeds).relevance["x"])
    np.testing.assert_array_equal(switched(feeds, explain=False).outputs["y"], run(source, feeds)["y"])


def test_added_outputs_have_symbols_of_their_own():
    proto = onnxlrp.convert(parsed(CNN), on_demand=True, ledger=True).to_proto()
    shapes = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.output]
    first = [shape[0] for shape in shapes]
    assert first == ["N", "x_relevance_0", "relevance_ledger_0"]
    assert shapes[1][1:] == [2, 8, 8]


@pytest.mark.parametrize("target_input", ["optional", "required", "none"])
def test_the_switch_is_optional_unless_targets_are_required(target_input):
    proto = onnxlrp.convert(parsed(CNN), on_demand=True, target_input=target_input).to_proto()
    assert [v.name for v in proto.graph.input][-1] == "explain"
    assert ("explain" in {t.name for t in proto.graph.initializer}) == (target_input != "required")


def test_a_name_that_the_source_has():
    source = parsed(CNN.replace("h = Conv", "explain = Conv").replace("Relu (h)", "Relu (explain)"))
    explained = onnxlrp.convert(source, on_demand=True)
    assert explained.interface.explain_input == "explain_1"
    explainer = onnxlrp.Explainer(explained)
    assert not explainer(feeds_of(source), explain=False).relevance


def test_weights_are_stored_once():
    source = parsed(LINEAR)
    source.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 400
    weight = np.ones((400, 3), np.float32)
    source.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    proto = onnxlrp.convert(source, on_demand=True).to_proto()
    assert proto.ByteSize() < source.ByteSize() + 8000
    assert all(len(t.raw_data) <= 1024 for branch in branches(proto).values() for t in branch.initializer)


def test_convolutions_have_constants_of_their_branch():
    """The Concat is folded to a constant of the branch, by which onnxruntime lays out the weight in blocks."""
    source = parsed(
        CNN.replace("[4, 2, 3, 3] k, float[4] b", "[32, 2, 3, 3] k, float[32] b").replace("[3, 64]", "[3, 512]")
    )
    proto = assert_switched(source, feeds_of(source))
    outer = {t.name for t in proto.graph.initializer}
    for branch in branches(proto).values():
        read = [n.input[1] for n in branch.node if n.op_type == "Conv"]
        assert read and not {*read} & outer


def test_the_model_alone_has_the_shapes_that_the_source_declares():
    """By shapes that the source does not tell, onnxruntime would fuse what it does not fuse in the source."""
    source = parsed(CNN)
    declared = helper.make_tensor_value_info("r", 1, ["N", 4, 8, 8])
    source.graph.value_info.append(declared)
    told = branches(onnxlrp.convert(source, on_demand=True).to_proto())["else_branch"].value_info
    names = [value.name.removesuffix("_alone") for value in told]
    assert [name for name in names if name in ("h", "r", "p", "f")] == ["r"]


def test_a_loop_keeps_nothing_for_relevance_when_it_is_off():
    for text, count in ((LOOP, 1), (GROWING, 1), (SCAN, 2)):
        proto = onnxlrp.convert(parsed(text), on_demand=True, target="weights").to_proto()
        (loop,) = [n for n in branches(proto)["else_branch"].node if n.op_type in ("Loop", "Scan")]
        body = next(a.g for a in loop.attribute if a.name == "body")
        assert len(loop.output) == count
        assert len(body.output) == count + (loop.op_type == "Loop")


def forest() -> onnx.ModelProto:
    """A tree whose attributes are long, as those of a hundred trees."""
    count = 4001
    inner = (count - 1) // 2
    node = helper.make_node(
        "TreeEnsembleRegressor", ["scaled"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0] * count, nodes_nodeids=list(range(count)), nodes_featureids=[i % 4 for i in range(count)],
        nodes_modes=["BRANCH_LEQ"] * inner + ["LEAF"] * (count - inner),
        nodes_values=[0.1 * (i % 7) for i in range(count)],
        nodes_truenodeids=[2 * i + 1 for i in range(inner)] + [0] * (count - inner),
        nodes_falsenodeids=[2 * i + 2 for i in range(inner)] + [0] * (count - inner),
        target_treeids=[0] * (count - inner), target_nodeids=list(range(inner, count)),
        target_ids=[0] * (count - inner), target_weights=[float(i % 5) for i in range(count - inner)],
    )  # fmt: skip
    x, y = (helper.make_tensor_value_info(n, 1, ["N", s]) for n, s in (("x", 4), ("y", 1)))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    two = helper.make_tensor("two", 1, [], [2.0])
    scale = helper.make_node("Mul", ["x", "two"], ["scaled"])
    return helper.make_model(
        helper.make_graph([scale, node], "forest", [x], [y], [two]), opset_imports=opsets, ir_version=10
    )


def test_large_attributes_are_stored_once():
    source = forest()
    proto = assert_switched(source, feeds_of(source))
    assert [n.op_type for n in proto.graph.node] == ["Mul", "TreeEnsembleRegressor", "If"]


def test_float16_stays_in_the_main_graph():
    """onnxruntime would convert the weights of a branch in every run."""
    source = parsed(CNN)
    for value in (*source.graph.input, *source.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for tensor in source.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            halves = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(halves, tensor.name))
    proto, plain = (onnxlrp.convert(source, on_demand=way).to_proto() for way in (True, False))
    assert {"Conv", "Gemm", "If"} <= {node.op_type for node in proto.graph.node}
    feeds = {name: value.astype(np.float16) for name, value in feeds_of(source).items()}
    off, on, wanted = run(proto, {**feeds, **switch(False)}), run(proto, feeds), run(plain, feeds)
    np.testing.assert_allclose(off["y"], wanted["y"], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(on["x_relevance"], wanted["x_relevance"], rtol=2e-2, atol=2e-3)
    assert off["x_relevance"].shape[0] == 0


def test_maps_of_scores_stay():
    source = parsed(LINEAR)
    source.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    zipmap = helper.make_node("ZipMap", ["y"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"])
    source.graph.node.append(zipmap)
    kind = onnx.TypeProto()
    kind.sequence_type.elem_type.map_type.key_type = onnx.TensorProto.STRING
    kind.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del source.graph.output[:]
    source.graph.output.append(helper.make_value_info("maps", kind))
    feeds = feeds_of(source)
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, on_demand=True))
    off = explainer(feeds, explain=False)
    assert off.outputs["maps"] == run(source, feeds)["maps"] and explainer.class_names == ("a", "b", "c")


def test_an_output_that_is_an_input():
    source = parsed(LINEAR)
    source.graph.output.append(source.graph.input[0])
    feeds = feeds_of(source)
    off = onnxlrp.Explainer(onnxlrp.convert(source, on_demand=True))(feeds, explain=False)
    np.testing.assert_array_equal(off.outputs["x"], feeds["x"])


def test_weights_of_another_file(tmp_path):
    """Shared weights stay in the source's file."""
    source = parsed(CNN.replace("float[3, 64] w", "float[30, 64] w").replace("float[N, 3] y", "float[N, 30] y"))
    onnx.save(source, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=2000)
    explained = onnxlrp.convert(tmp_path / "m.onnx", on_demand=True)
    explained.save(tmp_path / "lrp.onnx", share_weights=True)
    explainer, feeds = onnxlrp.Explainer(tmp_path / "lrp.onnx"), feeds_of(source)
    expected = onnxlrp.Explainer(onnxlrp.convert(tmp_path / "m.onnx"))(feeds)
    np.testing.assert_array_equal(explainer(feeds).relevance["x"], expected.relevance["x"])
    assert not explainer(feeds, explain=False).relevance
    assert (tmp_path / "lrp.onnx").stat().st_size < 30 * 64 * 4 + 20000


def test_weights_past_the_limit_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(save, "_LIMIT", 2000)
    source = parsed(CNN.replace("float[3, 64] w", "float[30, 64] w").replace("float[N, 3] y", "float[N, 30] y"))
    onnxlrp.convert(source, on_demand=True).save(tmp_path / "lrp.onnx")
    assert (tmp_path / "lrp.onnx.data").stat().st_size == 30 * 64 * 4
    explainer, feeds = onnxlrp.Explainer(tmp_path / "lrp.onnx"), feeds_of(source)
    np.testing.assert_array_equal(explainer(feeds, explain=False).outputs["y"], run(source, feeds)["y"])
    assert explainer(feeds).relevance["x"].shape == feeds["x"].shape


def test_conversion_is_reproducible():
    source = parsed(LOOP)
    once, again = (onnxlrp.convert(source, on_demand=True, target="weights").to_proto() for _ in range(2))
    assert once.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)


def test_nodes_of_the_model_say_no_rule():
    """The branch without relevance holds the source's own nodes, and empty constants that are marked."""
    explained = onnxlrp.convert(parsed(CNN), on_demand=True)
    alone = [n for n in explained._source.model.graph if graphs_of(n)]
    marked = {n.op_type for n in branches(explained.to_proto())["else_branch"].node if n.metadata_props}
    assert len(alone) == 1 and marked == {"Constant"}
