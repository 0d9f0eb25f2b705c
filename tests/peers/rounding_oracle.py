"""LRP of a quantised graph in float64: torch runs it node by node with its rounding steps kept, and autograd with each
operator's own rule in the place of its derivative gives the relevance.

It shares nothing with the package. Integers are held as the numbers that they stand for; layers are
`z = f(x; w, b)` on dequantised values. Where the deployed model rounded to is taken from it (`rounded`): its integer
arithmetic decides, not the order of additions here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F

EPSILON = 1e-6
Tensor = torch.Tensor


def stabilised(z: Tensor) -> Tensor:
    return z + torch.where(z >= 0, EPSILON, -EPSILON)


class Rule(torch.autograd.Function):
    """A value whose backward is a rule: `back(R)` gives the relevance of the one operand."""

    @staticmethod
    def forward(context: Any, x: Tensor, value: Tensor, back: Callable) -> Tensor:
        context.back = back
        return value.clone()

    @staticmethod
    def backward(context: Any, r: Tensor) -> tuple:
        return context.back(r), None, None


def pulled(f: Callable, x: Tensor, s: Tensor) -> Tensor:
    """`fᵀ s` of a linear f."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(f(x), x, s)[0]


def passes(x: Tensor, value: Tensor) -> Tensor:
    return Rule.apply(x, value.detach(), lambda r: r)


