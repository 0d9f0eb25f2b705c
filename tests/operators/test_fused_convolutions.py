"""Convolutions as onnxruntime fuses them, with channels first and last."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import onnxruntime
from tests.operators.fused import Array, Fused, check_forward, check_gradient, check_ledger, floats

X, WEIGHT, BIAS, ADDED = floats(0, 2, 4, 6, 5), floats(1, 8, 4, 3, 3) / 4, floats(2, 8), floats(3, 2, 8, 6, 5)
PADS = [1, 1, 1, 1]


def fused(*operands: Array | None, data: tuple[int, ...] = (0,), **attributes) -> Fused:
    return Fused("FusedConv", operands, data=data, attributes={"kernel_shape": [3, 3], "pads": PADS, **attributes})


CASES = {
    "plain": fused(X, WEIGHT),
    "ReLU": fused(X, WEIGHT, BIAS, activation="Relu"),
    "tanh": fused(X, WEIGHT, BIAS, activation="Tanh"),
    "sigmoid": fused(X, WEIGHT, BIAS, activation="Sigmoid"),
    "leaky": fused(X, WEIGHT, BIAS, activation="LeakyRelu", activation_params=[0.3]),
    "clip": fused(X, WEIGHT, BIAS, activation="Clip", activation_params=[-0.5, 1.0]),
    "hard sigmoid": fused(X, WEIGHT, BIAS, activation="HardSigmoid", activation_params=[0.25, 0.4]),
    "sum": fused(X, WEIGHT, BIAS, ADDED, data=(0, 3), activation="Relu"),
    "sum, no bias": fused(X, WEIGHT, None, ADDED, data=(0, 3)),
    "grouped": fused(X, WEIGHT[:, :2].copy(), BIAS, group=2, strides=[2, 1], dilations=[1, 2], activation="Relu"),
}


def last(case: Fused) -> Fused:
    """The same convolution with channels last."""
    turned = [v if v is None or i not in (0, 3) else np.moveaxis(v, 1, -1).copy() for i, v in enumerate(case.operands)]
    return dataclasses.replace(case, op="NhwcFusedConv", operands=turned)


@pytest.mark.parametrize("name", CASES)
def test_outputs(name):
    check_forward(CASES[name])
    theirs = onnxruntime(CASES[name].model())(CASES[name].inputs())["y0"]
    # Of the one with channels last the CPU here has no kernel.
    check_forward(last(CASES[name]), {"y0": np.moveaxis(theirs, 1, -1)})


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    check_gradient(CASES[name])
    check_gradient(last(CASES[name]))


@pytest.mark.parametrize("name", sorted(CASES))
def test_ledger(name):
    check_ledger(CASES[name], "epsilon_plus")
    check_ledger(last(CASES[name]), "epsilon_plus")


def test_what_is_refused():
    for case, reason in (
        (fused(X, WEIGHT, activation="Unheard"), "the activation 'Unheard' is not supported"),
        (fused(X, WEIGHT, activation="Clip", activation_params=[0.0]), "Clip needs 2 activation_params"),
    ):
        for each in (case, last(case)):
            with pytest.raises(UnsupportedOperatorError, match=reason):
                onnxlrp.convert(each.model(), target="weights")
