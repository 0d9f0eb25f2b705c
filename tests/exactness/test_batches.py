"""Batches, targets, inner values, several inputs and outputs, sizes known only at run time: against the oracle."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.oracle.compare import TOLERANCE, Explained, check_against_oracle, error
from tests.oracle.composites import composite
from tests.oracle.engine import Oracle
from tests.oracle.net import Net
from tests.oracle.rules import Rule
from tests.oracle.zoo import NETS

SOME = ["epsilon_plus", "epsilon_alpha2_beta1_flat", "lrp0", "gradient"]


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("net", ["strided", "one_dimensional", "residual", "mixer", "smooth"])
@pytest.mark.parametrize("name", [*SOME, "auto"])
def test_a_batch_gives_each_sample_what_it_gets_alone(net, name):
    network = NETS[net]()
    explained = Explained(network.model(), composite=name)
    feeds = network.feeds(batch=3)
    together = explained.relevance(feeds)["x"]
    alone = [explained.relevance({"x": feeds["x"][n : n + 1]})["x"] for n in range(3)]
    assert error(together, np.concatenate(alone)) <= 1e-12


def test_relative_epsilon_looks_at_one_sample_at_a_time():
    network = NETS["smooth"]()
    rule = Rule("Epsilon", epsilon=1e-9, relative=0.5)
    explained = Explained(network.model(), composite="epsilon", rules=[("Conv", rule.of_package())])
    feeds = network.feeds(batch=3)
    feeds["x"] *= np.array([0.1, 1, 10])[:, None, None, None]
    together = explained.relevance(feeds)["x"]
    alone = [explained.relevance({"x": feeds["x"][n : n + 1]})["x"] for n in range(3)]
    assert error(together, np.concatenate(alone)) <= 1e-12


@pytest.mark.parametrize("batch", [1, 2, None])
def test_fixed_and_unknown_batches(batch):
    network = NETS["symmetric"]()
    feeds = network.feeds(batch=batch or 3)
    options = {"composite": "epsilon_plus"}
    check_against_oracle(
        network, options, {"composite": composite("epsilon_plus")}, feeds, model=network.model(batch=batch)
    )


# ---------------------------------------------------------------------- targets


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("target", [0, 3, [2, 0, 1], [3, -1, 1]])
def test_targets(name, target):
    """One class for all samples, one each; −1: the predicted one."""
    network = NETS["residual"]()
    feeds = network.feeds(batch=3)
    ours = Explained(network.model(), composite=name).relevance(feeds, target=np.atleast_1d(target))["x"]
    truth = Oracle(network, feeds, composite(name))
    predicted = truth.values[network.outputs[0]].argmax(1)
    chosen = [p if t < 0 else t for t, p in zip(np.broadcast_to(target, 3), predicted, strict=True)]
    assert error(ours, truth.explain(target=chosen)["x"]) <= TOLERANCE


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("net", ["strided", "residual", "inception"])
@pytest.mark.parametrize("each", [False, True])
def test_several_targets_at_once(net, name, each):
    network = NETS[net]()
    feeds = network.feeds(batch=2)
    target = np.array([[2, 0, 3], [1, 2, 0]] if each else [[2, 0, 3]])
    explained = Explained(network.model(), composite=name, targets=3)
    ours = explained.relevance(feeds, target=target)["x"]
    assert ours.shape == (2, 3, *network.inputs["x"])
    truth = Oracle(network, feeds, composite(name))
    for k in range(3):
        chosen = list(np.broadcast_to(target, (2, 3))[:, k])
        assert error(ours[:, k], truth.explain(target=chosen)["x"]) <= TOLERANCE


def test_several_targets_with_inner_values():
    network = NETS["residual"]()
    feeds = network.feeds(batch=2)
    inner = network.steps[4].output
    explained = Explained(network.model(), composite="epsilon_plus", targets=2, relevance_at=(inner,))
    ours = explained.relevance(feeds, target=np.array([[1, 2]]))
    truth = Oracle(network, feeds, composite("epsilon_plus"))
    for k, target in enumerate([1, 2]):
        assert error(ours[inner][:, k], truth.explain(target=target)[inner]) <= TOLERANCE


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_plus_flat"])
def test_relevance_may_start_from_one(name):
    network = NETS["strided"]()
    options = {"composite": name, "initial": "one"}
    check_against_oracle(network, options, {"composite": composite(name)}, initial="one", target=1)


@pytest.mark.parametrize("head", ["Softmax", "LogSoftmax", "Sigmoid"])
@pytest.mark.parametrize("name", ["epsilon_plus", "lrp0"])
def test_a_final_softmax_is_skipped(head, name):
    network = NETS["symmetric"]()
    attributes = {} if head == "Sigmoid" else {"axis": -1}
    network.output(network.add_step("head", head, [network.outputs[0]], **attributes))
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)})
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)}, target=2)


def test_gradients_skip_nothing():
    network = NETS["symmetric"]()
    network.output(network.add_step("head", "Softmax", [network.outputs[0]], axis=-1))
    check_against_oracle(network, {"composite": "gradient"}, {"composite": composite("gradient")}, target=1)


@pytest.mark.parametrize("name", ["epsilon_plus", "lrp0"])
def test_weights_are_a_sum_of_targets(name):
    """LRP is linear in what it starts from."""
    network = NETS["inception"]()
    feeds = network.feeds()
    weights = np.array([[0.5, 0, -2, 1], [1, 1, 0, 0.25]])
    explained = Explained(network.model(), composite=name, target="weights")
    ours = explained.relevance(feeds, weights=weights)["x"]
    truth = Oracle(network, feeds, composite(name))
    parts = [weights[:, k, None, None, None] * truth.explain(target=k)["x"] for k in range(4)]
    assert error(ours, sum(parts)) <= TOLERANCE
    everything = explained.relevance(feeds)["x"]
    assert error(everything, sum(truth.explain(target=k)["x"] for k in range(4))) <= TOLERANCE


def test_one_token_of_many():
    """Scores [N, T, V]: the chosen position's class, the last position's by default."""
    network = Net(20, x=(4, 5))
    h = network.relu(network.matmul("x", 6))
    h = network.sum(h, network.relu(network.matmul(h, 4, left=True)))
    network.output(network.matmul(h, 3))
    feeds = network.feeds()
    explained = Explained(network.model(), composite="epsilon", target="token")
    truth = Oracle(network, feeds, composite("epsilon"))
    scores = truth.values[network.outputs[0]]
    last = truth.explain(target=list(9 + scores[:, 3].argmax(1)))["x"]
    assert error(explained.relevance(feeds)["x"], last) <= TOLERANCE
    chosen = explained.relevance(feeds, position=[1, 0], target=[2, 1])["x"]
    assert error(chosen, truth.explain(target=[1 * 3 + 2, 0 * 3 + 1])["x"]) <= TOLERANCE


ONE_SCORE = [
    "LRP0",
    "Epsilon(0.1)",
    "Epsilon(0.1, relative=0.5)",
    "Gamma(0.25)",
    "ZPlus",
    "AlphaBeta(2, 1)",
    "WSquare",
    "Flat",
]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rule", ONE_SCORE)
def test_one_score_alone_is_as_one_of_all(rule, bias, signed):
    """What is left out of a vocabulary's product is what would be 0."""
    network = Net(21, x=(4, 5))
    h = network.sum(network.matmul("x", 6), network.relu(network.matmul("x", 6)))
    network.output(network.matmul(h if signed else network.relu(h), 7, bias=bias))
    feeds, rules = network.feeds(), [("MatMul", rule)]
    one, every = (
        Explained(network.model(dynamic=True), composite="epsilon", rules=rules, target=t) for t in ("token", "weights")
    )
    weights = np.zeros((2, 4, 7))
    weights[0, 1, 2] = weights[1, 3, 5] = 1
    ours = one.relevance(feeds, position=[1, 3], target=[2, 5])["x"]
    assert error(ours, every.relevance(feeds, weights=weights)["x"]) <= TOLERANCE
    asked = ([4, 3], [2, 5]), ([-2, 3], [2, 5]), ([1, 3], [7, 5]), ([1, 3], [-2, 5])
    for position, target in asked:
        nothing, same = one.relevance(feeds, position=position, target=target)["x"]
        assert not nothing.any()
        np.testing.assert_array_equal(same, ours[1])


