"""Sizes that are known by name only are declared inside the explained model: sessions are slow to create without."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxlrp


def _picture_network() -> onnx.ModelProto:
    """Strided convolutions of pictures of any size, and a dense layer over the mean."""
    rng = np.random.default_rng(0)
    weights = {
        "first": rng.normal(size=(4, 3, 3, 3)),
        "first_bias": rng.normal(size=4),
        "second": rng.normal(size=(4, 4, 3, 3)),
        "dense": rng.normal(size=(4, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "first", "first_bias"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["a"], ["s"]),
        helper.make_node("Mul", ["a", "s"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("MatMul", ["f", "dense"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pictures",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_alpha2_beta1", "gradient"])
def test_the_pictures_of_the_relevance_part_have_named_sizes(composite):
    proto = onnxlrp.convert(_picture_network(), composite=composite).to_proto()
    declared = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.value_info
    }
    made = [n for n in proto.graph.node if n.op_type in ("Conv", "Mul", "Div", "Add", "Max", "Min", "Where")]
    pictures = [declared[v] for n in made for v in n.output if v in declared and len(declared[v]) == 4]
    assert len(pictures) >= 8
    assert all(all(dims) for dims in declared.values())
    layers = [n.output[0] for n in proto.graph.node if n.op_type == "Conv"]
    assert [v for v in layers if v not in declared] == []


@pytest.mark.parametrize("composite", ["epsilon_plus", "gradient"])
def test_any_size_runs_and_one_target_serves_a_batch(composite):
    explained = onnxlrp.convert(_picture_network(), composite=composite)
    source = onnxruntime.InferenceSession(_picture_network().SerializeToString(), providers=["CPUExecutionProvider"])
    explainer = onnxlrp.Explainer(explained, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for shape in [(1, 3, 8, 8), (4, 3, 9, 14), (2, 3, 5, 7)]:
        x = rng.normal(size=shape).astype(np.float32)
        together = explainer({"x": x}, target=2)
        np.testing.assert_allclose(together.outputs["y"], source.run(None, {"x": x})[0], rtol=1e-5)
        for row in range(shape[0]):
            alone = explainer({"x": x[row : row + 1]}, target=[2]).relevance["x"][0]
            np.testing.assert_allclose(together.relevance["x"][row], alone, rtol=1e-4, atol=1e-6)


def test_names_that_the_source_declares_are_not_taken_for_others():
    """Where a tool that counts unknown sizes from `unk__0`, as inference does, wrote them into a quantised model."""
    source = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        quantised (float[N, 8] x) => (float[N, 3] y)
        <float s = {0.1}, int8 z = {0}, int64[2] pairs = {-1, 2}, int64[2] fours = {-1, 4}, int64[2] rows = {-1, 8},
         int8[unk__1, 2] qa, float[unk__1, 2] da, int8[unk__0, 4] qb, float[unk__0, 4] db> {
            a = Reshape(x, pairs)  qa = QuantizeLinear(a, s, z)  da = DequantizeLinear(qa, s, z)
            b = Reshape(x, fours)  qb = QuantizeLinear(b, s, z)  db = DequantizeLinear(qb, s, z)
            m = MatMul(da, first)  n = MatMul(db, second)
            mr = Reshape(m, rows)  nr = Reshape(n, rows)
            h = Add(mr, nr)
            y = MatMul(h, last)
        }""")
    rng = np.random.default_rng(0)
    for name, shape in {"first": (2, 2), "second": (4, 4), "last": (8, 3)}.items():
        source.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    proto = onnxlrp.convert(source, "epsilon").to_proto()
    declared = [*proto.graph.value_info, *(o for o in proto.graph.output if o.name != "y")]
    assert {"unk__0", "unk__1"} < {d.dim_param for v in declared for d in v.type.tensor_type.shape.dim}
    made = ReferenceEvaluator(_all_outputs(proto, declared)).run(
        None, {"x": rng.normal(size=(3, 8)).astype(np.float32)}
    )
    sizes: dict[str, set[int]] = {}
    for value, array in zip(declared, made, strict=True):
        for dim, size in zip(value.type.tensor_type.shape.dim, array.shape, strict=True):
            sizes.setdefault(dim.dim_param, set()).add(size)
    assert len(sizes) > 3 and [name for name, found in sizes.items() if name and len(found) > 1] == []


def _all_outputs(proto: onnx.ModelProto, values: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    del made.graph.output[:]
    made.graph.output.extend(values)
    return made
