"""Small random float64 networks, written once: as an ONNX model for the compiler, as a list of steps for the oracle.

Each method adds a node (now and then two), and says by `kind` how the oracle treats it. Shapes come from running the
node on a sample, so no method computes one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.oracle.onnx_nodes import model_of
from tests.oracle.reference import Runner

Array = np.ndarray
LAYER_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclasses.dataclass
class Step:
    kind: str
    """convolution, dense: layers · bias, batch_norm, pad: may become part of a layer · norm: linear, shares in
    proportion · route: values move · scale, shift: by a constant · pass: elementwise · winner: a maximum ·
    product, quotient: of two data operands · head: skipped before the output."""
    nodes: list[onnx.NodeProto]
    inputs: list[str]
    """The data among the inputs of the first node."""
    output: str
    derivative: Callable[[Array], Array] | None = None

    @property
    def op(self) -> str:
        return self.nodes[0].op_type

    @property
    def layer(self) -> onnx.NodeProto:
        """Of a step that a padding, a bias or a batch norm went into: the layer itself."""
        return next(node for node in self.nodes if node.op_type in LAYER_OPERATORS)


class Net:
    def __init__(self, seed: int = 0, opset: int = 21, **inputs: Sequence[int]):
        """Inputs by name, each with its shape behind the batch axis."""
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.steps: list[Step] = []
        self.constants: dict[str, Array] = {}
        self.samples = {name: self.rng.normal(size=(2, *shape)) for name, shape in self.inputs.items()}
        self.outputs: list[str] = []

    # ------------------------------------------------------------------ what makes a model of it

    def output(self, *values: str) -> Net:
        """These values, in this order; the first is explained unless the caller says otherwise."""
        self.outputs = list(values)
        return self

    def model(self, batch: int | str | None = "N", dynamic: bool = False) -> onnx.ModelProto:
        """With a symbolic batch; `dynamic`: spatial axes too."""
        shapes = {
            name: [batch, shape[0], *([f"{name}{i}" for i in range(len(shape) - 1)] if dynamic else shape[1:])]
            for name, shape in self.inputs.items()
        }
        nodes = [node for step in self.steps for node in step.nodes]
        described = {o: [batch, *self.samples[o].shape[1:]] for o in self.outputs}
        model = model_of(nodes, shapes, self.outputs, self.constants, opset=self.opset, output_shapes=described)
        onnx.checker.check_model(model, full_check=True)
        return model

    def feeds(self, batch: int = 2, seed: int = 1, low: float | None = None, high: float | None = None):
        """Inputs of both signs; with `low` and `high` uniform between these."""
        rng = np.random.default_rng(seed)
        draw = (lambda size: rng.normal(size=size)) if low is None else (lambda size: rng.uniform(low, high, size=size))
        return {name: draw((batch, *shape)) for name, shape in self.inputs.items()}

    # ------------------------------------------------------------------ building blocks

    def weight(self, *shape: int, positive: bool = False) -> Array:
        fan = max(1, int(np.prod(shape[1:])))
        values = self.rng.normal(size=shape) / np.sqrt(fan)
        # no weight is so small that two ways to compute a sign could differ
        values += np.sign(values) * 0.02
        return np.abs(values) if positive else values

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def add_step(
        self,
        kind: str,
        op: str,
        inputs: Sequence[str],
        constants: Sequence[Any] = (),
        front: bool = False,
        **attributes,
    ) -> str:
        """A node; `front`: its constants come before its data. A constant None is an input left out."""
        options = {name: attributes.pop(name) for name in ("derivative",) if name in attributes}
        names = ["" if value is None else self.constant(value) for value in constants]
        operands = [*names, *inputs] if front else [*inputs, *names]
        output = f"v{sum(len(step.nodes) for step in self.steps)}"
        node = helper.make_node(op, operands, [output], name=f"/{op}_{output}", **attributes)
        self.add(Step(kind, [node], list(inputs), output, **options))
        return output

    def add(self, step: Step) -> str:
        self.steps.append(step)
        self.samples[step.output] = self.run_step(step, {name: self.samples[name] for name in step.inputs})
        return step.output

    def run_step(self, step: Step, values: dict[str, Array]) -> Array:
        return self.runner(step)(values)[step.output]

    def runner(self, step: Step) -> Runner:
        used = {name for node in step.nodes for name in node.input}
        constants = {name: value for name, value in self.constants.items() if name in used}
        shapes: dict[str, Sequence[None]] = {name: [None] * self.samples[name].ndim for name in step.inputs}
        return Runner(model_of(step.nodes, shapes, [step.output], constants, opset=self.opset))

    def channels(self, x: str) -> int:
        return self.samples[x].shape[1]

    def rank(self, x: str) -> int:
        """Number of spatial axes."""
        return self.samples[x].ndim - 2

    # ------------------------------------------------------------------ layers

    def conv(
        self, x: str, out: int, kernel: int | list[int] = 3, bias: bool = True, group: int = 1, **attributes
    ) -> str:
        rank = self.rank(x)
        sizes = [kernel] * rank if isinstance(kernel, int) else kernel
        w = self.weight(out, self.channels(x) // group, *sizes)
        b = [self.weight(out)] if bias else []
        return self.add_step("convolution", "Conv", [x], [w, *b], group=group, **attributes)

    def conv_transpose(self, x: str, out: int, kernel=3, bias: bool = True, group: int = 1, **attributes) -> str:
        sizes = [kernel] * self.rank(x) if isinstance(kernel, int) else kernel
        w = self.weight(self.channels(x), out // group, *sizes)
        b = [self.weight(out)] if bias else []
        return self.add_step("convolution", "ConvTranspose", [x], [w, *b], group=group, **attributes)

    def gemm(self, x: str, out: int, bias: bool = True, transposed: bool = True) -> str:
        n = self.samples[x].shape[-1]
        w = self.weight(out, n) if transposed else self.weight(out, n).T
        b = [self.weight(out)] if bias else []
        return self.add_step("dense", "Gemm", [x], [w, *b], transB=int(transposed))

    def matmul(self, x: str, out: int, bias: bool = True, left: bool = False) -> str:
        """The last axis mixed, or with `left` the one before it; a bias is an Add of its own."""
        if left:
            y = self.add_step("dense", "MatMul", [x], [self.weight(out, self.samples[x].shape[-2])], front=True)
            return self.add_step("bias", "Add", [y], [self.weight(out, 1)]) if bias else y
        y = self.add_step("dense", "MatMul", [x], [self.weight(out, self.samples[x].shape[-1]).T])
        return self.add_step("bias", "Add", [y], [self.weight(out)]) if bias else y

    def batch_norm(self, x: str) -> str:
        n = self.channels(x)
        scale = self.weight(n) + np.sign(self.weight(n))
        values = [scale, self.weight(n), self.weight(n), self.rng.uniform(0.5, 2.0, size=n)]
        return self.add_step("batch_norm", "BatchNormalization", [x], values, epsilon=1e-3)

    # ------------------------------------------------------------------ everything else

    def relu(self, x: str) -> str:
        return self.add_step("pass", "Relu", [x], derivative=lambda z: (z > 0).astype(z.dtype))

    def activation(self, x: str, op: str) -> str:
        derivative = {
            "Tanh": lambda z: 1 - np.tanh(z) ** 2,
            "Sigmoid": lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
            "LeakyRelu": lambda z: np.where(z > 0, 1, float(np.float32(0.01))),
            "Softplus": lambda z: 1 / (1 + np.exp(-z)),
            "Elu": lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))),
        }[op]
        return self.add_step("pass", op, [x], derivative=derivative)

    def clip(self, x: str, low: float = 0.0, high: float | None = 1.0) -> str:
        def derivative(z: Array) -> Array:
            # at a bound 1, as torch has it
            return ((z >= low) & (z <= (np.inf if high is None else high))).astype(z.dtype)

        bounds = [np.float64(low)] if high is None else [np.float64(low), np.float64(high)]
        return self.add_step("pass", "Clip", [x], bounds, derivative=derivative)

    def silu(self, x: str) -> str:
        """x·sigmoid(x) as exporters write it: one elementwise region of one data input."""
        gate, output = f"{x}_gate", f"{x}_silu"
        nodes = [
            helper.make_node("Sigmoid", [x], [gate], name=f"/Sigmoid_{gate}"),
            helper.make_node("Mul", [x, gate], [output], name=f"/Mul_{output}"),
        ]

        def derivative(z: Array) -> Array:
            s = 1 / (1 + np.exp(-z))
            return s + z * s * (1 - s)

        return self.add(Step("pass", nodes, [x], output, derivative))

    def max_pool(self, x: str, kernel: int, **attributes) -> str:
        return self.add_step("winner", "MaxPool", [x], kernel_shape=[kernel] * self.rank(x), **attributes)

    def average_pool(self, x: str, kernel: int, **attributes) -> str:
        return self.add_step("norm", "AveragePool", [x], kernel_shape=[kernel] * self.rank(x), **attributes)

    def global_average(self, x: str) -> str:
        return self.add_step("norm", "GlobalAveragePool", [x])

    def flatten(self, x: str) -> str:
        return self.add_step("route", "Flatten", [x], axis=1)

    def sum(self, *xs: str, op: str = "Add") -> str:
        return self.add_step("norm", op, xs)

    def concat(self, *xs: str) -> str:
        return self.add_step("route", "Concat", xs, axis=1)

    def head(self, x: str, classes: int = 4) -> str:
        """The usual end: average over space, flatten, one dense layer."""
        return self.gemm(self.flatten(self.global_average(x)), classes)