def test_one_score_needs_no_second_product_over_the_vocabulary():
    network = Net(22, x=(4, 5))
    network.output(network.matmul(network.relu(network.matmul("x", 6)), 7, bias=False))
    proto = onnx.shape_inference.infer_shapes(Explained(network.model(), composite="epsilon", target="token").proto)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.value_info}
    ours = [n for n in proto.graph.node if n.op_type == "MatMul" and n.metadata_props]
    assert ours and not any(7 in shapes.get(name, []) for n in ours for name in n.input)


# ---------------------------------------------------------------------- inner values, several inputs and outputs


@pytest.mark.parametrize("net", ["strided", "residual", "inception", "transposed", "mixer"])
@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_alpha2_beta1", "gradient"])
def test_relevance_at_inner_values(net, name):
    """Behind every activation, sum, concat and pool. (Inside a layer, before its batch norm, there is no relevance.)"""
    network = NETS[net]()
    inner = [step.output for step in network.steps if step.kind in ("pass", "winner", "route")]
    inner += [step.output for step in network.steps if step.kind == "norm"]
    feeds = network.feeds()
    explained = Explained(network.model(), composite=name, relevance_at=tuple(inner))
    ours = explained.relevance(feeds)
    truth = Oracle(network, feeds, composite(name)).explain()
    assert set(explained.interface.relevance_at) == set(inner)
    for value in ["x", *inner]:
        if np.any(truth[value]):
            assert error(ours[value], truth[value]) <= TOLERANCE, value
        else:
            assert not np.any(ours[value]), value


