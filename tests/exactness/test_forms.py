"""What is left out, or computed in another form, where that costs less: the same relevance, and it is left out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from tests.oracle.compare import Explained, check_against_oracle
from tests.oracle.composites import composite
from tests.oracle.net import Net, Step
from tests.oracle.rules import Rule

COMPOSITES = ["epsilon", "epsilon_plus", "lrp0", "gradient"]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def operators(explained: Explained) -> Counter[str]:
    return Counter(n.op_type for n in explained.proto.graph.node)


def check(net: Net, name: str, model: onnx.ModelProto | None = None) -> Explained:
    return check_against_oracle(net, {"composite": name}, {"composite": composite(name)}, model=model)


# ------------------------------------------------------------------------------------------------ gathered and put back

PLACES = {
    "one": np.int64(1),
    "the last": np.int64(-1),
    "two in a row": ints(1, 2),
    "the last two": ints(-2, -1),
    "one as a list": ints(0),
    "turned round": ints(2, 1, 0, 3),
}
SCATTERED = {"apart": ints(0, 2), "twice": ints(1, 1), "back": ints(2, 1), "a table": ints(1, 2, 0, 3).reshape(2, 2)}


def gathered(places: np.ndarray) -> Net:
    net = Net(60, x=(2, 4, 5))
    h = net.add_step("route", "Gather", [net.relu(net.matmul("x", 6))], [places], axis=2)
    return net.output(net.gemm(net.flatten(h), 3))


@pytest.mark.parametrize("name", COMPOSITES)
@pytest.mark.parametrize("places", PLACES)
def test_known_places_need_no_scatter(places, name):
    explained = check(gathered(PLACES[places]), name)
    assert "ScatterElements" not in operators(explained)


@pytest.mark.parametrize("places", SCATTERED)
def test_other_places_do(places):
    assert "ScatterElements" in operators(check(gathered(SCATTERED[places]), "epsilon"))


@pytest.mark.parametrize("places", [np.int64(1), np.int64(-2), ints(0, 1), ints(-2, -1)], ids=str)
def test_places_along_an_axis_of_any_length(places):
    """From the front, and from the end: the pad's sizes are computed."""
    net = gathered(places)
    model = net.model()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "rows"
    assert "ScatterElements" not in operators(check(net, "epsilon", model))


# ------------------------------------------------------------------------------------------------ columns left out


def blocks(net: Net, h: str, width: int, used: list[int], how: str) -> list[str]:
    """Some of three blocks of columns of [N, …, 3·width], taken apart in one of the ways of exporters."""
    last = net.samples[h].ndim - 1
    if how == "slices":
        ends = [(ints(i * width), ints((i + 1) * width if i < 2 else 2**40), ints(last)) for i in used]
        return [net.add_step("route", "Slice", [h], end) for end in ends]
    h = net.add_step("route", "Reshape", [h], [ints(*[0] * last, 3, width)])
    h = net.add_step("route", "Unsqueeze", [h], [ints(1)])
    order = [a for a in range(last + 3) if a != last + 1]
    h = net.add_step("route", "Transpose", [h], perm=[order[0], last + 1, *order[1:]])
    h = net.add_step("route", "Squeeze", [h], [ints(2)])
    if how == "gathers":
        return [net.add_step("route", "Gather", [h], [np.int64(i - 3)], axis=1) for i in used]
    ends = [(ints(i), ints(i + 1), ints(1), ints(1)) for i in used]
    return [net.add_step("route", "Squeeze", [net.add_step("route", "Slice", [h], e)], [ints(1)]) for e in ends]


def packed(layer: str, used: list[int], how: str = "gathers", bent: bool = True) -> Net:
    if layer == "MatMul":
        net = Net(61, x=(3, 5))
        h = net.matmul("x", 12)
    else:
        net = Net(61, x=(5,))
        h = net.gemm("x", 12, transposed=layer == "Gemm, turned")
    parts = [net.relu(part) if bent else part for part in blocks(net, h, 4, used, how)]
    joined = parts[0] if len(parts) == 1 else net.sum(*parts, op="Sum")
    return net.output(net.gemm(net.flatten(joined), 3))


def cut(explained: Explained) -> list[int]:
    """How many columns are left of each weight that is cut."""
    weights = {t.name: t for t in explained.proto.graph.initializer}
    number = {t.name: onnx.numpy_helper.to_array(t) for t in explained.proto.graph.initializer}
    slices = [n for n in explained.proto.graph.node if n.op_type == "Slice" and n.input[0] in weights]
    return [int(number[n.input[2]].item() - number[n.input[1]].item()) for n in slices]


