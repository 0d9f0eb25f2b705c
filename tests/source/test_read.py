"""What can be read: every kind of argument, opset and way of writing a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from onnxlrp.source.inference import infer
from onnxlrp.source.read import read
from tests import bundled
from tests.source.nets import IMAGE, SCORES, image, info, model, network, nodes, run, weights


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """What the plainest form of the network gives."""
    return run(onnxlrp.convert(network(), "epsilon_plus", output="y").to_proto(), image())


def check(proto: onnx.ModelProto, expected: dict[str, np.ndarray], **options) -> onnxlrp.Explained:
    """Another form of the same network gives the same."""
    explained = onnxlrp.convert(proto, "epsilon_plus", **options)
    outputs = run(explained.to_proto(), image())
    for name in outputs:
        np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-5, atol=1e-6)
    assert "x_relevance" in outputs
    return explained


def test_path_bytes_proto_and_ir_model(tmp_path, expected):
    proto = network()
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    sources = [path, str(path), path.read_bytes(), proto, ir.load(path)]
    converted = [check(source, expected, output="y") for source in sources]
    first, *others = [e.to_proto() for e in converted]
    for other in others:
        assert other.graph == first.graph


def test_the_callers_model_is_left_alone():
    proto = network(opset=13)
    before = proto.SerializeToString(deterministic=True)
    loaded = ir.serde.deserialize_model(proto)
    onnxlrp.convert(proto)
    onnxlrp.convert(loaded)
    assert proto.SerializeToString(deterministic=True) == before
    assert ir.serde.serialize_model(loaded).graph == ir.serde.serialize_model(ir.serde.deserialize_model(proto)).graph


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 20, 21])
def test_older_opsets_are_lifted(opset, expected):
    proto = network(opset, ir_version=3 if opset < 9 else 8)
    if opset < 9:
        # At IR 3 every initializer is listed as an input as well.
        proto.graph.input.extend(info(t.name, t.dims) for t in proto.graph.initializer)
    assert {o.domain: o.version for o in check(proto, expected, output="y").to_proto().opset_import} == {"": 21}


@pytest.mark.parametrize("opset", [22, 23, 24, 25, 26])
def test_newer_opsets_are_lowered(opset, expected):
    proto = network(opset, ir_version=11)
    explained = check(proto, expected, output="y").to_proto()
    assert {o.domain: o.version for o in explained.opset_import} == {"": 21}
    assert explained.ir_version <= 10


def test_opset_28_is_read():
    """onnxruntime-gpu 1.31 runs up to opset 26; the emitted model is at 21."""
    explained = onnxlrp.convert(network(28, ir_version=13), output="y").to_proto()
    assert {o.domain: o.version for o in explained.opset_import} == {"": 21}
    assert run(explained, image())["x_relevance"].shape == (2, 2, 6, 6)


def test_a_newer_opset_that_cannot_be_lowered_is_kept():
    """Swish came with opset 24."""
    swish = [helper.make_node("Gemm", ["x", "v"], ["h"]), helper.make_node("Swish", ["h"], ["y"])]
    proto = model(swish, [info("x", ["N", 4])], SCORES, {"v": weights()["v"]}, 24, ir_version=11)
    explained = onnxlrp.convert(proto, "gradient").to_proto()
    assert {o.domain: o.version for o in explained.opset_import} == {"": 24}
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_allclose(run(explained, {"x": x})["y"], run(proto, {"x": x})["y"], rtol=1e-5)


def test_no_default_domain(expected):
    """Some files import no opset of the default domain: the newest that is common is meant."""
    proto = network()
    del proto.opset_import[:]
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    check(proto, expected, output="y")


def test_ai_onnx_is_the_default_domain(expected):
    proto = network()
    del proto.opset_import[:]
    proto.opset_import.append(helper.make_opsetid("ai.onnx", 17))
    for node in proto.graph.node[::2]:
        node.domain = "ai.onnx"
    check(proto, expected, output="y")


def test_local_functions_are_inlined(expected):
    """A function of another opset than the model, and one inside another."""
    inner = helper.make_function(
        "local", "Act", ["i"], ["o"], [helper.make_node("Relu", ["i"], ["o"])], [helper.make_opsetid("", 17)]
    )
    body = [helper.make_node("Act", ["i"], ["m"], domain="local")]
    body.append(helper.make_node("MaxPool", ["m"], ["o"], kernel_shape=[2, 2], strides=[2, 2]))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    outer = helper.make_function("local", "Block", ["i"], ["o"], body, opsets)
    written = [n for n in nodes() if n.op_type not in ("Relu", "MaxPool")]
    written.insert(1, helper.make_node("Block", ["h0"], ["h2"], "block", domain="local"))
    more = {"functions": [inner, outer], "opsets": [helper.make_opsetid("local", 1)]}
    proto = model(written, IMAGE, [*SCORES, info("p", ["N", 3])], weights(), 17, **more)
    explained = check(proto, expected, output="y").to_proto()
    assert not explained.functions
    assert [o.domain for o in explained.opset_import] == [""]


def test_weights_as_constant_nodes(expected):
    made = [helper.make_node("Constant", [], [k], value=numpy_helper.from_array(v)) for k, v in weights().items()]
    check(model([*made, *nodes()], IMAGE, [*SCORES, info("p", ["N", 3])]), expected, output="y")


def test_weights_made_by_nodes(expected):
    """Half-precision weights, cast and scaled: chains that depend on no input."""
    halves = {f"{k}_half": np.round(v * 4) for k, v in weights().items()}
    made, rest = [], {"quarter": np.float32(0.25)}
    for name, value in halves.items():
        rest[name] = value.astype(np.float16)
        made.append(helper.make_node("Cast", [name], [f"{name}_wide"], to=1))
        made.append(helper.make_node("Mul", [f"{name}_wide", "quarter"], [name[:-5]]))
    chained = model([*made, *nodes()], IMAGE, [*SCORES, info("p", ["N", 3])], rest)
    plain = {k[:-5]: (v * 0.25).astype(np.float32) for k, v in halves.items()}
    direct = model(nodes(), IMAGE, [*SCORES, info("p", ["N", 3])], plain)
    outputs = [run(onnxlrp.convert(m, "epsilon_plus", output="y").to_proto(), image()) for m in (chained, direct)]
    for name in outputs[0]:
        np.testing.assert_allclose(outputs[0][name], outputs[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_also_listed_as_inputs(ir_version, expected):
    """They become plain initializers, and the plan says so."""
    proto = network(8, ir_version)
    proto.graph.input.extend(info(t.name, t.dims) for t in proto.graph.initializer)
    explained = check(proto, expected, output="y")
    assert [i.name for i in explained.to_proto().graph.input] == ["x", "target"]
    assert any("plain initializers" in note for note in explained.notes)


def test_unnamed_and_unsorted_nodes(expected):
    proto = network()
    reversed_nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(reversed_nodes)
    for node in proto.graph.node:
        node.name = "same" if node.op_type == "Relu" else ""
    names = [row.node for row in check(proto, expected, output="y").plan.rows()]
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "shape",
    [["N", 2, 6, 6], [None, 2, 6, 6], [-1, 2, 6, 6], ["N", 2, "H", "W"], [None, 2, None, None], [-1, 2, -1, -1]],
)
def test_symbolic_dimensions(shape, expected):
    """Named, unnamed or −1: declared as they were, and any size runs."""
    proto = network()
    proto.graph.input[0].CopyFrom(info("x", shape))
    explained = check(proto, expected, output="y")
    declared = explained.to_proto().graph.input[0].type.tensor_type.shape
    assert declared == proto.graph.input[0].type.tensor_type.shape
    if "H" in shape or shape[-1] in (None, -1):
        x = np.random.default_rng(1).normal(size=(3, 2, 9, 7)).astype(np.float32)
        assert run(explained.to_proto(), {"x": x})["x_relevance"].shape == (3, 2, 9, 7)


def test_wrong_declared_output_shapes_come_back():
    """What the source declares of its outputs is not trusted, and not lost."""
    proto = network()
    proto.graph.output[0].CopyFrom(info("y", ["rows", "seqlen", 7, 7]))
    explained = onnxlrp.convert(proto, "epsilon", output="y").to_proto()
    assert explained.graph.output[0] == proto.graph.output[0]


@pytest.mark.parametrize("rows", ["N", None, -1])
def test_a_number_for_a_size_that_varies_does_not_come_back(rows):
    """onnxruntime takes it for a fact: what was computed from the output's shape did not fit other batches."""
    x, scale = info("x", [rows, 4]), numpy_helper.from_array(np.array([1, 2, 3, 4], np.float32), "scale")
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["h"]),
        helper.make_node("Normalizer", ["h"], ["y"], domain="ai.onnx.ml", norm="L2"),
    ]
    graph = helper.make_graph(nodes, "rows", [x], [info("y", [1, 4])], [scale])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 1)]
    explained = onnxlrp.convert(helper.make_model(graph, opset_imports=opsets, ir_version=10), target="weights")
    said = f"output 'y' is declared [1,4], but is [{'N' if rows == 'N' else '?'},4]"
    assert said in explained.plan.notes
    found = run(explained.to_proto(), {"x": np.random.default_rng(1).random((7, 4), np.float32)})
    np.testing.assert_allclose(found["x_relevance"], found["y"], rtol=1e-5)