def two_inputs() -> Net:
    """An image and a row of numbers; the shared trunk has two outputs."""
    network = Net(21, image=(2, 8, 9), row=(4,))
    a = network.relu(network.conv("image", 3, strides=[2, 2]))
    a = network.flatten(network.max_pool(a, 2, strides=[1, 1]))
    b = network.relu(network.gemm("row", 5))
    h = network.relu(network.gemm(network.concat(a, b), 6))
    return network.output(network.gemm(h, 3), network.matmul(h, 4))


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_plus_flat", "deep_taylor", "lrp0", "gradient", "auto"])
@pytest.mark.parametrize("output", [0, 1])
def test_several_inputs_and_outputs(name, output):
    network = two_inputs()
    chosen = network.outputs[output]
    options = {"composite": name, "output": chosen}
    explained = check_against_oracle(network, options, {"composite": composite(name)}, output=chosen)
    assert set(explained.interface.relevance) == {"image", "row"}
    assert explained.interface.output == chosen


def test_only_the_inputs_asked_for():
    """Which layers come first does not depend on which inputs are explained."""
    network = two_inputs()
    options = {"composite": "epsilon_plus_flat", "inputs": ["row"]}
    explained = check_against_oracle(network, options, {"composite": composite("epsilon_plus_flat")})
    assert set(explained.interface.relevance) == {"row"}


# ---------------------------------------------------------------------- sizes known at run time


def any_size(name: str) -> Net:
    """Strided layers of every kind before a global pool, so that odd sizes leave cells over at each of them."""
    network = Net(22, x=(2, 13, 12))
    h = network.relu(network.batch_norm(network.conv("x", 3, strides=[2, 2], pads=[1, 0, 1, 0])))
    if name == "pools":
        h = network.max_pool(h, 2, strides=[2, 2])
        h = network.average_pool(network.conv(h, 3, 1), 2, strides=[2, 2], ceil_mode=1)
    elif name == "residual":
        h = network.sum(network.conv(h, 4, strides=[2, 2], pads=[1] * 4), network.conv(h, 4, 1, strides=[2, 2]))
        h = network.relu(network.conv(h, 4, 2, strides=[1, 2]))
    elif name == "transposed":
        h = network.relu(network.conv_transpose(h, 3, strides=[2, 2], output_padding=[1, 1], pads=[1, 1, 0, 0]))
        h = network.relu(network.conv(h, 3, strides=[3, 3]))
    elif name == "auto_pad":
        h = network.relu(network.conv(h, 3, strides=[2, 2], auto_pad="SAME_UPPER"))
        h = network.relu(network.conv(h, 3, 2, strides=[1, 2], auto_pad="SAME_LOWER"))
        h = network.max_pool(h, 2, strides=[2, 2], auto_pad="SAME_UPPER")
    elif name == "dilated":
        h = network.relu(network.conv(h, 4, [2, 3], strides=[2, 1], dilations=[2, 1], pads=[2, 1, 2, 1]))
        h = network.relu(network.conv(h, 4, group=4, strides=[2, 2], pads=[1] * 4))
    return network.output(network.head(h))


