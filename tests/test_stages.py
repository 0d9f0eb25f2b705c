"""What each stage ensures is noticed where it does not hold. Every other test asserts that it holds."""

from __future__ import annotations

import onnx_ir as ir
import pytest

import onnxlrp
from onnxlrp.analysis.facts import analyse
from onnxlrp.composites import parse
from onnxlrp.finish.finished_spec import check_emitted, check_finished
from onnxlrp.plan import Plan, make_plan
from onnxlrp.plan.plan_spec import check_plan
from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.read import read
from onnxlrp.source.spec import check_canonical, check_read
from tests.plan.models import model
from tests.stages import StageError

TEXT = """g (float[N,3,6,6] x) => (float[N,2] y) <float[4] shift = {1,2,3,4}> {
    a = Conv<pads=[1,1,1,1]>(x, k) b = Relu(a) p = GlobalAveragePool(b) f = Flatten(p) y = Gemm(f, w) }"""
WEIGHTS = {"k": (4, 3, 3, 3), "w": (4, 2)}


def source() -> ir.Model:
    found = read(model(TEXT, WEIGHTS)).model
    canonicalise(found)
    return found


def node(found: ir.Model, op_type: str) -> ir.Node:
    return next(n for n in found.graph if n.op_type == op_type)


def insert(found: ir.Model, op_type: str, *inputs: ir.Value | None, **options) -> ir.Node:
    """A node upstream of the ReLU, in the place of its operand."""
    attributes = {k: options.pop(k) for k in list(options) if k != "domain"}
    made = ir.node(op_type, list(inputs), attributes, name=f"{op_type}_new", **options)
    made.outputs[0].name, made.outputs[0].type = f"{op_type}_out", ir.TensorType(ir.DataType.FLOAT)
    made.outputs[0].shape = inputs[0] and inputs[0].shape
    found.graph.insert_before(node(found, "Relu"), made)
    node(found, "Relu").replace_input_with(0, made.outputs[0])
    return made


def opset(found):
    found.graph.opset_imports[""] = 17


def name_twice(found):
    node(found, "Relu").name = node(found, "Conv").name


def value_twice(found):
    node(found, "Relu").outputs[0].name = node(found, "Conv").outputs[0].name


def order(found):
    conv = node(found, "Conv")
    found.graph.remove(conv)
    found.graph.append(conv)


def foreign(found):
    insert(found, "Odd", node(found, "Conv").outputs[0], domain="my.domain")


def no_type(found):
    node(found, "Relu").outputs[0].type = None


def constant(found):
    made = ir.node("Constant", [], {"value_float": 1.0}, name="one")
    found.graph.insert_before(node(found, "Conv"), made)


def no_shape(found):
    found.graph.initializers["w"].shape = None


def function(found):
    found.functions[("d", "f", "")] = ir.Function("d", "f", graph=ir.Graph([], [], nodes=[]), attributes=())


def an_input(found):
    found.graph.inputs.append(found.graph.initializers["w"])


@pytest.mark.parametrize(
    ("break_", "law"),
    [
        (opset, "the_opset_is_ours_or_newer"),
        (name_twice, "node_names_tell_nodes_apart"),
        (value_twice, "values_have_names_of_their_own"),
        (order, "values_are_computed_before_they_are_read"),
        (foreign, "operators_have_a_version"),
        (no_type, "values_know_their_type"),
        (constant, "constants_are_initializers"),
        (no_shape, "initializers_know_their_type_and_shape"),
        (function, "functions_are_written_out"),
        (an_input, "initializers_are_no_inputs"),
    ],
)
def test_a_model_that_was_read(break_, law):
    found = source()
    assert check_read(found) == []
    break_(found)
    assert law in {sentence.partition(":")[0] for sentence in check_read(found)}


def identity(found):
    insert(found, "Identity", node(found, "Conv").outputs[0])


def cast_like(found):
    x = node(found, "Conv").outputs[0]
    insert(found, "CastLike", x, x)


def batch_norm(found):
    shift = ir.val("shift", ir.DataType.FLOAT, [4], const_value=ir.tensor([1.0, 2.0, 3.0, 4.0], name="shift"))
    found.graph.register_initializer(shift)
    insert(found, "BatchNormalization", node(found, "Conv").outputs[0], *[shift] * 4)