def epsilon(f: Callable, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    with torch.no_grad():
        z = f(x, w, b)
    return Rule.apply(x, z, lambda r: x * pulled(lambda v: f(v, w, None), x, r / stabilised(z)))


def z_plus(f: Callable, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    with torch.no_grad():
        z, high, low = f(x, w, b), x.clamp(min=0), x.clamp(max=0)
        up, down = w.clamp(min=0), w.clamp(max=0)
        d = stabilised(f(high, up, None if b is None else b.clamp(min=0)) + f(low, down, None))

    def back(r: Tensor) -> Tensor:
        return high * pulled(lambda v: f(v, up, None), x, r / d) + low * pulled(lambda v: f(v, down, None), x, r / d)

    return Rule.apply(x, z, back)


def proportional(f: Callable, x: Tensor) -> Tensor:
    """A mean or sum of one operand."""
    return epsilon(lambda v, w, b: f(v), x, x.new_zeros(()), None)


def plus(a: Tensor, b: Tensor) -> Tensor:
    """Each operand in proportion to its share; a constant absorbs its own."""
    z = (a + b).detach()

    def share(v: Tensor) -> Tensor:
        value = v.detach().expand(z.shape)
        return Rule.apply(v.expand(z.shape), z * 0, lambda r: r * value / stabilised(z))

    parts = [share(v) for v in (a, b) if v.requires_grad]
    return sum(parts, z)


def layer_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """`x · Jᵀ(R / s(y))`, σ constant."""
    with torch.no_grad():
        middle = x - x.mean(-1, keepdim=True)
        factor = scale / (middle.square().mean(-1, keepdim=True) + eps).sqrt()
        y = middle * factor + shift

    def back(r: Tensor) -> Tensor:
        s = r / stabilised(y) * factor
        return x * (s - s.mean(-1, keepdim=True))

    return Rule.apply(x, y, back)


def convolution(node: onnx.NodeProto) -> Callable:
    a = attributes(node)
    begin, end = a.get("pads", [0] * 4)[:2], a.get("pads", [0] * 4)[2:]
    assert begin == end

    def run(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        return F.conv2d(x, w, b, a.get("strides", 1), tuple(begin), a.get("dilations", 1), a.get("group", 1))

    return run


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


class Oracle:
    """One run of a graph; `relevance(target)` afterwards."""

    def __init__(self, model: onnx.ModelProto, feeds: dict[str, np.ndarray], rounded: dict[str, np.ndarray]) -> None:
        self.nodes, self.rounded, self.feeds = list(model.graph.node), rounded, feeds
        self.values: dict[str, Any] = {t.name: self.tensor(numpy_helper.to_array(t)) for t in model.graph.initializer}
        self.made = {o: n for n in self.nodes for o in n.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.explained: Tensor | None = None
        self.misses, self.count = 0, 0
        for name, value in feeds.items():
            self.values[name] = self.tensor(value)
            if np.issubdtype(value.dtype, np.floating):
                self.explained = self.values[name].requires_grad_()
        for node in self.nodes:
            if not all(o in self.values for o in node.output):
                self.run(node)
        self.output = self.values[model.graph.output[0].name]

    @staticmethod
    def tensor(array: np.ndarray) -> Tensor:
        floating = np.issubdtype(array.dtype, np.floating)
        return torch.tensor(array.astype(np.float64) if floating else array)

    def relevance(self, target: np.ndarray) -> np.ndarray:
        seed = F.one_hot(torch.tensor(target), self.output.shape[1]) * self.output.detach()
        (r,) = torch.autograd.grad(self.output, self.explained, seed)
        return r.numpy()

    # ------------------------------------------------------------------------------------------ integers

    def constant(self, name: str) -> bool:
        value = self.values.get(name)
        return value is not None and not value.requires_grad

    def real(self, node: onnx.NodeProto, at: int, axis: int | None = None) -> Tensor:
        """An operand with its scale and zero point behind it: what its integers stand for."""
        names = [n if len(node.input) > i else "" for i, n in enumerate(node.input)] + ["", ""]
        value, scale, zero = names[at], names[at + 1], names[at + 2]
        x = self.values[value]
        return x if x.is_floating_point() else self.dequantised(x, scale, zero, axis)

    def dequantised(self, x: Tensor, scale: str, zero: str, axis: int | None) -> Tensor:
        numbers, factor = x.double(), self.values[scale]
        shift = self.values[zero].double() if zero else torch.zeros(())
        if axis is not None and factor.dim() == 1 and factor.numel() > 1:
            shape = [-1 if a == axis % x.dim() else 1 for a in range(x.dim())]
            factor, shift = factor.reshape(shape), shift.reshape(shape if shift.numel() > 1 else ())
        return (numbers - shift.reshape(() if shift.numel() == 1 else shift.shape)) * (
            factor.reshape(()) if factor.numel() == 1 else factor
        )

    def round(self, node: onnx.NodeProto, z: Tensor, scale: str, zero: str) -> Tensor:
        """The rounded value; the deployed model's own where it is known, which must be at most a step away."""
        name, factor, shift = node.output[0], self.values[scale].reshape(()), self.values[zero].reshape(())
        ends = torch.iinfo(shift.dtype)
        own = ((z.detach() / factor).round() + shift.double()).clamp(ends.min, ends.max)
        if name in self.rounded:
            theirs = torch.tensor(self.rounded[name]).double()
            assert (own - theirs).abs().max() < 1.01, name
            self.misses, self.count = self.misses + int(((own - theirs).abs() > 0.5).sum()), self.count + own.numel()
            own = theirs
        return passes(z, (own - shift.double()) * factor)

    # -------------------------------------------------------------------------------------------- layers

    def layer(self, node: onnx.NodeProto, f: Callable, x: Tensor, w: Tensor, b: Tensor | None, dense: bool) -> None:
        """With the Cast, scale and bias that stand behind a product of integers, or the bias behind a MatMul."""
        end, name, skipped = node, node.output[0], []
        while len(readers := self.readers.get(name, [])) == 1 and end.op_type != "Add":
            (reader,) = readers
            other = [n for n in reader.input if n != name]
            if reader.op_type not in ("Cast", "Mul", "Add") or not all(self.known(n) for n in other):
                break
            if reader.op_type == "Mul":
                w = w * (self.values[other[0]] if dense else self.values[other[0]].reshape(()))
            if reader.op_type == "Add":
                b = self.values[other[0]] if dense else self.values[other[0]].reshape(-1)
            skipped.append(name)
            end, name = reader, reader.output[0]
        z = (epsilon if dense else z_plus)(f, x, w, b)
        # Sums of integers that are equal stay equal: ties of a pool are met as they are deployed.
        z = passes(z, z.detach().float().double())
        self.values |= dict.fromkeys(skipped, z.detach())
        at = {"QLinearConv": 6, "QLinearMatMul": 6, "QGemm": 7}.get(end.op_type)
        rounds = at is not None and len(end.input) > at
        self.values[end.output[0]] = self.round(end, z, *end.input[at : at + 2]) if rounds else z

    def known(self, name: str) -> bool:
        """Whether a value depends on no input; runs what makes it if need be."""
        if name not in self.values:
            node = self.made.get(name)
            if node is None or not all(self.known(n) for n in node.input if n):
                return False
            self.run(node)
        return self.constant(name)

    # ------------------------------------------------------------------------------------------ operators

    def run(self, node: onnx.NodeProto) -> None:
        v = [self.values.get(n) for n in node.input]
        made = getattr(self, f"op_{node.op_type.lower()}")(node, attributes(node), *v)
        if made is not None:
            for name, value in zip(node.output, made if isinstance(made, (tuple, list)) else [made], strict=False):
                self.values[name] = value

    def op_quantizelinear(self, node, a, x, scale, zero):
        return self.round(node, x, *node.input[1:3])

    def op_dequantizelinear(self, node, a, x, scale, zero=None):
        if not x.is_floating_point():
            return self.dequantised(x, node.input[1], node.input[2] if zero is not None else "", a.get("axis", 1))
        if node.output[0] in self.rounded:
            theirs = torch.tensor(self.rounded[node.output[0]]).double()
            away = (theirs - x).abs()
            assert away.max() <= 1.01 * scale.max(), node.name
            self.misses, self.count = self.misses + int((away > scale.max() / 2).sum()), self.count + x.numel()
            return passes(x, theirs)
        return x

    def op_dynamicquantizelinear(self, node, a, x):
        low, high = min(float(x.detach().min()), 0.0), max(float(x.detach().max()), 0.0)
        scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(255))
        zero = np.clip(np.rint((0 - np.float32(low)) / scale), 0, 255)
        own = np.clip(np.rint(x.detach().numpy().astype(np.float32) / scale) + zero, 0, 255)
        q, s, z = (self.rounded.get(name) for name in node.output)
        if q is not None:
            self.misses, self.count = self.misses + int((q != own).sum()), self.count + own.size
            assert np.abs(q.astype(int) - own).max() <= 1
            own = q
        scale, zero = (scale if s is None else s), (zero if z is None else z)
        # The scale is in the numbers already.
        real = passes(x, torch.tensor((own.astype(np.float64) - float(zero)) * float(scale)))
        return real, torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.uint8)

    def op_conv(self, node, a, x, w, b=None):
        self.layer(node, convolution(node), x, w, b, dense=False)

    def op_convinteger(self, node, a, x, w, x_zero=None, w_zero=None):
        self.layer(node, convolution(node), x, w.double() - (0 if w_zero is None else w_zero.double()), None, False)

    def op_matmulinteger(self, node, a, x, w, x_zero=None, w_zero=None):
        self.layer(node, product, x, w.double() - (0 if w_zero is None else w_zero.double()), None, True)

    def op_qlinearconv(self, node, a, *_):
        x, w = self.real(node, 0), self.real(node, 3, 0)
        scales = self.values[node.input[1]].reshape(-1) * self.values[node.input[4]].reshape(-1)
        bias = self.values[node.input[8]].double() * scales if len(node.input) > 8 else None
        self.layer(node, convolution(node), x, w, bias, dense=False)

    def op_gemm(self, node, a, x, w, b=None):
        self.layer(node, product, x, w.T if a.get("transB") else w, b, dense=True)

    def op_qgemm(self, node, a, *_):
        w, scales = self.real(node, 3, 0 if a.get("transB") else 1), (self.values[node.input[i]] for i in (1, 4))
        bias = self.values[node.input[6]].double() * next(scales).reshape(-1) * next(scales).reshape(-1)
        self.layer(node, product, self.real(node, 0), w.T if a.get("transB") else w, bias, dense=True)

    def op_matmul(self, node, a, x, w):
        if not w.requires_grad and x.requires_grad:
            return self.layer(node, product, x, w, None, dense=True)
        # Attention: the values take all, the weights none.
        return epsilon(lambda v, u, b: u @ v, w, x.detach(), None) if w.requires_grad else x @ w

    def op_qlinearmatmul(self, node, a, *_):
        x, w = self.real(node, 0), self.real(node, 3, 1)
        if not w.requires_grad and x.requires_grad:
            return self.layer(node, product, x, w, None, dense=True)
        z = epsilon(lambda v, u, b: u @ v, w, x.detach(), None) if w.requires_grad else x @ w
        return self.round(node, z, *node.input[6:8])

    def op_add(self, node, a, x, y):
        return plus(x, y) if x.requires_grad or y.requires_grad else x + y

    def op_qlinearadd(self, node, a, *_):
        return self.round(node, plus(self.real(node, 0), self.real(node, 3)), *node.input[6:8])

    def op_mul(self, node, a, x, y):
        data = [v for v in (x, y) if v.requires_grad]
        assert len(data) < 2
        return passes(data[0].expand((x * y).shape), x * y) if data else x * y

    def op_qlinearmul(self, node, a, *_):
        return self.round(node, self.op_mul(node, a, self.real(node, 0), self.real(node, 3)), *node.input[6:8])

    def op_div(self, node, a, x, y):
        return passes(x, x / y) if x.requires_grad else x / y

    def op_sub(self, node, a, x, y):
        return x - y

    def op_relu(self, node, a, x):
        return passes(x, x.relu())

    def op_clip(self, node, a, x, low=None, high=None):
        return passes(x, x.clamp(low, high))

    def op_erf(self, node, a, x):
        # The gate of a GELU: its operand beside it takes all.
        return torch.erf(x.detach())

    def op_tanh(self, node, a, x):
        return passes(x, x.tanh())

    def op_softmax(self, node, a, x):
        return x.detach().softmax(a.get("axis", -1))

    def op_qlinearsoftmax(self, node, a, *_):
        z = self.real(node, 0).detach().softmax(a.get("axis", -1))
        return self.round(node, z, *node.input[3:5]).detach()

    def op_layernormalization(self, node, a, x, scale, shift):
        return layer_norm(x, scale, shift, a.get("epsilon", 1e-5))

    def op_globalaveragepool(self, node, a, x):
        return proportional(lambda v: v.mean((2, 3), keepdim=True), x)

    def op_qlinearglobalaveragepool(self, node, a, *_):
        return self.round(node, self.op_globalaveragepool(node, a, self.real(node, 0)), *node.input[3:5])

    def op_reducemean(self, node, a, x, axes=None):
        along = tuple(a["axes"] if axes is None else axes.tolist())
        return proportional(lambda v: v.mean(along, keepdim=bool(a.get("keepdims", 1))), x)

    def op_maxpool(self, node, a, x):
        return F.max_pool2d(x, a["kernel_shape"], a["strides"], a["pads"][:2])

    def op_gather(self, node, a, x, ids):
        if ids is not None and node.input[1] in self.feeds:
            table = self.values[node.input[0]]
            found = table[ids]
            if not found.is_floating_point():
                (reader,) = self.readers[node.output[0]]
                at = list(reader.input).index(node.output[0])
                found = self.dequantised(found, *reader.input[at + 1 : at + 3], None)
            self.explained = found.requires_grad_()
            return found
        x = x if x.dim() else x.reshape(1)
        picked = x.index_select(a.get("axis", 0), ids.reshape(-1))
        axis = a.get("axis", 0) % x.dim()
        return picked.reshape([*x.shape[:axis], *ids.shape, *x.shape[axis + 1 :]])

    def op_flatten(self, node, a, x):
        return x.flatten(a.get("axis", 1))

    def op_reshape(self, node, a, x, shape):
        return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(shape.tolist())])

    def op_transpose(self, node, a, x):
        return x.permute(a["perm"])

    def op_shape(self, node, a, x):
        return torch.tensor(x.shape)

    def op_unsqueeze(self, node, a, x, axes):
        for axis in axes.tolist():
            x = x.unsqueeze(axis)
        return x

    def op_concat(self, node, a, *parts):
        return torch.cat(parts, a["axis"])

    def op_constantofshape(self, node, a, shape):
        value = numpy_helper.to_array(a["value"]) if "value" in a else np.zeros(1, np.float32)
        return self.tensor(np.full(shape.tolist(), value[0]))

    def op_constant(self, node, a):
        return self.tensor(numpy_helper.to_array(a["value"]))

    def op_range(self, node, a, start, end, step):
        return torch.arange(int(start), int(end), int(step))

    def op_equal(self, node, a, x, y):
        return x == y

    def op_where(self, node, a, chosen, x, y):
        return torch.where(chosen, x, y)

    def op_expand(self, node, a, x, shape):
        return x * torch.ones(shape.tolist(), dtype=x.dtype)

    def op_slice(self, node, a, x, starts, ends, axes=None, steps=None):
        at = [slice(None)] * x.dim()
        for i, axis in enumerate(range(len(starts)) if axes is None else axes.tolist()):
            at[axis] = slice(int(starts[i]), int(ends[i]), None if steps is None else int(steps[i]))
        return x[tuple(at)]

    def op_cast(self, node, a, x):
        kinds = {1: torch.float64, 6: torch.int32, 7: torch.int64, 9: torch.bool, 11: torch.float64}
        return x if x.requires_grad else x.to(kinds[a["to"]])


def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    return x @ w if b is None else x @ w + b
