"""Networks of products, softmax and norms, with their relevance by explicit Jacobians.

Every rule here is one formula: `R_in = share · x ⊙ Jᵀ(R / s(d))`, with J the Jacobian of the step in that operand while
everything that docs/rules.md (Rules for linear layers) calls constant is held fixed, and d the denominator. J is
computed by complex steps, exact to rounding (Squire & Trapp 1998), so no transpose or derivative of ours is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray
EPSILON = 1e-6


def jacobian(f: Callable[[Array], Array], x: Array) -> Array:
    """df/dx as [size of f, size of x]."""
    step = 1e-30
    columns = []
    for i in range(x.size):
        moved = x.astype(complex)
        moved.flat[i] += 1j * step
        columns.append(f(moved).imag.ravel() / step)
    return np.stack(columns, axis=1)


def stabilised(d: Array) -> Array:
    """s(d) = d + sgn(d)·ε, sgn(0) = +1."""
    return d + np.where(d >= 0, EPSILON, -EPSILON)


def softmax(x: Array, axis: int) -> Array:
    """exp(x) / Σ exp(x), masked entries (−inf) 0."""
    e = np.where(np.isneginf(x.real), 0, np.exp(x - x.real.max(axis, keepdims=True)))
    return e / e.sum(axis, keepdims=True)


class Tape:
    """A network that is run in NumPy while it is written as ONNX; `relevance` walks it backwards."""

    def __init__(self, **inputs: Array) -> None:
        self.inputs = inputs
        self.values: dict[str, Array] = dict(inputs)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.steps: list[tuple[str, Callable[[Array], dict[str, Array]]]] = []

    def constant(self, array: Any) -> str:
        """A weight; its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op_type: str, inputs: Sequence[str], value: Array, back, **attributes: Any) -> str:
        """Append a node with its value and `back(R) -> {operand: relevance}`."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=f"{op_type}_{name}", **attributes))
        self.values[name] = value
        self.steps.append((name, back))
        return name

    def back(self, f: Callable[[Array], Array], operand: str, d: Array, share: float = 1.0):
        """`R -> share · x ⊙ Jᵀ(R / s(d))` for one operand."""
        x = self.values[operand]
        j = jacobian(f, x)
        return lambda r: share * x * (j.T @ (r / stabilised(d)).ravel()).reshape(x.shape)

    # Steps

    def dense(self, x: str, weight: Array, bias: Array | None = None) -> str:
        """x·W + b: Epsilon, b in the denominator."""
        shift = 0 if bias is None else bias
        z = self.values[x] @ weight + shift
        back = self.back(lambda v: v @ weight, x, z)
        product = self.node("MatMul", [x, self.constant(weight)], z - shift, lambda r: {x: back(r)})
        if bias is None:
            return product
        return self.node("Add", [product, self.constant(bias)], z, lambda r: {product: r})

    def move(self, x: str, op_type: str, f: Callable[[Array], Array], *constants: Any, **attributes: Any) -> str:
        """Routing: Jᵀ R."""
        j, shape = jacobian(f, self.values[x]), self.values[x].shape
        names = [self.constant(np.array(c)) for c in constants]
        return self.node(
            op_type,
            [x, *names],
            f(self.values[x]),
            lambda r: {x: (j.T @ r.ravel()).reshape(shape)},
            **attributes,
        )

    def add(self, a: str, b: str) -> str:
        """Each in proportion to its contribution."""
        z = self.values[a] + self.values[b]
        parts = {name: self.back(lambda v, o=other: v + self.values[o], name, z) for name, other in ((a, b), (b, a))}
        return self.node("Add", [a, b], z, lambda r: {name: back(r) for name, back in parts.items()})

    def shift(self, x: str, constant: Array) -> str:
        """A constant that is added absorbs its share; where it is −inf, nothing comes back."""
        z, hidden = self.values[x] + constant, np.isneginf(constant)
        v = self.values[x]
        return self.node(
            "Add",
            [x, self.constant(constant)],
            z,
            lambda r: {x: np.where(hidden, 0, v * r / stabilised(np.where(hidden, 1, z)))},
        )

    def scale(self, x: str, factor: float) -> str:
        """Times a constant: R as it is."""
        return self.node("Mul", [x, self.constant(np.array(factor))], self.values[x] * factor, lambda r: {x: r})

    def matmul(self, a: str, b: str, shares: tuple[float, float]) -> str:
        """A·B of two data operands: `share · A ⊙ [(R/s(z))·Bᵀ]` and `share · B ⊙ [Aᵀ·(R/s(z))]`."""
        left, right = self.values[a], self.values[b]
        z = left @ right
        backs = (self.back(lambda v: v @ right, a, z, shares[0]), self.back(lambda v: left @ v, b, z, shares[1]))
        return self.node("MatMul", [a, b], z, lambda r: {a: backs[0](r), b: backs[1](r)})

    def multiply(self, a: str, b: str, shares: tuple[float, float]) -> str:
        """a ⊙ b of two data operands; a signal that takes all takes R as it is."""
        z = self.values[a] * self.values[b]

        def back(r: Array) -> dict[str, Array]:
            kept = r if 1.0 in shares else r * z / stabilised(z)
            return {a: shares[0] * kept, b: shares[1] * kept}

        return self.node("Mul", [a, b], z, back)

    def softmax(self, x: str, axis: int) -> str:
        """x ⊙ Jᵀ(R/y) = x·(R − y·ΣR), masked entries 0 (AttnLRP, Prop. 3.1)."""
        v = self.values[x]
        y, hidden = softmax(v, axis), np.isneginf(v)
        finite = np.where(hidden, 0, v)
        j = jacobian(lambda u: softmax(np.where(hidden, -np.inf, u), axis), finite)

        def back(r: Array) -> dict[str, Array]:
            return {x: finite * (j.T @ (r / np.where(hidden, 1, y)).ravel()).reshape(v.shape)}

        return self.node("Softmax", [x], y, back, axis=axis)

    def norm(self, x: str, op_type: str, f: Callable[[Array, Array], Array], fixed: Array, shift: Array, *weights, **a):
        """`f(x; statistics)` with the statistics held fixed, plus a shift that absorbs its share."""
        y = f(self.values[x], fixed) + shift
        back = self.back(lambda v: f(v, fixed), x, y)
        return self.node(op_type, [x, *map(self.constant, weights)], y, lambda r: {x: back(r)}, **a)

    def activation(self, x: str, op_type: str, f: Callable[[Array], Array], **attributes: Any) -> str:
        """R but for the share of what the function is at 0."""
        y, at_zero = f(self.values[x]), f(np.zeros(()))
        return self.node(op_type, [x], y, lambda r: {x: r * (y - at_zero) / y if at_zero else r}, **attributes)

    # The whole

    def model(self, output: str) -> onnx.ModelProto:
        """The network as ONNX, in float64."""
        kinds = {k: helper.np_dtype_to_tensor_dtype(v.dtype) for k, v in self.inputs.items()}
        inputs = [helper.make_tensor_value_info(k, kinds[k], list(v.shape)) for k, v in self.inputs.items()]
        outputs = [helper.make_tensor_value_info(output, TensorProto.DOUBLE, list(self.values[output].shape))]
        graph = helper.make_graph(self.nodes, "tape", inputs, outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def relevance(self, output: str, seed: Array) -> dict[str, Array]:
        """Relevance of every value that any reaches."""
        found: dict[str, Array] = {output: seed}
        for name, back in reversed(self.steps):
            if name in found:
                for operand, r in back(found[name]).items():
                    found[operand] = found.get(operand, 0) + r
        return found