def unread(found):
    found.graph.append(ir.node("Relu", [node(found, "Conv").outputs[0]], name="idle"))


def factor(found):
    node(found, "Gemm").attributes["alpha"] = ir.AttrFloat32("alpha", 2.0)


def transposed(found):
    node(found, "Gemm").attributes["transA"] = ir.AttrInt64("transA", 1)


def vector(found):
    x = node(found, "Conv").outputs[0]
    made = insert(found, "MatMul", x, x)
    x.shape = made.outputs[0].shape = ir.Shape([4])


def a_list(found):
    x = node(found, "Conv").outputs[0]
    made = insert(found, "SequenceConstruct", x)
    insert(found, "ConcatFromSequence", made.outputs[0], axis=0)


@pytest.mark.parametrize(
    ("break_", "law"),
    [
        (identity, "identities_compute_outputs_only"),
        (cast_like, "casts_name_their_type"),
        (batch_norm, "batch_norms_belong_to_layers"),
        (unread, "every_node_is_needed"),
        (factor, "products_have_no_factors"),
        (transposed, "data_is_not_transposed_in_products"),
        (vector, "products_of_data_are_of_matrices"),
        (a_list, "lists_of_known_tensors_are_taken_apart"),
    ],
)
def test_a_canonical_model(break_, law):
    found = source()
    assert check_canonical(found) == []
    break_(found)
    assert law in {sentence.partition(":")[0] for sentence in check_canonical(found)}


def test_weights_inside_of_bodies():
    text = """g (float[N,64] x, bool c) => (float[N,64] y) {
        y = If (c) < then_branch = t () => (float[N,64] u) { u = MatMul(x, big) },
                     else_branch = e () => (float[N,64] v) { v = Relu(x) } > }"""
    found = read(model(text, {"big": (64, 64)})).model
    canonicalise(found)
    assert check_canonical(found) == []
    body = next(found.graph.subgraphs())
    weight = found.graph.initializers.pop("big")
    body.register_initializer(weight)
    assert check_canonical(found) == ["large_weights_lie_outside_of_bodies: big"]


def planned() -> tuple[Plan, tuple]:
    graph = source().graph
    facts, score = analyse(graph, list(graph.inputs)), graph.outputs[0]
    composite = parse("epsilon")
    return make_plan(graph, facts, score, composite), (facts, score)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("break_", "sentence"),
    [
        (lambda steps: steps.append(steps[1]), "is planned twice"),
        (lambda steps: steps.reverse(), "no relevance arrives at"),
        (lambda steps: steps.insert(0, steps.pop(2)), "no relevance arrives at"),
        (lambda steps: steps[-1].operands.update({0: steps[1].outputs[0]}), "whose step is over"),
        (lambda steps: steps[-1].operands.clear(), "leads to no explained input"),
        (lambda steps: setattr(steps[0], "rule", None), "has no rule"),
    ],
)
def test_a_plan(break_, sentence):
    plan, about = planned()
    assert check_plan(plan, *about) == []
    break_(plan.steps)
    assert any(sentence in found for found in check_plan(plan, *about))


def test_an_explained_model():
    found = source()
    own = set(found.graph.all_nodes())
    assert check_emitted(found.graph, own) == check_finished(found) == []
    insert(found, "Identity", node(found, "Conv").outputs[0])
    assert check_emitted(found.graph, own) == ["Identity 'Identity_new' says no rule that it came from"]
    found.graph.opset_imports["onnxlrp.deployed"] = 1
    insert(found, "Deployed", node(found, "Conv").outputs[0], domain="onnxlrp.deployed")
    assert check_finished(found) == ["Deployed 'Deployed_new' is no operator of a runtime"]


def test_every_conversion_is_checked(monkeypatch):
    """Also where `convert` makes errors of its own of what it raises."""
    monkeypatch.setattr("tests.stages.check_plan", lambda *about: ["a violation"])
    with pytest.raises(StageError, match="after make_plan: a violation"):
        onnxlrp.convert(model(TEXT, WEIGHTS), "epsilon")