@pytest.mark.parametrize("name", ["epsilon", "epsilon_plus", "lrp0", "attn_lrp"])
@pytest.mark.parametrize("how", ["gathers", "slices", "slices of blocks"])
@pytest.mark.parametrize("layer", ["MatMul", "Gemm", "Gemm, turned"])
@pytest.mark.parametrize("bent", [True, False], ids=["amounts", "factors"])
def test_columns_without_relevance_are_left_out(layer, how, name, bent):
    assert cut(check(packed(layer, [2], how, bent), name)) == [4]


def test_from_the_first_to_the_last_that_has_some():
    assert cut(check(packed("MatMul", [1, 2]), "epsilon")) == [8]
    assert cut(check(packed("MatMul", [0, 2]), "epsilon")) == []
    assert cut(check(packed("MatMul", [0, 1, 2]), "epsilon")) == []


@pytest.mark.parametrize("name", ["epsilon", "epsilon_plus"])
def test_a_split_of_which_one_part_is_used(name):
    net = Net(62, x=(3, 5))
    h = net.matmul("x", 9)
    middle = net.add_step("route", "Slice", [h], [ints(2), ints(6), ints(2)])
    net.output(net.gemm(net.flatten(net.relu(middle)), 3))
    model = net.model()
    (at,) = (i for i, n in enumerate(model.graph.node) if n.op_type == "Slice")
    model.graph.initializer.append(onnx.numpy_helper.from_array(ints(2, 4, 3), "sizes"))
    split = helper.make_node("Split", [h, "sizes"], ["before", middle, "behind"], axis=-1)
    model.graph.node[at].CopyFrom(split)
    assert cut(check(net, name, model)) == [4]


def test_other_readers_keep_more_columns():
    """All of them, or those of heads that hold some of each block, from the first to the last."""
    net = Net(63, x=(3, 5))
    h = net.matmul("x", 12)
    (last,) = blocks(net, h, 4, [2], "gathers")
    whole = net.add_step("norm", "ReduceSum", [h], [ints(2)], keepdims=1)
    net.output(net.gemm(net.flatten(net.sum(net.relu(last), whole)), 3))
    assert cut(check(net, "epsilon")) == []
    net = Net(64, x=(3, 5))
    h = net.add_step("route", "Reshape", [net.matmul("x", 12)], [ints(0, 0, 2, 3, 2)])
    net.output(net.gemm(net.flatten(net.relu(net.add_step("route", "Gather", [h], [np.int64(2)], axis=3))), 3))
    assert cut(check(net, "epsilon")) == [8]


def test_columns_are_along_the_last_axis():
    """Not those of a product from the left, nor what is cut along another axis, nor where the axis has gone into
    another."""

    def middle(net: Net, h: str, axis: int) -> Net:
        h = net.add_step("route", "Slice", [h], [ints(0), ints(1), ints(axis)])
        return net.output(net.gemm(net.flatten(net.relu(h)), 3))

    net = Net(67, x=(3, 3))
    assert cut(check(middle(net, net.matmul("x", 3, left=True), 2), "epsilon")) == []
    net = Net(68, x=(3, 5))
    assert cut(check(middle(net, net.matmul("x", 3), 1), "epsilon")) == []
    net = Net(69, x=(3, 5))
    h = net.add_step("route", "Reshape", [net.matmul("x", 9)], [ints(0, 0, 3, 3)])
    h = net.add_step("route", "Transpose", [h], perm=[0, 2, 1, 3])
    h = net.add_step("route", "Reshape", [h], [ints(0, -1, 3)])
    assert cut(check(middle(net, h, 2), "epsilon")) == []


@pytest.mark.parametrize(("ends", "left"), [((1, 9, 3), 7), ((-1, 2, -4), 5), ((7, 2, -1), 5)])
def test_slices_by_steps_keep_what_lies_between(ends, left):
    net = Net(70, x=(3, 5))
    start, stop, step = (ints(n) for n in ends)
    h = net.add_step("route", "Slice", [net.matmul("x", 10)], [start, stop, ints(2), step])
    net.output(net.gemm(net.flatten(net.relu(h)), 3))
    assert cut(check(net, "epsilon")) == [left]