@pytest.mark.parametrize("path", bundled.FILES, ids=lambda p: p.stem)
def test_outputs_of_the_bundled_models(path):
    """The source's outputs within 1e-5, in their order and under their names."""
    proto = onnx.load(path)
    rng = np.random.default_rng(4)
    feeds = {}
    for value in proto.graph.input:
        shape = [d.dim_value or 2 for d in value.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        drawn = rng.uniform(size=shape) if dtype.kind == "f" else rng.integers(1, 5, shape)
        feeds[value.name] = drawn.astype(dtype)
    source = run(proto, feeds)
    explained = onnxlrp.convert(path, **bundled.options(path)).to_proto()
    outputs = run(explained, feeds)
    assert [o.name for o in explained.graph.output][: len(source)] == list(source)
    assert list(explained.graph.output)[: len(source)] == list(proto.graph.output)
    for name, value in source.items():
        if isinstance(value, list):
            for ours, theirs in zip(outputs[name], value, strict=True):
                assert ours == pytest.approx(theirs, rel=1e-5)
        else:
            np.testing.assert_allclose(outputs[name], value, rtol=1e-5, atol=1e-5)


def test_zipmap_comes_back():
    path = next(p for p in bundled.FILES if p.stem == "wine_mlp")
    source, explained = onnx.load(path), onnxlrp.convert(path)
    proto = explained.to_proto()
    assert [n for n in proto.graph.node if n.op_type == "ZipMap"] == [
        n for n in source.graph.node if n.op_type == "ZipMap"
    ]
    assert "ai.onnx.ml" in {o.domain for o in proto.opset_import}
    # Named as the user knows it, too.
    name = next(o.name for o in source.graph.output if not o.type.HasField("tensor_type"))
    assert onnxlrp.convert(path, output=name).to_proto().graph == proto.graph


# ---------------------------------------------------------------------------------------------------- external data


def save_external(folder: Path) -> Path:
    path = folder / "net.onnx"
    onnx.save_model(network(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_external_data_stays_lazy(tmp_path):
    initializers = read(save_external(tmp_path)).model.graph.initializers
    kept = [v.const_value for v in initializers.values() if v.name in weights()]
    assert len(kept) == 4
    assert all(isinstance(t, ir.ExternalTensor) for t in kept)


def test_external_data_is_found(tmp_path, monkeypatch, expected):
    """Beside the model, wherever the program runs; and of an onnx_ir model."""
    path = save_external(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    check(path, expected, output="y")
    check(ir.load(path), expected, output="y")


def test_missing_external_data_is_named(tmp_path):
    path = save_external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(onnxlrp.errors.InvalidModelError, match=r"weights\.bin"):
        onnxlrp.convert(path)


def test_a_question_mark_is_no_name_of_a_size():
    """paddle2onnx writes one for every size that varies: a row that is added to a matrix has another number of rows."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        "sum",
        [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["?", "?"]) for n in "ab"],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["?", "?"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    explainer = onnxlrp.Explainer(onnxlrp.convert(model, composite="gradient", target="weights"))
    a, b = np.ones((3, 4), np.float32), np.ones((1, 4), np.float32)
    relevance = explainer({"a": a, "b": b}).relevance
    np.testing.assert_array_equal(relevance["a"], a)
    np.testing.assert_array_equal(relevance["b"], 3 * b)


def dense(size: int, **options) -> onnx.ModelProto:
    nodes = [helper.make_node("Gemm", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    w = numpy_helper.from_array(np.ones((3, size), np.float32), "w")
    graph = helper.make_graph(nodes, "g", [info("x", ["N", 3])], [info("y", ["N", size])], [w], doc_string="remark")
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, **options)


@pytest.mark.parametrize("text", [b"plain", b"remark"])
def test_remarks_that_are_no_text(text):
    """They are read with marks in the place of what is no UTF-8, so that the explained model can be written."""
    proto = dense(2, producer_name="plain")
    explained = onnxlrp.convert(proto.SerializeToString().replace(text, b"\x91" + text[1:]), "epsilon")
    assert set(explained.interface.relevance) == {"x"}
    written = explained.to_proto()
    assert "\ufffd" + text.decode()[1:] in (written.producer_name, written.graph.doc_string)


@pytest.mark.parametrize("size", [3, 4000])
def test_weights_stay_weights_where_the_library_cannot_write_the_model_down(size):
    """Small ones are no inputs afterwards, and large ones keep their data."""
    model = read(dense(size)).model
    model.producer_name = b"\x91"  # type: ignore[assignment]
    infer(model)
    assert [v.name for v in model.graph.inputs] == ["x"]
    assert model.graph.initializers["w"].const_value.shape == (3, size)
