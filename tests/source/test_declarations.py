"""A file whose declarations of outputs or opsets are wrong is explained all the same, and keeps what it says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError, NothingToExplainError, TargetError
from tests.operators.case import onnxruntime

Array = np.ndarray
X = np.array([[0.2, 0.0, 1.0], [0.9, 0.0, 1.0]], np.float32)


def stump(shape: list | None, version: int = 2, batch: str | int = "N") -> onnx.ModelProto:
    """A tree of one comparison as CatBoost writes it: [N] is declared, the operator gives [N, 1]."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_treeids=[0] * 3,
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0] * 3,
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_GT", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[10.0, 20.0],
        n_targets=1,
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])
    graph = helper.make_graph([node], "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", version)], ir_version=3)


def dense(shape: list | None, batch: str | int = "N", kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A product whose output [N, 2] is declared otherwise."""
    weight = numpy_helper.from_array(np.float32([[1, 2], [3, -4], [5, 6]]), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", kind, shape)],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=8)


def declared(model: onnx.ModelProto) -> list[str | int] | None:
    """The shape that a model declares of its first output."""
    kind = model.graph.output[0].type.tensor_type
    return [d.dim_param or d.dim_value for d in kind.shape.dim] if kind.HasField("shape") else None


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("shape", [["N"], ["N", 1], ["N", 1, 1], [], None], ids=str)
def test_trees_declared_in_another_rank(shape, version):
    """Relevance by the rank that the operator gives; the declaration comes back. No default domain is imported."""
    source = stump(shape, version)
    explained = onnxlrp.convert(source)
    found = onnxlrp.Explainer(explained)({"x": X})
    np.testing.assert_allclose(found.relevance["x"], [[5, 0, 0], [-5, 0, 0]])
    np.testing.assert_array_equal(found.outputs["y"], onnxruntime(source)({"x": X})["y"])
    assert declared(explained.to_proto()) == shape
    assert any("declared" in note for note in explained.notes) == (shape not in (None, ["N", 1]))


@pytest.mark.parametrize(
    "options", [{"target": "weights"}, {"targets": 2}, {"target_input": "required"}, {"ledger": True}], ids=str
)
def test_options_in_another_rank(options):
    """Whatever else is asked for follows the rank that is."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(stump(["N"]), **options))
    more = {"weights": np.ones((2, 1), np.float32)} if "target" in options else {}
    found = explainer({"x": X}, **more).relevance["x"]
    np.testing.assert_allclose(found.reshape(2, -1, 3)[:, 0], [[5, 0, 0], [-5, 0, 0]])


@pytest.mark.parametrize("shape", [["N"], ["N", 1], ["N", 2, 1], [1, 2], [7, 2], []], ids=str)
def test_a_product_declared_otherwise(shape):
    """Another number of classes, of samples, or another rank."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(dense(shape), "epsilon"))
    found = explainer({"x": X}, target=1).relevance["x"]
    np.testing.assert_allclose(found, X * [2, -4, 6], rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("model", [stump, dense])
def test_a_fixed_batch(batch, model):
    """One class for all samples, one for each, the predicted ones, and more samples than one batch."""
    x = np.random.default_rng(batch).random((2 * batch, 3)).astype(np.float32)
    shape: list = [batch, 1] if model is stump else [batch, 2]
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(shape, batch=batch), "epsilon"))
    alone = onnxlrp.Explainer(onnxlrp.convert(model(["N", shape[1]]), "epsilon"))({"x": x}).relevance["x"]
    first = explainer({"x": x[:batch]})
    for target in (first.target, first.target.reshape(-1, 1)):
        same = explainer({"x": x[:batch]}, target=target).relevance["x"]
        np.testing.assert_array_equal(same, first.relevance["x"])
    assert explainer({"x": x[:batch]}, target=0).relevance["x"].shape == (batch, 3)
    mapped = np.concatenate([e.relevance["x"] for e in explainer.map({"x": x})])
    np.testing.assert_allclose(mapped, alone, rtol=1e-5)


def test_another_type_than_the_node_gives():
    """onnxruntime refuses such a source; explained, the output has its node's type, and the plan says so."""
    explained = onnxlrp.convert(dense(["N", 2], kind=TensorProto.DOUBLE), "epsilon")
    found = onnxlrp.Explainer(explained)({"x": X}, target=0)
    np.testing.assert_allclose(found.relevance["x"], X * [1, 3, 5], rtol=1e-4)
    assert any("DOUBLE" in note for note in explained.notes)


def folded(shape: list | None) -> onnx.ModelProto:
    """[2N, 2] upstream of which lies [N, 2]: inference cannot tell how many rows the Reshape makes."""
    return onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["": 21]>
        folded (float[N, 3] x) => (float{shape_text(shape)} y)
        <int64[2] column = {{-1, 1}}, float[3, 2] a = {{1, 2, 3, -4, 5, 6}}, float[1, 2] b = {{3, -2}}, float[2, 2] c =
         {{1, -1, 2, 1}}> {{
            h = MatMul(x, a)  i = Tanh(h)  j = MatMul(i, c)  k = Tanh(j)  l = Reshape(k, column)
            m = MatMul(l, b)  n = Tanh(m)  o = MatMul(n, c)  p = Sigmoid(o)  y = Mul(o, p)
        }}""")


def shape_text(shape: list | None) -> str:
    return "" if shape is None else str(shape).replace("'", "")


@pytest.mark.parametrize("shape", [["N", 2], ["N", "N"], [2, 2], [1, 1], ["N"]], ids=str)
def test_rows_that_nobody_can_count(shape):
    """Twice as many as the input's, where the file says otherwise: a name of a size is as wrong as a number."""
    plain, lying = onnxlrp.convert(folded(["M", 2])), onnxlrp.convert(folded(shape))
    assert declared(lying.to_proto()) == shape
    targets: list = [{}, {"target": 1}, {"target": [0, 1, 1, 0]}]
    for options in targets:
        expected = onnxlrp.Explainer(plain)({"x": X}, **options)
        found = onnxlrp.Explainer(lying)({"x": X}, **options)
        np.testing.assert_array_equal(found.relevance["x"], expected.relevance["x"])
        np.testing.assert_array_equal(found.outputs["y"], onnxruntime(folded(shape))({"x": X})["y"])
    alone = onnxlrp.Explainer(onnxlrp.convert(folded(shape), target_input="none"))({"x": X})
    np.testing.assert_array_equal(alone.relevance["x"], onnxlrp.Explainer(plain)({"x": X}).relevance["x"])


@pytest.mark.parametrize("shape", [["N", 2], [1, 1], ["N"]], ids=str)
def test_targets_that_do_not_exist(shape):
    """What there is decides, not what is declared, and the message says the same."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(dense(shape), "epsilon"))
    with pytest.raises(TargetError, match="'y' has the classes 0 to 1"):
        explainer({"x": X}, target=2)
    with pytest.raises(TargetError, match="3 values for target, but there are 2 samples"):
        explainer({"x": X}, target=[0, 1, 0])
    rows = onnxlrp.Explainer(onnxlrp.convert(folded(["M", 2])))
    with pytest.raises(InputError, match="does not run"):
        rows({"x": X}, target=[0, 1, 0])
    known = onnxlrp.Explainer(onnxlrp.convert(dense(shape), "epsilon", target="weights"))
    found = known({"x": X}, weights=np.float32([[1, 0], [0, 1]])).relevance["x"]
    np.testing.assert_allclose(found, X * [[1, 3, 5], [2, -4, 6]], rtol=1e-4)
    with pytest.raises(TargetError, match=r"weights \[2, 3\] do not fit 'y' \[2, 2\]"):
        known({"x": X}, weights=np.ones((2, 3), np.float32))


@pytest.mark.parametrize("inner", [False, True], ids=["weights", "inner values too"])
def test_declarations_of_inner_values_and_weights(inner):
    """Nothing is taken from them; nor from an input's that its weight contradicts."""
    source = dense(["N", 2])
    for name, kind, shape in (("w", TensorProto.DOUBLE, [7, 7]), ("y", TensorProto.FLOAT, [9]), ("x", 1, [5, 5])):
        source.graph.value_info.append(helper.make_tensor_value_info(name, kind, shape))
    source.graph.node[0].output[0] = "product"
    source.graph.node.append(helper.make_node("Relu", ["product"], ["y"]))
    if inner:
        source.graph.value_info.append(helper.make_tensor_value_info("product", TensorProto.FLOAT, [1, 1]))
    onnxruntime(source)({"x": X})
    found = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon"))({"x": X}, target=1)
    np.testing.assert_allclose(found.relevance["x"], X * [2, -4, 6], rtol=1e-4)


@pytest.mark.parametrize("shape", [["N", 4], ["N", 3, 1], []], ids=str)
def test_an_input_that_its_node_cannot_take(shape):
    """onnxruntime loads no such model; the node is named."""
    source = dense(["N", 2])
    source.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    source.graph.node[0].name = "first"
    with pytest.raises(InvalidModelError, match=r"MatMul node 'first' .* cannot be computed"):
        onnxlrp.convert(source)


def test_one_name_for_two_sizes():
    """A source may run on inputs of different sizes under one name, by luck: where a run fails, it is said why."""
    source = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        two (float[N, 3] x, float[N, 3] u) => (float[N, 2] y)
        <float[3, 2] a = {1, 2, 3, -4, 5, 6}, float[2, 2] b = {1, -1, 2, 1}, int64[1] rows = {0}> {
            h = MatMul(x, a)  i = Tanh(h)  j = MatMul(i, b)  k = Sigmoid(j)  l = Mul(j, k)
            o = MatMul(u, a)  p = Tanh(o)  q = MatMul(p, b)  r = Sigmoid(q)  s = Mul(q, r)
            t = ReduceMean(s, rows)  v = Add(l, t)  y = MatMul(v, b)
        }""")
    explainer = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon"))
    assert explainer({"x": X, "u": X}).relevance["u"].shape == (2, 3)
    with pytest.raises(InputError, match="'x' and one of 'u' the same name, N, but they are 2 and 8"):
        explainer({"x": X, "u": np.concatenate([X] * 4)})


def test_an_output_that_is_listed_twice():
    """Both entries become the copy that has the declaration."""
    proto = dense([2, 2])
    proto.graph.output.append(proto.graph.output[0])
    explained = onnxlrp.convert(proto)
    assert [o.name for o in explained.to_proto().graph.output][:2] == ["y", "y"]


def test_weights_that_are_an_output():
    """Their shape is a fact, whatever is declared."""
    proto = dense(["N", 2])
    proto.graph.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, None))
    explained = onnxlrp.convert(proto)
    assert explained.interface.relevance == {"x": "x_relevance"}
    assert not any("'w' is declared" in note for note in explained.notes)


def test_an_input_without_elements():
    """It has no relevance; an input beside it has."""
    proto = dense(["N", 2])
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 0
    with pytest.raises(NothingToExplainError, match="the input 'x' is declared empty"):
        onnxlrp.convert(proto)
    with pytest.raises(NothingToExplainError, match=r"'x' is declared of shape \[0,3\]: it is empty"):
        onnxlrp.convert(proto, inputs=["x"])
    proto = dense(["N", 2])
    proto.graph.node[0].input[0] = "both"
    proto.graph.node.insert(0, helper.make_node("Concat", ["past", "x"], ["both"], "join", axis=0))
    proto.graph.input.append(helper.make_tensor_value_info("past", TensorProto.FLOAT, [0, 3]))
    assert onnxlrp.convert(proto).interface.relevance == {"x": "x_relevance"}


def test_a_value_without_elements():
    proto = dense(["N", 2], batch=2)
    proto.graph.node[0].input[0] = "none"
    ends = [numpy_helper.from_array(np.array([i]), name) for i, name in ((2, "start"), (9, "end"))]
    proto.graph.initializer.extend(ends)
    proto.graph.node.insert(0, helper.make_node("Slice", ["x", "start", "end"], ["none"], "cut"))
    with pytest.raises(NothingToExplainError, match=r"'y' reaches none of the inputs: .*its output has no elements"):
        onnxlrp.convert(proto)