def test_a_bias_of_one_number_is_that_of_all_columns():
    net = Net(71, x=(3, 5))
    h = net.add_step("dense", "MatMul", ["x"], [net.weight(5, 8)])
    h = net.add_step("bias", "Add", [h], [net.weight(1)])
    h = net.add_step("route", "Slice", [h], [ints(2), ints(6), ints(2)])
    net.output(net.gemm(net.flatten(net.relu(h)), 3))
    rule = Rule("Gamma")
    options = {"composite": "epsilon", "rules": [("/MatMul*", rule.of_package())]}
    oracle = {"composite": composite("epsilon"), "overrides": {"/MatMul_v0": rule}}
    assert cut(check_against_oracle(net, options, oracle)) == [4]


def test_columns_that_a_loop_reads():
    """Its first operand, the number of its steps, is left out."""
    text = """<ir_version: 10, opset_import: ["" : 21]> main (double[2,3] x) => (double[2,4] y)
    <double[3,4] w = {1,2,3,4,5,6,7,8,9,10,11,12}, bool yes = {1}, int64 three = {3}> {
        h = MatMul (x, w)
        y = Loop (, yes, h) <body = once (int64 i, bool go, double[2,4] state) => (bool on, double[2,4] more) {
            on = Less (i, three) more = Add (state, h)
        }>
    }"""
    explained = Explained(onnx.parser.parse_model(text), composite="epsilon", target="weights")
    got = explained.relevance({"x": np.ones((2, 3))}, weights=np.ones((2, 4)))["x"]
    assert cut(explained) == [] and np.isfinite(got).all() and got.any()


def test_a_relative_stabiliser_is_of_all_columns():
    rules = [(lambda node: True, "Epsilon(1e-9, relative=0.5)")]
    assert cut(Explained(packed("MatMul", [2]).model(), composite="epsilon", rules=rules)) == []


# ------------------------------------------------------------------------------------------------------ signs not asked


def silu(net: Net, h: str) -> str:
    return net.silu(h)


def through_shapes(net: Net, h: str) -> str:
    h = net.add_step("route", "Unsqueeze", [h], [ints(1)])
    return net.activation(net.add_step("route", "Reshape", [h], [ints(0, -1)]), "Tanh")


def rectified_through_shapes(net: Net, h: str) -> str:
    return net.relu(net.add_step("route", "Reshape", [h], [ints(0, -1)]))


def rectified_twice(net: Net, h: str) -> str:
    return net.activation(net.relu(h), "Tanh")


FORMS = {make.__name__: make for make in (silu, through_shapes, rectified_through_shapes, rectified_twice)}


@pytest.mark.cheapest_forms
@pytest.mark.parametrize("name", COMPOSITES)
@pytest.mark.parametrize("form", FORMS)
def test_an_activation_of_the_same_sign_stands_in(form, name):
    net = Net(65, x=(3, 5))
    net.output(net.gemm(net.flatten(FORMS[form](net, net.matmul("x", 6))), 3))
    explained = check(net, name)
    if name == "epsilon":
        assert "GreaterOrEqual" not in operators(explained)


@pytest.mark.parametrize("name", ["epsilon", "lrp0"])
def test_one_of_another_sign_does_not(name):
    """−½·SiLU and a sigmoid, written out, and a negative slope."""
    net = Net(66, x=(3, 5))
    h = net.matmul("x", 6)
    nodes = [
        helper.make_node("Sigmoid", [h], ["gate"]),
        helper.make_node("Mul", [h, net.constant(np.array(-0.5))], ["half"]),
        helper.make_node("Mul", ["half", "gate"], ["signal"]),
    ]
    h = net.matmul(net.add(Step("pass", nodes, [h], "signal")), 6)
    h = net.matmul(net.add_step("pass", "LeakyRelu", [h], alpha=-0.5), 6)
    nodes = [
        helper.make_node("Exp", [h], ["power"]),
        helper.make_node("Add", ["power", net.constant(np.array(1.0))], ["more"]),
        helper.make_node("Div", ["power", "more"], ["sigmoid"]),
    ]
    h = net.add(Step("pass", nodes, [h], "sigmoid", lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2))
    net.output(net.gemm(net.flatten(h), 3))
    check(net, name)


# ------------------------------------------------------------------------------------------------ layers with a clip


