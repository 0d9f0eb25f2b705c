"""The oracle: relevance of every value of a `Net`, backwards through dense matrices, one sample at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np

from tests.oracle.composites import Composite, Place
from tests.oracle.net import Array, Net, Step
from tests.oracle.onnx_nodes import run_node
from tests.oracle.rules import Layer, Rule, clamping, divide, minus, parameterless_flat, plus

LAYERS = ("convolution", "dense")
AFFINE = (*LAYERS, "bias", "batch_norm", "pad", "norm", "route", "scale", "shift")
BOX_LIKE = ("Flat", "WSquare", "ZBox")


def merged(net: Net) -> list[Step]:
    """Steps with bias, batch norm and zero padding taken into the layer they stand beside, as docs/rules.md says."""
    uses = Counter(name for step in net.steps for name in step.inputs) + Counter(net.outputs)
    steps: list[Step] = []
    for step in net.steps:
        before = steps[-1] if steps and steps[-1].output in step.inputs and uses[steps[-1].output] == 1 else None
        behind = before is not None and before.kind in LAYERS and step.kind in ("bias", "batch_norm")
        padded = before is not None and before.kind == "pad" and (step.op == "Conv" or step.kind == "pad")
        if before is not None and (behind or padded):
            kind = before.kind if behind else step.kind
            steps[-1] = Step(kind, before.nodes + step.nodes, before.inputs, step.output)
        else:
            steps.append(step)
    return steps


class Oracle:
    def __init__(self, net: Net, feeds: Mapping[str, Array], composite: Composite, overrides: Mapping[str, Rule] = {}):
        """`overrides`: a rule by the name or by the operator of a layer."""
        self.net, self.composite, self.overrides = net, composite, dict(overrides)
        self.steps = merged(net)
        self.values = dict(feeds)
        self.batch = next(iter(feeds.values())).shape[0]
        for step in self.steps:
            self.values[step.output] = net.run_step(step, {name: self.values[name] for name in step.inputs})
        self.clamps = composite.clamps == "always" or (
            composite.clamps == "with convolutions" and any(step.kind == "convolution" for step in self.steps)
        )
        self.maps: dict[str, tuple[list[Array], Array]] = {}

    # ------------------------------------------------------------------ where each step stands

    def _spatial(self, step: Step) -> int:
        """The axes that a convolution runs over."""
        kernel = self.net.constants[step.layer.input[1]].shape[2:]
        sizes = self.values[step.inputs[0]].shape[2:]
        return sum(not k == s == 1 for k, s in zip(kernel, sizes, strict=True))

    def _last(self, score: str) -> set[str]:
        """Outputs of the layers that a score reads without another in between."""
        near, found = {score}, set()
        for step in reversed(self.steps):
            if step.output in near and step.kind in LAYERS:
                found.add(step.output)
            elif step.output in near:
                near |= set(step.inputs)
        return found

    def _places(self, score: str) -> None:
        last = self._last(score)
        behind_layer: set[str] = set()
        convolutions = [step.output for step in self.steps if step.kind == "convolution"]
        self.rules: dict[str, Rule] = {}
        self.overridden: set[str] = set()
        self.before: dict[str, int] = {}
        """Number of convolutions before a step, in topological order."""
        first = []
        seen = 0
        for step in self.steps:
            inside = any(name in behind_layer for name in step.inputs)
            self.before[step.output] = seen
            if step.kind in LAYERS:
                spatial = self._spatial(step) if step.kind == "convolution" else 0
                end = step.output in last
                place = Place(step.kind == "convolution", not inside, seen, len(convolutions), end, spatial)
                own = self.overrides.get(step.layer.name) or self.overrides.get(step.layer.op_type)
                self.rules[step.output] = own or self.composite.layer(place)
                self.overridden |= {step.output} if own else set()
                if not inside:
                    first.append(step)
                seen += step.kind == "convolution"
            if inside or step.kind in LAYERS:
                behind_layer.add(step.output)
        # what stands between the inputs and a first layer, and whether that layer's rule asks for Flat there
        self.outside: set[str] = set()
        self.flattened: set[str] = set()
        for layer in first:
            wanted = set(layer.inputs)
            for step in reversed(self.steps):
                if step.output in wanted and step.output not in behind_layer:
                    wanted |= set(step.inputs)
                    self.outside.add(step.output)
                    if self.rules[layer.output].name in BOX_LIKE:
                        self.flattened.add(step.output)

    # ------------------------------------------------------------------ matrices

    def affine(self, step: Step) -> tuple[list[Array], Array]:
        """One matrix per data input, and the constant part: the step run on basis vectors."""
        if step.output not in self.maps:
            names = [f"operand{i}" for i in range(len(step.inputs))]
            renamed = Step(step.kind, [type(node)() for node in step.nodes], names, step.output)
            for copy, node in zip(renamed.nodes, step.nodes, strict=True):
                copy.CopyFrom(node)
            data = iter(names)
            for i, name in enumerate(step.nodes[0].input):
                if name in step.inputs:
                    renamed.nodes[0].input[i] = next(data)
            shapes = [self.values[name].shape[1:] for name in step.inputs]
            self.net.samples.update({name: np.zeros((1, *shape)) for name, shape in zip(names, shapes, strict=True)})
            runner = self.net.runner(renamed)

            def run(which: int, rows: Array) -> Array:
                count = rows.shape[0]
                given = {name: np.zeros((count, *shape)) for name, shape in zip(names, shapes, strict=True)}
                given[names[which]] = rows.reshape(count, *shapes[which])
                return runner(given)[step.output].reshape(count, -1)

            constant = run(0, np.zeros((1, int(np.prod(shapes[0])))))[0]
            matrices = [(run(i, np.eye(int(np.prod(shape)))) - constant).T for i, shape in enumerate(shapes)]
            self.maps[step.output] = matrices, constant
        return self.maps[step.output]

    def bounds(self, value: str, rule: Rule) -> tuple[Array, Array]:
        """The model's own bounds, carried to this value through affine steps."""
        shape = self.values[value].shape[1:]
        step = next((step for step in self.steps if step.output == value), None)
        if step is None:
            low, high = (np.broadcast_to(rule.params[k], (1, *shape)).ravel() for k in ("low", "high"))
            return low, high
        ends = [self.bounds(name, rule) for name in step.inputs]
        if step.kind not in AFFINE:
            shapes = [self.values[name].shape[1:] for name in step.inputs]
            rows = [
                self.net.run_step(
                    step, {n: e[i].reshape(1, *s) for n, e, s in zip(step.inputs, ends, shapes, strict=True)}
                )
                for i in (0, 1)
            ]
            return np.minimum(*rows).ravel(), np.maximum(*rows).ravel()
        matrices, constant = self.affine(step)
        low = constant + sum(plus(A) @ lo + minus(A) @ hi for A, (lo, hi) in zip(matrices, ends, strict=True))
        high = constant + sum(plus(A) @ hi + minus(A) @ lo for A, (lo, hi) in zip(matrices, ends, strict=True))
        return low, high

    # ------------------------------------------------------------------ backwards

    def scores(self, output: str) -> str:
        """The value whose entries are explained: before a final softmax or sigmoid, unless gradients are asked for."""
        for step in self.steps:
            if step.output == output and step.kind == "head" and not self.composite.rectifier:
                return step.inputs[0]
        return output

    def explain(
        self, output: str | None = None, target: int | list[int] | None = None, initial: str = "output"
    ) -> dict[str, Array]:
        """Relevance of every value that any reaches, by name."""
        output = self.scores(output or self.net.outputs[0])
        self._places(output)
        scores = self.values[output].reshape(self.batch, -1)
        chosen = np.broadcast_to(scores.argmax(1) if target is None else target, self.batch)
        collected: dict[str, list[Array]] = defaultdict(list)
        for n, k in enumerate(chosen):
            seed = np.zeros_like(scores[n])
            score = scores[n, k] if initial == "output" else 1.0
            seed[k] = {"score": score, "positive": max(score, 0), "one": 1.0}[self.composite.seed]
            with clamping("clamp" if self.clamps else None):
                relevance = self.backwards(n, {output: seed})
            for name in (*self.net.inputs, *(step.output for step in self.steps)):
                arrived = relevance.get(name, np.zeros(self.values[name][n].size))
                collected[name].append(arrived.reshape(self.values[name].shape[1:]))
        result = {name: np.stack(rows) for name, rows in collected.items()}
        if self.composite.times_input:
            result |= {name: result[name] * self.values[name] for name in self.net.inputs}
        return result

    def backwards(self, n: int, seeds: dict[str, Array]) -> dict[str, Array]:
        relevance = dict(seeds)
        for step in reversed(self.steps):
            if step.output not in relevance:
                continue
            r = relevance[step.output]
            shares = self.gradient(step, n, r) if self.composite.rectifier else self.share(step, n, r)
            for name, share in zip(step.inputs, shares, strict=True):
                relevance[name] = relevance.get(name, 0) + share
        return relevance

    def flat(self, name: str, n: int) -> Array:
        return self.values[name][n].ravel()

    def share(self, step: Step, n: int, r: Array) -> list[Array]:
        xs = [self.flat(name, n) for name in step.inputs]
        if step.kind in LAYERS:
            [A], b = self.affine(step)
            rule = self.rules[step.output]
            bounds = self.bounds(step.inputs[0], rule) if rule.name == "ZBox" else None
            with clamping("add" if step.output in self.overridden else None):
                return [rule(Layer(A, b), xs[0], r, bounds)]
        if step.kind == "pass":
            return [self.activation(step, n, r)]
        if step.kind == "winner":
            return self.winner(step, n, r)
        if step.kind == "product":
            if self.composite.uniform:
                return [self.broadcast_back(x, step.output, n, r, half=True) for x in step.inputs]
            return [self.broadcast_back(step.inputs[0], step.output, n, r), np.zeros_like(xs[1])]
        if step.kind == "quotient":
            return [self.broadcast_back(step.inputs[0], step.output, n, r), np.zeros_like(xs[1])]
        matrices, constant = self.affine(step)
        if step.kind in ("route", "pad"):
            return [A.T @ r for A in matrices]
        passed = step.kind == "scale" or (
            step.kind in ("shift", "batch_norm", "bias")
            and not self.shifts_an_activation(step)
            and (
                step.output in self.outside or (step.kind == "batch_norm" and self.composite.batch_norm.name == "Pass")
            )
        )
        if passed:
            return [(A != 0).astype(r.dtype).T @ r for A in matrices]
        A, x = np.hstack(matrices), np.concatenate(xs)
        if step.kind == "norm" and step.output in self.flattened:
            total = parameterless_flat(Layer(A, constant), x, r)
        else:
            rule = {"norm": self.composite.norm, "batch_norm": self.composite.batch_norm}.get(
                step.kind, Rule("LRP0") if step.output in self.outside else self.composite.shift
            )
            total = rule(Layer(A, constant), x, r)
        return np.split(total, np.cumsum([x.size for x in xs])[:-1])

    def shifts_an_activation(self, step: Step) -> bool:
        """Whether a constant is added to a function of one value, whose value at 0 it is a part of."""
        producer = {s.output: s for s in self.steps}
        while step.kind in ("shift", "scale") and len(step.inputs) == 1 and step.inputs[0] in producer:
            step = producer[step.inputs[0]]
        return step.kind == "pass"

    def activation(self, step: Step, n: int, r: Array) -> Array:
        """Without what the activation is at 0, as the table of docs/rules.md says."""
        z, y = self.flat(step.inputs[0], n), self.flat(step.output, n)
        at_zero = self.net.run_step(step, {step.inputs[0]: np.zeros_like(self.values[step.inputs[0]])})[n].ravel()
        if not at_zero.any():
            return r
        near = np.abs(z) < 1e-2
        share = np.where(near, step.derivative(z / 2), (y - at_zero) / np.where(near, 1.0, z))
        return np.where(y == 0, 0.0, r / np.where(y == 0, 1.0, y)) * share * z

    def broadcast_back(self, name: str, output: str, n: int, r: Array, half: bool = False) -> Array:
        """Relevance of the elements of an operand that was broadcast to the output."""
        z, shape = self.flat(output, n), self.values[name].shape[1:]
        if half:
            r = 0.5 * z * divide(r, z, 1e-6, 0.0)
        grid = r.reshape(self.values[output].shape[1:])
        axes = tuple(i for i, size in enumerate(shape) if size == 1 and grid.shape[i] != 1)
        return grid.sum(axes, keepdims=True).ravel()

    def winner(self, step: Step, n: int, r: Array) -> list[Array]:
        xs = [self.values[name] for name in step.inputs]
        if step.op == "MaxPool":
            rule = self.composite.pool(self.before[step.output], sum(s.kind == "convolution" for s in self.steps))
            if rule is not None:
                return [self.averaged(step, rule, n, r)]
            attributes = {a.name: a.ints or a.i or a.s for a in step.nodes[0].attribute}
            _, index = run_node("MaxPool", xs[0][n : n + 1], outputs=2, opset=self.net.opset, **attributes)
            share = np.zeros(xs[0][n].size)
            np.add.at(share, index.ravel(), r)
            return [share]
        if step.op == "GlobalMaxPool":
            rows = xs[0][n].reshape(xs[0].shape[1], -1)
            taken = np.zeros_like(rows)
            taken[np.arange(len(rows)), rows.argmax(1)] = r
            return [taken.ravel()]
        # elementwise Max or Min of operands of one shape: the first of equals wins
        stacked = np.stack([x[n].ravel() for x in xs])
        won = stacked.argmax(0) if step.op == "Max" else stacked.argmin(0)
        return [np.where(won == i, r, 0) for i in range(len(xs))]

    def averaged(self, step: Step, rule: Rule, n: int, r: Array) -> Array:
        node = type(step.nodes[0])()
        node.CopyFrom(step.nodes[0])
        node.op_type = "AveragePool"
        average = Step("norm", [node], step.inputs, step.output)
        [A], b = self.affine(average)
        del self.maps[step.output]
        return rule(Layer(A, b), self.flat(step.inputs[0], n), r)

    def gradient(self, step: Step, n: int, g: Array) -> list[Array]:
        if step.kind in AFFINE:
            return [A.T @ g for A in self.affine(step)[0]]
        z = self.flat(step.inputs[0], n)
        if step.kind == "winner":
            return self.winner(step, n, g)
        if step.kind == "head":
            y = self.flat(step.output, n)
            return [y * (g - (g @ y))] if step.op == "Softmax" else [g * y * (1 - y)]
        if step.kind in ("product", "quotient"):
            raise NotImplementedError(step.kind)
        assert step.derivative is not None
        if step.op != "Relu" or self.composite.rectifier == "gradient":
            return [g * step.derivative(z)]
        if self.composite.rectifier == "smooth":
            return [g / (1 + np.exp(-10 * z))]
        return [np.maximum(g, 0) * (1 if self.composite.rectifier == "deconvnet" else z > 0)]
