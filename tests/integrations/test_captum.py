"""The face of Captum: targets, several inputs, deltas. The peers' tests compare with Captum itself."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.errors import InputError, TargetError
from onnxlrp.integrations.captum import Attribution
from onnxlrp.integrations.captum_targets import CaptumTarget
from tests.integrations.nets import dense, model

X = 4 * np.random.default_rng(4).normal(size=(3, 4))


@pytest.fixture(scope="module")
def net():
    return dense(np.random.default_rng(0))


@pytest.mark.parametrize("target", [1, np.int64(1), np.array(1), [1, 1, 1], np.array([1]), (1,)])
def test_one_class_in_every_form(net, target):
    found = Attribution(net, "lrp0").attribute(X, target=target)
    wanted = onnxlrp.Explainer(onnxlrp.convert(net, "lrp0"))({"x": X}, target=1).relevance["x"]
    np.testing.assert_array_equal(found, wanted)


def test_a_class_for_each_sample_and_the_predicted_one(net):
    method = Attribution(net, "lrp0")
    scores = method.forward_func(X)
    classes = scores.argmax(1)
    np.testing.assert_array_equal(method.attribute(X, target=classes.tolist()), method.attribute(X))
    assert scores.shape == (3, 3)


def test_a_tuple_gives_a_tuple_and_what_follows_is_not_explained():
    net = model(
        [helper.make_node("Mul", ["x", "k"], ["s"]), helper.make_node("Add", ["s", "z"], ["y"])],
        {"x": ["N", 4], "z": ["N", 4], "k": [1]},
        {"y": ["N", 4]},
        {},
    )
    method, z, k = Attribution(net, "gradient_x_input"), X[::-1].copy(), np.array([2.0])
    both = method.attribute((X, z), target=2, additional_forward_args=k)
    assert isinstance(both, tuple)
    for found, wanted in zip(both, (2 * X, z), strict=True):
        np.testing.assert_allclose(found, np.eye(4)[2] * wanted, atol=1e-12)
    alone = method.attribute(X, target=2, additional_forward_args=(z, k))
    np.testing.assert_allclose(alone, np.eye(4)[2] * 2 * X, atol=1e-12)
    with pytest.raises(InputError, match="4 values for the inputs 'x', 'z', 'k'"):
        method.attribute((X, z, k, k), target=2)


def test_elements_of_an_output_of_three_axes():
    net = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": ["N", 2, 3]},
        {"y": ["N", 2, 4]},
        {"w": np.random.default_rng(1).normal(size=(3, 4))},
    )
    x = np.random.default_rng(2).normal(size=(2, 2, 3))
    method = Attribution(net, "lrp0")
    for target in ((1, 3), [(1, 3), (1, 3)]):
        found, delta = method.attribute(x, target=target, return_convergence_delta=True)
        assert np.abs(found[:, 0]).max() == 0 and np.abs(delta).max() < 1e-9
        np.testing.assert_allclose(found.sum((1, 2)), method.forward_func(x)[:, 1, 3], atol=1e-9)
    each = method.attribute(x, target=[(0, 1), (1, 2)])
    np.testing.assert_allclose(each[0].sum(), method.forward_func(x)[0, 0, 1], atol=1e-9)
    with pytest.raises(TargetError, match="token"):
        method.attribute(x, target=1)


@pytest.mark.parametrize("target", [1, [0, 2, 1]])
def test_deltas(net, target):
    """DeepLIFT and integrated gradients count from a baseline, LRP from 0; a gradient has none."""
    method = Attribution(net, "deep_lift(baseline=0.3)")
    found, delta = method.attribute(X, target=target, return_convergence_delta=True)
    assert np.abs(delta).max() < 1e-12
    again = method.compute_convergence_delta(found, np.full_like(X, 0.3), X, target)
    np.testing.assert_allclose(again, delta, atol=1e-12)
    few = Attribution(net, "integrated_gradients(steps=2, baseline=0.3)")
    found, delta = few.attribute(X, target=target, return_convergence_delta=True)
    again = few.compute_convergence_delta(found, np.full_like(X, 0.3), X, target)
    assert np.abs(delta).max() > 1e-6
    np.testing.assert_allclose(again, delta, atol=1e-12)
    layers = Attribution(net, "lrp0")
    found, delta = layers.attribute(X, target=target, return_convergence_delta=True)
    scores = CaptumTarget.of(target).scores(layers.forward_func(X))
    np.testing.assert_allclose(delta, found.sum(1) - scores, atol=1e-12)
    gradient = Attribution(net, "gradient")
    assert layers.has_convergence_delta() and few.has_convergence_delta() and not gradient.has_convergence_delta()
    with pytest.raises(InputError, match="has no delta here"):
        gradient.attribute(X, target=1, return_convergence_delta=True)


def test_an_explained_model_is_its_own_explainer(net):
    explained = onnxlrp.convert(net, "epsilon", target="element")
    for given in (explained, onnxlrp.Explainer(explained), explained.to_proto()):
        method = Attribution(given)
        np.testing.assert_allclose(method.attribute(X, 1), Attribution(net, "epsilon").attribute(X, 1), atol=1e-12)
        np.testing.assert_allclose(method.forward_func(X), Attribution(net).forward_func(X), atol=1e-12)
    with pytest.raises(InputError, match="explained already"):
        Attribution(explained, "lrp0")
    with pytest.raises(TargetError, match="takes no target of 2 indices"):
        Attribution(onnxlrp.convert(net, "epsilon")).attribute(X, target=(0, 1))


@pytest.mark.parametrize("target", ["cat", 0.5, [[[1]]], [], [(0, 1), (2,)]])
def test_targets_that_are_none(net, target):
    with pytest.raises(TargetError, match="target"):
        Attribution(net).attribute(X, target=target)


def test_a_score_upstream_of_a_softmax_has_no_delta():
    net = model(
        [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["p"])],
        {"x": ["N", 4]},
        {"p": ["N", 3]},
        {"w": np.random.default_rng(1).normal(size=(4, 3))},
    )
    with pytest.raises(InputError, match="explain_probability"):
        Attribution(net, "epsilon").attribute(X, target=1, return_convergence_delta=True)


def test_baselines_of_a_call(net):
    """Numbers or arrays, for the composite that takes them."""
    method, constant = Attribution(net, "deep_lift(baseline='input')"), Attribution(net, "deep_lift(baseline=0.3)")
    wanted, none = constant.attribute(X, target=1, return_convergence_delta=True)
    for baseline in (0.3, np.full((1, 4), 0.3), np.full_like(X, 0.3)):
        found, delta = method.attribute(X, target=1, return_convergence_delta=True, baselines=baseline)
        np.testing.assert_allclose(found, wanted, atol=1e-12)
        np.testing.assert_allclose(delta, none, atol=1e-12)
    zero = Attribution(net, "deep_lift").attribute(X, target=1)
    np.testing.assert_allclose(method.attribute(X, target=1), zero, atol=1e-12)
    with pytest.raises(InputError, match="takes no reference"):
        constant.attribute(X, target=1, baselines=0.3)