@pytest.mark.parametrize("name", ["pools", "residual", "transposed", "auto_pad", "dilated"])
@pytest.mark.parametrize("rules", ["epsilon_plus", "epsilon_alpha2_beta1_flat", "lrp0", "gradient"])
def test_one_file_for_all_sizes(name, rules):
    network = any_size(name)
    explained = Explained(network.model(dynamic=True), composite=rules)
    rng = np.random.default_rng(3)
    for batch, height, width in [(1, 13, 12), (2, 12, 11), (1, 15, 14), (3, 11, 17)]:
        feeds = {"x": rng.normal(size=(batch, 2, height, width))}
        truth = Oracle(network, feeds, composite(rules))
        outputs = explained.run(feeds)
        np.testing.assert_allclose(outputs[network.outputs[0]], truth.values[network.outputs[0]], rtol=1e-12)
        ours = outputs[explained.interface.relevance["x"]]
        assert error(ours, truth.explain()["x"]) <= TOLERANCE, (batch, height, width)


def test_declared_shapes_stay_symbolic():
    network = any_size("residual")
    proto = Explained(network.model(dynamic=True), composite="epsilon_plus").proto
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.output}
    source = network.model(dynamic=True).graph.input[0]
    assert shapes["x_relevance"] == [d.dim_param or d.dim_value for d in source.type.tensor_type.shape.dim]


def test_one_dimensional_sequences_of_any_length():
    network = Net(23, x=(2, 15))
    h = network.relu(network.conv("x", 3, strides=[2]))
    h = network.max_pool(h, 2, strides=[2])
    network.output(network.head(network.relu(network.conv(h, 4, 2))))
    explained = Explained(network.model(dynamic=True), composite="epsilon_plus")
    for length in (15, 16, 22, 31):
        feeds = {"x": np.random.default_rng(length).normal(size=(2, 2, length))}
        truth = Oracle(network, feeds, composite("epsilon_plus")).explain()["x"]
        assert error(explained.relevance(feeds)["x"], truth) <= TOLERANCE


def test_the_source_is_left_alone():
    model = NETS["strided"]().model()
    before = model.SerializeToString(deterministic=True)
    Explained(model, composite="epsilon_plus")
    assert model.SerializeToString(deterministic=True) == before
    assert isinstance(model, onnx.ModelProto)


# ---------------------------------------------------------------------- shapes of the scores


@pytest.mark.parametrize("name", ["epsilon_plus", "gradient"])
@pytest.mark.parametrize("target", [None, 2])
def test_scores_with_axes_of_size_one(name, target):
    """[N, C, 1, 1], as networks without a Flatten end."""
    network = Net(24, x=(2, 7, 6))
    h = network.relu(network.conv("x", 4))
    network.output(network.global_average(network.conv(h, 5, 1)))
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)}, target=target)


@pytest.mark.parametrize("shape", ["[N, 1]", "[N]"])
@pytest.mark.parametrize("name", ["epsilon_plus", "gradient"])
def test_one_score_per_sample(shape, name):
    """It is explained whether positive or negative."""
    network = Net(31, x=(2, 7, 6))
    y = network.gemm(network.flatten(network.relu(network.conv("x", 4, bias=False))), 1)
    network.output(network.add_step("route", "Squeeze", [y], [np.array([1])]) if shape == "[N]" else y)
    feeds = network.feeds(batch=4)
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)}, feeds)
    assert len(set(np.sign(Oracle(network, feeds, composite(name)).values[y].ravel()))) == 2
