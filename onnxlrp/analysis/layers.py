"""Layers: a convolution or a product with a constant, together with its bias."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.misses import attempt, holds, miss
from onnxlrp.graph.provenance import is_replaced
from onnxlrp.graph.readers import sole_reader
from onnxlrp.operators.quantised import has_packed_weight
from onnxlrp.operators.registry import Operator, find

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer `z = f(x; w, b)`, which is one node, or a MatMul and the Add of a constant that reads it."""

    kind: str
    entry: Operator
    call: Call
    data: int
    weight: int
    bias: ir.Value | None
    bias_operand: int | None
    """Index of the node's operand for the bias; None where an Add adds the bias or there is no bias."""
    add: ir.Node | None = None
    rounds: bool = False
    """True where the output is a rounded `f(x; w, b)`."""

    @property
    def x(self) -> ir.Value:
        return self.call.operand(self.data)

    @property
    def w(self) -> ir.Value:
        return self.call.operand(self.weight)

    @property
    def z(self) -> ir.Value:
        return self.add.outputs[0] if self.add is not None else self.call.outputs[0]

    @property
    def kernel_rounds(self) -> bool:
        """True where a session computes the output by a kernel that may round the input."""
        return self.rounds or (self.entry.layer is not None and self.entry.layer.rounds(self.call))

    @property
    def factors(self) -> list[ir.Value]:
        """List the operands that multiply the products of input and weight, such as a mask."""
        form = self.entry.layer
        assert form is not None
        return [v for v in map(self.call.input, form.factors) if v is not None]

    @property
    def alike_rows(self) -> bool:
        """True where equal rows of the input, along axis 0, yield equal rows of the output."""
        form = self.entry.layer
        assert form is not None
        return self.data == 0 and not self.entry.gradient_only and form.by_rows(self.call)

    @property
    def spatial(self) -> int:
        """Count the axes that a convolution runs over; 0 for a dense layer.

        Axes where both the input and the kernel have size 1 do not count, as in a series that is a picture of height 1.
        """
        if self.kind != "convolution":
            return 0
        kernel, size = self._kernel, self.x.shape
        sizes = size[2:] if size is not None and len(size) == len(kernel) + 2 else [None] * len(kernel)
        return sum(not (k == 1 and s == 1) for k, s in zip(kernel, sizes, strict=True))

    @property
    def overlaps(self) -> bool:
        """True where a convolution's kernel exceeds its stride along every axis, so that windows overlap."""
        strides = self.call.ints("strides", [1] * len(self._kernel))
        return bool(strides) and all(k > s for k, s in zip(self._kernel, strides, strict=True))

    @property
    def channels(self) -> int:
        """Count the channels of a convolution's input over all groups; 0 where the number is not known."""
        if self.kind != "convolution":
            return 0
        w, x = self.w.shape, self.x.shape
        if x is not None and len(x) > 1 and isinstance(x[1], int):
            return x[1]
        form = self.entry.layer
        size = None if w is None or form is None else w[form.channels]
        groups = int(self.call.attr("group", 1)) if form is not None and form.channels == 1 else 1
        return size * groups if isinstance(size, int) else 0

    @property
    def _kernel(self) -> list[int]:
        """Sizes of a convolution's kernel along each axis, 0 for one that is not known; empty for a dense layer."""
        if self.kind != "convolution" or self.w.shape is None:
            return []
        return [d if isinstance(d, int) else 0 for d in self.w.shape][2:]

    @property
    def products(self) -> int:
        """Count the products that an output element sums at most; 0 where a size is not known."""
        w, z, form = self.w.shape, self.call.outputs[0].shape, self.entry.layer
        assert form is not None
        axes = [1] if self.kind == "convolution" else form.features(self.call, self.data)
        features = [] if z is None else [z[axis] for axis in axes]
        known = [d for d in features if isinstance(d, int)]
        if w is None or not w.is_static() or len(known) != len(features):
            return 0
        return math.prod(w.numpy()) // max(math.prod(known), 1)

    def in_floats(self, op: Builder) -> Layer:
        """Return this layer in standard operators on float weights: itself, unless its weights are packed."""
        form = self.entry.layer
        if form is None or form.dequantised is None:
            return self
        call = form.dequantised(op, self.call)
        entry = find(call)
        assert entry is not None and entry.layer is not None
        (data, weight), own = entry.layer.operands[0], entry.layer.bias_of(call)
        return dataclasses.replace(
            self,
            entry=entry,
            call=call,
            data=data,
            weight=weight,
            bias=self.bias if own is None else own,
            bias_operand=None if own is None else entry.layer.bias,
            rounds=form.rounds(self.call),
        )

    def forward(self, op: Builder, x: ir.Value, w: ir.Value, b: ir.Value | None) -> ir.Value:
        """Emit the layer's computation on other operands."""
        operands: dict[int, ir.Value | None] = {self.data: x, self.weight: w}
        if self.bias_operand is not None:
            operands[self.bias_operand] = b
        out = op.run(self.call.rebind(operands))
        return op.Add(out, b) if b is not None and self.bias_operand is None else out

    def shift(self, op: Builder, b: ir.Value) -> ir.Value:
        """Return the amount that a bias adds to the output, in a shape that broadcasts to it."""
        if self.bias_operand is None:
            return b
        if self.kind == "convolution":
            return op.Unsqueeze(b, op.ints(range(1, self.call.rank(self.data) - 1)))
        beta = self.call.attr("beta", 1.0)
        return b if beta == 1 else op.Mul(b, op.number(beta, b))

    def transpose(self, op: Builder, r: ir.Value, x: ir.Value, w: ir.Value) -> ir.Value:
        """Carry `r` from the shape of the output back to the shape of `x`, with `w` for the weight."""
        return self.entry.function(op, self.call.rebind({self.data: x, self.weight: w}), self.data, r)