def readers_of_a_clipped_layer(other: str = "") -> set[str]:
    """Operators; `other`: one that makes another output of the layer's."""
    net = Net(68, x=(4, 6, 6))
    layer = net.conv("x", 6)
    clip = net.add_step("pass", "Clip", [layer], [np.array(0.0), np.array(6.0)])
    model = net.output(net.gemm(net.flatten(clip), 3)).model()
    if other:
        model.graph.initializer.append(numpy_helper.from_array(np.array(-1.0), "below"))
        model.graph.node.append(onnx.parser.parse_node(other.replace("layer", layer)))
        model.graph.output.append(
            helper.make_tensor_value_info("other", onnx.TensorProto.DOUBLE, net.samples[layer].shape)
        )
    nodes = check(net, "epsilon", model).proto.graph.node
    (read,) = [n.output[0] for n in nodes if n.op_type == "Conv" and "x" in n.input]
    return {n.op_type for n in nodes if read in n.input}


@pytest.mark.cheapest_forms
def test_a_session_may_fuse_a_layer_whose_clip_stands_in():
    """A ReLU alone reads it, for relevance and for the clip."""
    assert readers_of_a_clipped_layer() == {"Relu"}


@pytest.mark.parametrize("other", ["other = Neg(layer)", "other = Clip(layer, below)"])
def test_a_layer_is_itself_for_all_others(other):
    assert "Clip" in readers_of_a_clipped_layer(other)


# ------------------------------------------------------------------------------------------------ in front of pools


POOLS = {
    "side by side": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "overlapping": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
}


def quotients(net: Net, h: str, name: str) -> set[tuple[int, ...]]:
    """Shapes of what is divided, without the batch, of a picture's relevance behind `h`."""
    graph = onnx.shape_inference.infer_shapes(check(net.output(net.gemm(net.flatten(h), 3)), name).proto).graph
    divided = {n.output[0] for n in graph.node if n.op_type == "Div"}
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info if v.name in divided]
    return {tuple(shape[1:]) for shape in shapes if len(shape) == 4}


@pytest.mark.cheapest_forms
@pytest.mark.parametrize("name", ["epsilon", "epsilon_plus", "excitation_backprop"])
@pytest.mark.parametrize("pool", POOLS)
def test_a_layer_in_front_of_a_pool_divides_behind_it(pool, name):
    """By its own output, which is the pool's where anything is divided."""
    net = Net(69, x=(4, 6, 6))
    h = net.add_step("winner", "MaxPool", [net.relu(net.conv("x", 5, pads=[1] * 4))], **POOLS[pool])
    assert quotients(net, h, name) == ({(5, 3, 3)} if name == "epsilon" else {(5, 6, 6)})


@pytest.mark.parametrize("order", ["MaxPool AveragePool", "AveragePool MaxPool"])
def test_other_readers_of_the_layer_have_it_divided_before_the_pool(order):
    net = Net(70, x=(4, 6, 6))
    layer = net.relu(net.conv("x", 5, pads=[1] * 4))
    kinds = {"MaxPool": "winner", "AveragePool": "sum"}
    pools = [net.add_step(kinds[op], op, [layer], kernel_shape=[2, 2], strides=[2, 2]) for op in order.split()]
    assert (5, 6, 6) in quotients(net, net.add_step("sum", "Add", pools), "epsilon")


# ------------------------------------------------------------------------------------------------ weights of a rule


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (onnxlrp.rules.Gamma(0.5), {"Mul": 1, "Max": 1}),
        (onnxlrp.rules.AlphaBeta(2, 1), {"Max": 1, "Mul": 1, "Sub": 1}),
        (onnxlrp.rules.ZPlus(), {"Max": 1}),
    ],
    ids=str,
)
@pytest.mark.cheapest_forms
def test_weights_are_changed_in_few_operations(rule, expected):
    """Of a layer between ReLUs: a session copies the weight for each."""
    net = Net(71, x=(4, 8, 8))
    layer = net.relu(net.conv(net.relu(net.conv("x", 9)), 10))
    model = net.output(net.gemm(net.flatten(layer), 3)).model()
    explained = onnxlrp.convert(model, "epsilon", rules=[("Conv", rule)]).to_proto()
    weights = {i.name for i in model.graph.initializer if list(i.dims)[:2] == [10, 9]}
    assert len(weights) == 1
    found = Counter()
    for node in explained.graph.node:
        if weights & set(node.input) and node.op_type in ("Add", "Max", "Min", "Mul", "Neg", "Sub"):
            found[node.op_type] += 1
            weights |= set(node.output)
    assert found == expected
