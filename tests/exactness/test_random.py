"""Networks put together at random, a random rule on each layer: against the oracle."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from tests.oracle.compare import TOLERANCE, Explained, error
from tests.oracle.composites import composite, of_package
from tests.oracle.engine import LAYERS, Oracle
from tests.oracle.net import Net
from tests.oracle.rules import Rule

SEEDS = range(int(os.environ.get("ONNXLRP_RANDOM_NETWORKS", "120")))
COMPOSITES: list[tuple[str, dict[str, Any]]] = [
    ("lrp0", {}),
    ("epsilon", {}),
    ("epsilon", {"epsilon": 0.05}),
    ("epsilon_gamma_box", {"low": -4.0, "high": 4.0}),
    ("epsilon_plus", {}),
    ("epsilon_plus_flat", {}),
    ("epsilon_alpha2_beta1_flat", {}),
    ("deep_taylor", {}),
    ("excitation_backprop", {}),
    ("attn_lrp", {"gamma": 0.3}),
    ("auto", {}),
    ("gradient", {}),
    ("deconvnet", {}),
    ("beta_smooth", {}),
]
RULES = [
    Rule("LRP0"),
    Rule("Epsilon", epsilon=0.01),
    Rule("Epsilon", epsilon=0.0, relative=0.2),
    Rule("Epsilon", zero_params="bias"),
    Rule("Gamma", gamma=0.5),
    Rule("Gamma", gamma=0.25, zero_params="bias"),
    Rule("ZPlus"),
    Rule("AlphaBeta", alpha=2.0, beta=1.0),
    Rule("AlphaBeta", alpha=1.5, beta=0.5, zero_params="bias"),
    Rule("WSquare"),
    Rule("Flat"),
]


class Author:
    """Writes one network from a seed."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.rank = int(self.rng.choice([1, 2, 2, 2, 3]))
        sizes = {1: [13], 2: [8, 7], 3: [5, 4, 4]}[self.rank]
        self.net = Net(seed, x=(int(self.rng.choice([2, 3, 4])), *sizes))
        self.values = ["x"]

    def pick(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def ints(self, *options: int) -> list[int]:
        return [self.pick(*options) for _ in range(self.rank)]

    def write(self) -> Net:
        h = "x"
        for _ in range(int(self.rng.integers(4, 10))):
            step = self.pick(
                *[self.conv] * 5,
                *[self.activation] * 4,
                *[self.batch_norm] * 2,
                *[self.pool] * 2,
                *[self.sum] * 3,
                self.conv_transpose,
                self.concat,
                self.constant,
                self.pad,
                self.slice,
                self.upsample,
                self.gate,
            )
            h = step(h)
            self.values.append(h)
        if self.pick(True, False):
            return self.net.output(self.net.head(h))
        return self.net.output(self.net.gemm(self.net.flatten(h), 4, bias=self.pick(True, False)))

    def sizes(self, h: str) -> tuple[int, ...]:
        return self.net.samples[h].shape[2:]

    def conv(self, h: str) -> str:
        kernel, dilations, strides = self.ints(1, 2, 3), self.ints(1, 1, 2), self.ints(1, 1, 2)
        pads = self.ints(0, 1) + self.ints(0, 1)
        kernel = [1 if (k - 1) * d >= n else k for k, d, n in zip(kernel, dilations, self.sizes(h), strict=True)]
        channels = self.net.channels(h)
        group = self.pick(1, 1, *[g for g in (2, 3, 4) if channels % g == 0])
        out = group * int(self.rng.integers(1, 4 if group == 1 else 3)) + (group == 1)
        options = {"dilations": dilations, "strides": strides, "group": group, "bias": self.pick(True, False)}
        if self.pick(True, False, False, False):
            return self.net.conv(h, out, kernel, auto_pad=self.pick("SAME_UPPER", "SAME_LOWER", "VALID"), **options)
        return self.net.conv(h, out, kernel, pads=pads, **options)

    def conv_transpose(self, h: str) -> str:
        if np.prod(self.sizes(h)) > 60:
            return self.conv(h)
        strides = self.ints(1, 2)
        extra = [self.pick(*range(s)) for s in strides]
        group = self.pick(1, 2) if self.net.channels(h) % 2 == 0 else 1
        return self.net.conv_transpose(
            h,
            group * 2,
            self.ints(2, 3),
            bias=self.pick(True, False),
            group=group,
            strides=strides,
            output_padding=extra,
            pads=self.ints(0, 1) + self.ints(0),
        )

    def activation(self, h: str) -> str:
        op = self.pick("Relu", "Relu", "Relu", "LeakyRelu", "Tanh", "Elu", "Softplus", "silu")
        if op == "Relu":
            return self.net.relu(h)
        return self.net.silu(h) if op == "silu" and f"{h}_silu" not in self.values else self.net.activation(h, "Tanh")

    def batch_norm(self, h: str) -> str:
        return self.net.batch_norm(h)

    def pool(self, h: str) -> str:
        kernel = self.pick(2, 3)
        if min(self.sizes(h)) < kernel:
            return self.conv(h)
        options = {"strides": self.ints(1, 2), "ceil_mode": self.pick(0, 1)}
        # with both, onnx's shape inference counts a last window that starts in the padding, which no runtime does
        options["pads"] = self.ints(0, 1) + (self.ints(0) if options["ceil_mode"] else self.ints(0, 1))
        if self.pick(True, False):
            return self.net.max_pool(h, kernel, **options)
        return self.net.average_pool(h, kernel, count_include_pad=self.pick(0, 1), **options)

    def sum(self, h: str) -> str:
        """With an earlier value of the same shape, with a layer of its own, or with itself."""
        alike = [v for v in self.values if self.net.samples[v].shape == self.net.samples[h].shape]
        # a value and an activation of it are one elementwise region, not two branches
        alike = [v for v in alike if v == h or self.root(v) != self.root(h)]
        other = self.pick(*alike, None) or self.net.conv(h, self.net.channels(h), 1)
        return self.net.sum(h, other, op=self.pick("Add", "Add", "Sub") if other != h else "Add")

    def root(self, value: str) -> str:
        """The last value before `value` that is not only an elementwise function of one before."""
        step = next((step for step in self.net.steps if step.output == value), None)
        elementwise = step is not None and step.kind in ("pass", "scale", "shift", "batch_norm")
        elementwise = elementwise or (step is not None and step.op in ("Add", "Sub") and len(set(step.inputs)) == 1)
        return self.root(step.inputs[0]) if step is not None and elementwise else value

    def concat(self, h: str) -> str:
        alike = [v for v in self.values if self.sizes(v) == self.sizes(h)]
        return self.net.concat(h, self.pick(*alike))

    def constant(self, h: str) -> str:
        per_channel = (self.net.channels(h), *[1] * self.rank)
        # not per channel, so that it is no part of the layer before it
        full = (1, *self.net.samples[h].shape[1:])
        if self.net.channels(h) == 1 or full[1:] == per_channel:
            return self.activation(h)
        value = self.net.weight(*full)[0] if self.pick(True, False) else self.net.weight(*full)
        if self.pick(True, False):
            return self.net.add_step("shift", "Add", [h], [value], front=self.pick(True, False))
        return self.net.add_step("scale", "Mul", [h], [value + np.sign(value)], front=self.pick(True, False))

    def pad(self, h: str) -> str:
        ends = [0, 0, *self.ints(0, 1), 0, 0, *self.ints(0, 1, 2)]
        return self.net.add_step("pad", "Pad", [h], [np.array(ends)])

    def slice(self, h: str) -> str:
        if min(self.sizes(h)) < 3:
            return self.activation(h)
        return self.net.add_step("route", "Slice", [h], [np.array([1]), np.array([100]), np.array([self.rank + 1])])

    def upsample(self, h: str) -> str:
        if np.prod(self.sizes(h)) > 30:
            return self.activation(h)
        scales = np.array([1, 1, *[2] * self.rank], np.float32)
        linear = self.pick(True, False)
        modes = {"mode": "linear"} if linear else {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
        return self.net.add_step("norm" if linear else "route", "Resize", [h], [None, scales], **modes)

    def gate(self, h: str) -> str:
        channels = self.net.channels(h)
        gate = self.net.activation(self.net.conv(self.net.global_average(h), channels, 1), "Sigmoid")
        return self.net.add_step("product", "Mul", [h, gate])


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(seed):
    author = Author(seed)
    net = author.write()
    name, params = author.pick(*COMPOSITES)
    reached = {net.outputs[0]}
    for step in reversed(net.steps):
        if step.output in reached:
            reached |= set(step.inputs[:1] if step.kind == "product" else step.inputs)
    layers = [step.layer.name for step in net.steps if step.kind in LAYERS and step.output in reached]
    overrides = {layer: author.pick(*RULES) for layer in layers if author.pick(True, False, False)}
    products = any(step.kind == "product" for step in net.steps)
    gradients = composite(name, **params).rectifier
    if gradients:
        overrides = {}
    feeds = net.feeds(batch=2, low=-4.0, high=4.0) if author.pick(True, False) else net.feeds(low=0.1, high=2.0)
    if gradients and products:
        name, params, gradients = "epsilon_plus", {}, None
    options = {"composite": of_package(name, **params)}
    options["rules"] = [(layer, rule.of_package()) for layer, rule in overrides.items()]
    explained = Explained(net.model(), **options)
    truth = Oracle(net, feeds, composite(name, **params), overrides).explain()["x"]
    ours = explained.relevance(feeds)["x"]
    if truth.any():
        assert error(ours, truth) <= TOLERANCE, f"{name} {params} {overrides}"
    else:
        assert not ours.any()