def find_layer(node: ir.Node, data: set[ir.Value], constants: set[ir.Value]) -> Layer | None:
    """Return a node as a layer; None where no operand or more than one is data, or the node has no rule."""
    return attempt("is no layer", node, _layer, node, data, constants)


def _layer(node: ir.Node, data: set[ir.Value], constants: set[ir.Value]) -> Layer | None:
    entry = find(node)
    if entry is None or entry.layer is None or is_replaced(node):
        return None
    form, call = entry.layer, Call.of(node)
    if (reason := entry.refuse(call)) is not None:
        return miss(reason)
    for at, weight in form.operands:
        x, w = call.input(at), call.input(weight)
        if x in data and w is not None and w not in data:
            break
    else:
        return miss("it has no operand that depends on an input beside a weight that depends on none")
    own = form.bias_of(call)
    if own is not None and own in data:
        return miss(f"its bias {own.name!r} depends on an input")
    rounds = form.dequantised is None and has_packed_weight(node, constants)
    if form.bias is not None and (own is not None or form.dequantised is None):
        return Layer(form.kind, entry, call, at, weight, own, form.bias, rounds=rounds)
    add, bias = _bias_add(node, form.features(call, at), constants)
    return Layer(form.kind, entry, call, at, weight, bias, None, add, rounds)


def _bias_add(
    node: ir.Node, features: Collection[int], constants: set[ir.Value]
) -> tuple[ir.Node | None, ir.Value | None]:
    """Return the Add that adds a bias to a product, and the bias: a constant that varies over output features only. The
    Add must be the product's sole reader; else both are None."""
    for use in tuple(node.outputs[0].uses()):
        what = f"is not taken for the bias of {node.op_type} {node.name!r}"
        if (bias := attempt(what, use.node, _bias, node, use.node, use.idx, features, constants)) is not None:
            return use.node, bias
    return None, None


def _bias(
    node: ir.Node, add: ir.Node, operand: int, features: Collection[int], constants: set[ir.Value]
) -> ir.Value | None:
    """Return the bias that `add` adds to the output of `node`, which is operand `operand` of `add`; None where `add`
    does anything else."""
    out = node.outputs[0]
    if add.domain != "" or add.op_type != "Add" or len(add.inputs) != 2 or out.shape is None:
        return None
    if sole_reader(out) is None:
        return miss(f"{out.name!r} is read by other nodes too, or is an output")
    bias = add.inputs[1 - operand]
    if bias is None or bias not in constants or bias.shape is None or len(bias.shape) > len(out.shape):
        return miss("its other operand depends on an input, or broadcasts the product")
    varies = [a - len(bias.shape) for a, d in enumerate(bias.shape) if d != 1]
    alone = all(a in features for a in varies)
    return bias if holds(alone, f"{bias.name!r} varies along other axes than the features") else None
