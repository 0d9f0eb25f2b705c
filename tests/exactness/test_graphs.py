"""The same network written as exporters write it: the explanation must not depend on how."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.oracle.compare import TOLERANCE, Explained, check_against_oracle, error
from tests.oracle.composites import composite
from tests.oracle.engine import Oracle
from tests.oracle.net import Net, Step
from tests.oracle.zoo import NETS

COMPOSITES = ["epsilon", "epsilon_alpha2_beta1_flat", "epsilon_plus", "gradient"]


def same(rewritten: onnx.ModelProto, name: str) -> Explained:
    """The rewritten model gets the relevance that the oracle gives the network."""
    onnx.checker.check_model(rewritten, full_check=True)
    network = NETS["residual"]()
    feeds = network.feeds()
    explained = Explained(rewritten, composite=name)
    ours = explained.relevance(feeds)
    assert set(ours) == {"x"}
    assert error(ours["x"], Oracle(network, feeds, composite(name)).explain()["x"]) <= TOLERANCE
    return explained


@pytest.mark.parametrize("name", COMPOSITES)
def test_weights_as_constant_nodes(name):
    model = NETS["residual"]().model()
    for tensor in model.graph.initializer:
        model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    del model.graph.initializer[:]
    same(model, name)


@pytest.mark.parametrize("name", COMPOSITES)
def test_weights_behind_identities_casts_and_transposes(name):
    """Weights that are computed: Identity everywhere, Cast from float32, a Transpose before each dense layer."""
    network = NETS["perceptron"]()
    network.constants = {key: value.astype(np.float32).astype(np.float64) for key, value in network.constants.items()}
    model = network.model()
    for node in model.graph.node:
        for i, operand in enumerate(node.input):
            if operand in network.constants and network.constants[operand].ndim == 2:
                node.input[i] = f"{operand}_given"
    for tensor in list(model.graph.initializer):
        array = network.constants[tensor.name]
        if array.ndim == 2:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array.T.astype(np.float32)), tensor.name))
            chain = [
                helper.make_node("Transpose", [f"{tensor.name}_cast"], [f"{tensor.name}_given"], perm=[1, 0]),
                helper.make_node("Cast", [f"{tensor.name}_same"], [f"{tensor.name}_cast"], to=TensorProto.DOUBLE),
                helper.make_node("Identity", [tensor.name], [f"{tensor.name}_same"]),
            ]
            for node in chain:
                model.graph.node.insert(0, node)
    onnx.checker.check_model(model, full_check=True)
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)}, model=model)


@pytest.mark.parametrize("name", COMPOSITES)
def test_nodes_without_names_and_out_of_order(name):
    model = NETS["residual"]().model()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    for node in nodes:
        node.name = ""
        model.graph.node.append(node)
    network = NETS["residual"]()
    feeds = network.feeds()
    ours = Explained(model, composite=name).relevance(feeds)["x"]
    assert error(ours, Oracle(network, feeds, composite(name)).explain()["x"]) <= TOLERANCE


@pytest.mark.parametrize("name", COMPOSITES)
def test_initializers_listed_as_inputs(name):
    model = NETS["residual"]().model()
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    same(model, name)


@pytest.mark.parametrize("name", COMPOSITES)
def test_flatten_by_computed_shapes(name):
    """Shape, Gather, Unsqueeze, Concat, Reshape, as torch writes `x.view(x.size(0), -1)`."""
    model = NETS["residual"]().model()
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    at = list(model.graph.node).index(flatten)
    x, y = flatten.input[0], flatten.output[0]
    constants = {"first": np.array(0), "axis": np.array([0]), "rest": np.array([-1])}
    model.graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    chain = [
        helper.make_node("Shape", [x], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axis"], ["batch1"]),
        helper.make_node("Concat", ["batch1", "rest"], ["target_shape"], axis=0),
        helper.make_node("Reshape", [x, "target_shape"], [y]),
    ]
    model.graph.node.remove(flatten)
    for offset, node in enumerate(chain):
        model.graph.node.insert(at + offset, node)
    same(model, name)


@pytest.mark.parametrize("name", COMPOSITES)
def test_identity_dropout_and_casts_change_nothing(name):
    model = NETS["residual"]().model()
    for node in list(model.graph.node):
        if node.op_type == "Relu":
            given, at = node.output[0], list(model.graph.node).index(node)
            node.output[0] = f"{given}_raw"
            chain = [
                helper.make_node("Identity", [f"{given}_raw"], [f"{given}_same"]),
                helper.make_node("Dropout", [f"{given}_same"], [f"{given}_kept", f"{given}_mask"]),
                helper.make_node("Cast", [f"{given}_kept"], [given], to=TensorProto.DOUBLE),
            ]
            for offset, extra in enumerate(chain):
                model.graph.node.insert(at + 1 + offset, extra)
    same(model, name)


@pytest.mark.parametrize("name", ["epsilon_plus", "gradient"])
def test_names_that_the_emitted_model_would_use(name):
    """`target` and `x_relevance` are taken by the source."""
    model = NETS["residual"]().model()
    inner = [model.graph.node[2].output[0], model.graph.node[4].output[0]]
    for node in model.graph.node:
        for values in (node.input, node.output):
            for i, value in enumerate(values):
                if value in inner:
                    values[i] = ["target", "x_relevance"][inner.index(value)]
    explained = same(model, name)
    assert explained.interface.target_input == "target_1"
    assert explained.interface.relevance == {"x": "x_relevance_1"}


@pytest.mark.parametrize("name", COMPOSITES)
def test_other_outputs_and_what_hangs_on_them_do_not_matter(name):
    """An inner value as explained output; layers behind it; a second output that nothing explains."""
    network = NETS["strided"]()
    features = next(step.output for step in reversed(network.steps) if step.op == "Flatten")
    logits = network.outputs[0]
    other = network.relu(network.gemm(features, 3))
    network.output(logits, other, features)
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)})
    options = {"composite": name, "output": features}
    check_against_oracle(network, options, {"composite": composite(name)}, output=features, target=1)


@pytest.mark.parametrize("name", COMPOSITES)
def test_weights_used_twice(name):
    """Two convolutions with one weight, each with a batch norm of its own."""
    network = Net(50, x=(3, 7, 6))
    a = network.conv("x", 3, pads=[1, 1, 1, 1])
    w, b = network.steps[-1].nodes[0].input[1:]
    a = network.relu(network.batch_norm(a))
    node = helper.make_node("Conv", [a, w, b], ["again"], name="/again", pads=[1, 1, 1, 1])
    c = network.add(Step("convolution", [node], [a], "again"))
    network.output(network.head(network.relu(network.batch_norm(c))))
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)})


@pytest.mark.parametrize("name", ["epsilon", "lrp0", "epsilon_plus_flat", "gradient"])
def test_an_input_that_reaches_the_output_past_all_layers(name):
    network = Net(51, x=(4,))
    network.output(network.sum(network.gemm(network.relu(network.gemm("x", 5)), 4), "x"))
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)})


@pytest.mark.parametrize("name", ["epsilon", "lrp0", "gradient", "auto"])
def test_a_network_without_layers(name):
    network = Net(52, x=(3, 4))
    network.output(network.add_step("norm", "ReduceMean", ["x"], [np.array([2])], keepdims=0))
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)})


@pytest.mark.parametrize("name", ["epsilon", "epsilon_alpha2_beta1", "gradient"])
def test_a_vector_as_weight(name):
    """MatMul of [N, 5] by [5]: one score per sample."""
    network = Net(53, x=(4,))
    h = network.relu(network.gemm("x", 5))
    network.output(network.add_step("dense", "MatMul", [h], [network.weight(5)]))
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)})


@pytest.mark.parametrize("name", ["epsilon", "epsilon_plus", "gradient"])
def test_scaled_gemm(name):
    """Gemm with α and β."""
    network = Net(54, x=(4,))
    h = network.relu(network.gemm("x", 5))
    values = [network.weight(3, 5), network.weight(3)]
    network.output(network.add_step("dense", "Gemm", [h], values, transB=1, alpha=0.5, beta=-2.0))
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)})


@pytest.mark.parametrize("name", ["epsilon", "epsilon_plus", "gradient"])
def test_parts_of_a_split(name):
    """Three parts, one of them unused, one used twice."""
    network = Net(55, x=(6, 5))
    h = network.relu(network.matmul("x", 7))
    parts = ["first", "second", "third"]
    sizes = network.constant(np.array([2, 1, 3]))
    begin = 0
    for part, size in zip(parts, (2, 1, 3), strict=True):
        # for the oracle three slices, for the model one Split
        ends = [network.constant(np.array([begin])), network.constant(np.array([begin + size]))]
        axis = network.constant(np.array([1]))
        network.add(Step("route", [helper.make_node("Slice", [h, *ends, axis], [part], name=part)], [h], part))
        begin += size
    y = network.sum(network.add_step("norm", "ReduceSum", ["third"], [np.array([1])], keepdims=1), "second")
    network.output(network.gemm(network.flatten(network.concat(y, "third")), 4))
    model = network.model()
    kept = [node for node in model.graph.node if node.op_type != "Slice"]
    at = next(i for i, node in enumerate(kept) if h in node.output) + 1
    kept.insert(at, helper.make_node("Split", [h, sizes], parts, axis=1))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)}, model=model)


@pytest.mark.parametrize("name", ["epsilon_plus", "gradient"])
def test_an_input_that_no_relevance_reaches_is_left_out(name):
    """It only chooses by comparison."""
    network = NETS["residual"]()
    model = network.model()
    model.graph.input.append(helper.make_tensor_value_info("gate", TensorProto.DOUBLE, ["N", 1, 1, 1]))
    first = next(node for node in model.graph.node if node.op_type == "Relu")
    given = first.output[0]
    first.output[0] = "before"
    at = list(model.graph.node).index(first) + 1
    zero = numpy_helper.from_array(np.array(0.0), "zero")
    model.graph.initializer.append(zero)
    model.graph.node.insert(at, helper.make_node("Greater", ["gate", "zero"], ["open"]))
    model.graph.node.insert(at + 1, helper.make_node("Where", ["open", "before", "zero"], [given]))
    onnx.checker.check_model(model, full_check=True)
    feeds = network.feeds()
    explained = Explained(model, composite=name)
    assert set(explained.interface.relevance) == {"x"}
    ours = explained.relevance({**feeds, "gate": np.ones((2, 1, 1, 1))})["x"]
    assert error(ours, Oracle(network, feeds, composite(name)).explain()["x"]) <= TOLERANCE


@pytest.mark.parametrize("net", ["residual", "transposed", "mixer"])
def test_the_same_call_gives_the_same_bytes(net):
    first, second = (
        Explained(NETS[net]().model(), composite="epsilon_alpha2_beta1_flat", ledger=True).proto for _ in range(2)
    )
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
