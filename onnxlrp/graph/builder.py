"""Builder of nodes, a thin layer over onnxscript's GraphBuilder.

Equal nodes are built once, known shapes are constants, and a node of the model can be run again on other operands.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import OpBuilder

from onnxlrp.graph import node_inference
from onnxlrp.graph.argument_keys import Same, argument_key, is_removed
from onnxlrp.graph.call import Call, content, ranked, sizes_known
from onnxlrp.graph.labelled_graph import LabelledGraph
from onnxlrp.graph.provenance import is_relevance
from onnxlrp.profiles import ONNXRUNTIME, Profile

_CONTRACTIONS = {"Conv", "ConvTranspose", "DeformConv", "Einsum", "Gemm", "MatMul"}


class Builder(OpBuilder):
    """Builder of nodes: `op.Mul(a, 2.0)` appends one and returns its output; numbers take the operand's type."""

    def __init__(self, graph: ir.Graph, scope: str, profile: Profile = ONNXRUNTIME) -> None:
        self._graph_builder, self.profile = LabelledGraph(graph), profile
        self._graph_builder.push_module(scope)
        super().__init__(self._graph_builder, "", graph.opset_imports[""])
        self._equal: dict[tuple, Any] = {}
        self._offsets: dict[tuple[Same, int], list[ir.Value]] = {}

    def inside(self, graph: ir.Graph, scope: str) -> Builder:
        """Make a builder of the same kind for another graph, such as a body."""
        return Builder(graph, scope, self.profile)

    @property
    def graph(self) -> ir.Graph:
        return self._graph_builder.graph

    def label(self, text: str) -> None:
        """Set the rule that nodes from here on come from, kept in their metadata."""
        self._graph_builder.label = text

    def __getattr__(self, op_type: str) -> Any:
        make = super().__getattr__(op_type)

        def once(*args: Any, **kwargs: Any) -> Any:
            try:
                key = (op_type, tuple(argument_key(a) for a in args), repr(sorted(kwargs.items())))
            except TypeError:
                return make(*args, **kwargs)
            if key not in self._equal:
                self._equal[key] = make(*args, **kwargs)
                if op_type == "Reshape" and self.profile.partial_shapes:
                    self._size_partly(self._equal[key], args[1])
            return self._equal[key]

        return once

    def _size_partly(self, reshaped: ir.Value, sizes: ir.Value) -> None:
        """Give a reshaped value the known ones of the sizes that a Concat joins; inference knows all or none."""
        node = sizes.producer()
        inferred = reshaped.shape
        if node is None or node.op_type != "Concat" or (inferred is not None and inferred.is_static()):
            return
        found: list[int | None] = []
        for piece in node.inputs:
            known = self.known(piece)
            if known is None and (piece is None or piece.shape is None or not piece.shape.is_static()):
                return
            found += [None] * int(piece.shape[0]) if known is None else [int(n) if n > 0 else None for n in known]  # type: ignore
        names = [None] * len(found) if inferred is None else list(inferred)
        reshaped.shape = ir.Shape([n if n is not None else d for n, d in zip(found, names, strict=True)])

    def forget_removed(self) -> None:
        """Forget values that were removed from the graph, so that a later request builds them again."""
        for key in [k for k, result in self._equal.items() if is_removed(result)]:
            # The entry is kept, under another key, because the number of entries names the next constant.
            self._equal["removed", key] = self._equal.pop(key)
        self._offsets = {k: values for k, values in self._offsets.items() if not is_removed(values)}

    # Values

    def constant(self, array: Any, dtype: ir.DataType | None = None) -> ir.Value:
        """Add a constant; `dtype` defaults to the array's."""
        array = np.asarray(array) if dtype is None else np.asarray(array, dtype.numpy())
        key = ("constant", array.dtype.str, array.shape, array.tobytes())
        if key not in self._equal:
            name = f"constant_{len(self._equal)}"
            self._equal[key] = self._graph_builder.initializer(ir.Tensor(array, name=name))
        return self._equal[key]

    def ints(self, values: Sequence[int]) -> ir.Value:
        """Add a constant int64 vector."""
        return self.constant(np.asarray(values, np.int64))

    def words(self, values: Sequence[str]) -> ir.Value:
        """Add a constant vector of strings."""
        key = ("words", tuple(values))
        if key not in self._equal:
            name = f"constant_{len(self._equal)}"
            tensor = ir.StringTensor([v.encode() for v in values], shape=ir.Shape([len(values)]), name=name)
            self._equal[key] = self._graph_builder.initializer(tensor)
        return self._equal[key]

    def dims(self, value: ir.Value) -> list[int | None]:
        """List the dimensions, None for unknown ones. Raises InvalidModelError if not even the rank is known."""
        return [d if isinstance(d, int) else None for d in ranked(value)]

    def shape(self, value: ir.Value, start: int = 0, end: int | None = None) -> ir.Value:
        """Return the shape (or a slice of it) as an int64 vector: a constant if it is known."""
        if value.shape is not None:
            dims = self.dims(value)[start:end]
            if None not in dims:
                return self.ints(dims)  # type: ignore[arg-type]
        return self.Shape(value, start=start) if end is None else self.Shape(value, start=start, end=end)

    def dim(self, value: ir.Value, axis: int) -> ir.Value:
        """Return one dimension as an int64 vector of one element."""
        assert value.shape is not None or axis >= 0
        axis = axis if axis >= 0 else axis + len(value.shape)  # type: ignore[arg-type]
        return self.shape(value, axis, axis + 1)

    def ints_scalar(self, number: int) -> ir.Value:
        """Add a constant int64 scalar."""
        return self.constant(np.int64(number))

    def number(self, number: float, like: ir.Value) -> ir.Value:
        """Add a constant scalar in the type of `like`."""
        return self.constant(number, like.dtype)

    def plus(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Add two int64 vectors; the sum is a constant if both are."""
        x, y = self.known(a), self.known(b)
        return self.Add(a, b) if x is None or y is None else self.ints((x + y).tolist())

    def offset(self, values: tuple[ir.Value | None, ...], place: int, axis: int) -> ir.Value:
        """Return the index, int64 [1], at which the value number `place` begins if all are concatenated along an axis.

        Offsets are remembered for this very tuple, because adding up all sizes for each of many values is slow.
        """
        known = self._offsets.setdefault((Same(values), axis), [])
        if not known:
            known.append(self.ints([0]))
        while len(known) <= place:
            value = values[len(known) - 1]
            assert value is not None
            known.append(self.plus(known[-1], self.dim(value, axis)))
        return known[place]

    def size(self, value: ir.Value) -> ir.Value:
        """Return the number of elements, an int64 scalar: a constant if it is known."""
        if value.shape is None or not value.shape.is_static():
            return self.Size(value)
        return self.ints_scalar(math.prod(value.shape.numpy()))

    def volume(self, value: ir.Value, start: int) -> ir.Value:
        """Multiply the dimensions from `start` on, int64 [1]: a constant if they are known."""
        dims = [self.dim(value, axis) for axis in range(start, len(self.dims(value)))]
        known = [self.known(d) for d in dims]
        if all(k is not None for k in known):
            return self.ints([math.prod(int(k[0]) for k in known if k is not None)])
        return functools.reduce(self.Mul, dims)

    def elements_for_each(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """Return the number of elements of `x` for each one of `y`, an int64 scalar; any number if `y` has none."""
        # An empty batch has no elements, and integers must not be divided by 0.
        if self.profile.partial_shapes and (count := self._known_ratio(x, y)) is not None:
            return count
        known = self.known(self.size(y))
        return self.Div(self.size(x), self.size(y) if known else self.Max(self.size(y), self.ints_scalar(1)))

    def _known_ratio(self, x: ir.Value, y: ir.Value) -> ir.Value | None:
        """Count the elements of `x` for each one of `y` by the axes in which they differ; None if these are unknown.

        With equal ranks, a size of `y` that is not known is that of `x`: an axis that is reduced has one element.
        """
        sizes, fewer = list(ranked(x)), list(ranked(y))
        if len(sizes) == len(fewer):
            pairs = [(i, c) for i, (d, c) in enumerate(zip(sizes, fewer, strict=True)) if isinstance(c, int) and c != d]
            if any(c != 1 for _, c in pairs):
                return None
            axes = [self.Squeeze(self.dim(x, i), self.ints([0])) for i, _ in pairs]
            if all(isinstance(sizes[i], int) for i, _ in pairs):
                return self.ints_scalar(math.prod(d for i, _ in pairs if isinstance(d := sizes[i], int)))
            return functools.reduce(self.Mul, axes)
        open_sizes = [sorted(str(d.value) for d in of if not isinstance(d, int)) for of in (sizes, fewer)]
        whole, part = (math.prod(d for d in of if isinstance(d, int)) for of in (sizes, fewer))
        return self.ints_scalar(whole // part) if open_sizes[0] == open_sizes[1] and part else None

    def full(self, shape: ir.Value, number: float, dtype: ir.DataType | None) -> ir.Value:
        """Make a tensor of this shape, filled with one number."""
        return self.Expand(self.constant(number, dtype), shape)

    def full_like(self, value: ir.Value, number: float, dtype: ir.DataType | None = None) -> ir.Value:
        """Make a tensor in the shape of a value, and in its type if no other is given, filled with one number."""
        dtype = dtype or value.dtype
        assert dtype is not None
        tensor = self.full(self.shape(value), number, dtype)
        if value.shape is not None:
            tensor.shape = value.shape  # inference loses the names of sizes
        return tensor

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Cast a value, unless it has the type already."""
        return value if value.dtype == dtype else self.Cast(value, to=dtype)

    def known(self, value: ir.Value | None) -> np.ndarray | None:
        """Return the content of a constant, None if it is not known before the model runs."""
        return content(value)

    def alias(self, value: ir.Value, name: str) -> ir.Value:
        """Give the value a name of its own, for an output of the graph."""
        out = self._graph_builder.call_op("Identity", [value], {}, version=self.version, outputs=1)
        assert isinstance(out, ir.Value)
        out.name = name
        return out

    def append(self, node: ir.Node) -> None:
        """Append a node that holds bodies, such as a Loop, whose outputs have their types and shapes already."""
        self._graph_builder._annotate_node(node)
        self.graph.append(node)

    # The model's own nodes

    def run(self, call: Call, outputs: int | None = None) -> Any:
        """Run the operator on the call's operands; returns its first output, or a list of `outputs` of them."""
        inputs = list(call.inputs)
        while inputs and inputs[-1] is None:
            inputs.pop()
        attributes = tuple((k, Same(v)) for k, v in sorted(call.attributes.items()))
        key = ("run", call.domain, call.op_type, attributes, tuple(argument_key(v) for v in inputs), outputs or 1)
        if key not in self._equal:
            values = self._graph_builder.call_op(
                call.op_type,
                inputs,
                dict(call.attributes),
                domain=call.domain,
                version=self.graph.opset_imports.get(call.domain, call.version),
                outputs=outputs or 1,
            )
            self._equal[key] = list(values) if isinstance(values, Sequence) else [values]
            same = all(_alike(a, b) for a, b in zip(inputs, call.original, strict=False))
            for result, known in zip(self._equal[key], call.outputs, strict=False):
                # ONNX infers nothing for an operator that it does not know, so the type of the model's value is used.
                result.type = result.type or known.type
                result.shape = result.shape or (known.shape if same else None)
            if _sized_alike(call, inputs):
                # Inference loses the names of sizes at a window, but the model's own output has them.
                self._equal[key][0].shape = ranked(call.outputs[0])
        return self._equal[key] if outputs else self._equal[key][0]

    def output(self, call: Call) -> ir.Value:
        """Return the call's first output, computed from its very operands.

        If operands were cast, it is computed again: onnxruntime's CPU leaves out casts, so that the model's own output
        may be rounded differently from anything computed from the cast operands.
        """
        return call.outputs[0] if call.inputs == call.original else self.run(call)

    def one_hot(self, index: ir.Value, size: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Make 1 at position `index` [..., 1] along a last axis of length `size`, int64 [1], and 0 elsewhere."""
        length = self.Squeeze(size, self.ints([0]))
        positions = self.Range(self.ints_scalar(0), length, self.ints_scalar(1))
        return self.cast(self.Equal(index, positions), dtype)

    def count_up(self, size: ir.Value) -> ir.Value:
        """Build the int64 vector 0, 1, …, size − 1; `size` is int64 [1]."""
        return self.Range(self.ints_scalar(0), self.Squeeze(size, self.ints([0])), self.ints_scalar(1))

    def unbroadcast(self, r: ir.Value, like: ir.Value) -> ir.Value:
        """Sum over the axes along which `like` was broadcast to the shape of `r`."""
        if r is like:
            return r
        if r.shape is None or like.shape is None:
            # Not even the ranks are known before the model runs.
            shape = self.Shape(like)
            missing = self.Sub(self.Shape(self.Shape(r)), self.Shape(shape))
            return self._sum_to(r, like, self.Concat(self.Expand(self.ints([1]), missing), shape, axis=0))
        extra = len(ranked(r)) - len(ranked(like))
        if extra > 0:
            r = self.ReduceSum(r, self.ints(range(extra)), keepdims=0)
        rows, columns = list(ranked(r)), list(ranked(like))
        if all(isinstance(c, int) or (c.value is not None and c == d) for c, d in zip(columns, rows, strict=True)):
            axes = [i for i, (c, d) in enumerate(zip(columns, rows, strict=True)) if c == 1 and d != 1]
            return self.ReduceSum(r, self.ints(axes), keepdims=1) if axes else r
        if self.profile.static_axes:
            return self._sum_by_ratio(r, like)
        return self._sum_to(r, like, self.Shape(like))

    def _sum_to(self, r: ir.Value, like: ir.Value, sizes: ir.Value) -> ir.Value:
        """Sum over the axes that are longer than `sizes` say, which are known only when the model runs.

        Where none is, onnxruntime copies `r`; a sum over an axis of one element takes it thirty times as long.
        """
        axes = self.Reshape(self.NonZero(self.Sub(sizes, self.Shape(r))), self.ints([-1]))
        return self.Reshape(self.ReduceSum(r, axes, keepdims=1, noop_with_empty_axes=1), self.Shape(like))

    def _sum_by_ratio(self, r: ir.Value, like: ir.Value) -> ir.Value:
        """Sum over the axes of size 1 in `like`, also where only the run tells that, without naming these.

        An axis of d elements is split into d/c by c, where c is its size in `like`, either 1 or d; the sum over the
        first of the two leaves c elements in both cases.
        """
        pairs = list(zip(ranked(r), ranked(like), strict=True))
        known = [axis for axis, (d, c) in enumerate(pairs) if c == 1 and d != 1]
        r = self.ReduceSum(r, self.ints(known), keepdims=1) if known else r
        sizes: list[ir.Value] = []
        summed: list[int] = []
        for axis, (d, c) in enumerate(pairs):
            size = self.dim(like, axis)
            if not isinstance(c, int) and (c.value is None or c != d):
                summed.append(len(sizes))
                sizes.append(self.Div(self.dim(r, axis), self.Max(size, self.ints([1]))))
            sizes.append(size)
        if len(summed) == 1:
            # A Reshape computes one ratio by itself, which spares tract a quotient of sizes that it does not know.
            sizes[summed[0]] = self.ints([-1])
        total = self.ReduceSum(self.Reshape(r, self.Concat(*sizes, axis=0)), self.ints(summed), keepdims=0)
        total.shape = ranked(like)
        return total

    def scatter_back(self, r: ir.Value, sources: ir.Value, like: ir.Value) -> ir.Value:
        """Add each element of `r` to the element of a zero tensor, shaped like `like`, that `sources` names: the
        transpose of any selection. `sources` holds flat indices in the shape of `r`."""
        if r.dtype == ir.DataType.FLOAT16:
            # onnxruntime's CPU cannot add up float16.
            return self.cast(self.scatter_back(self.cast(r, ir.DataType.FLOAT), sources, like), ir.DataType.FLOAT16)
        flat = self.ints([-1])
        zeros = self.full(self.Reshape(self.size(like), flat), 0, r.dtype)
        filled = self.ScatterElements(
            zeros, self.Reshape(sources, flat), self.Reshape(r, flat), axis=0, reduction="add"
        )
        return self.Reshape(filled, self.shape(like))

    def index_grid(self, like: ir.Value) -> ir.Value:
        """Number the elements 0, 1, 2, … in the shape of `like`, int64."""
        grid = self.Range(self.ints_scalar(0), self.size(like), self.ints_scalar(1))
        return self.Reshape(grid, self.shape(like))

    def assert_inferred(self) -> None:
        """Check that no built node carries an inference error, because a wrong type here is a wrong model later."""
        for node in self.graph:
            message = node.metadata_props.pop(node_inference.ERROR, None)
            if message and node.domain == "" and is_relevance(node):
                raise AssertionError(f"{node.op_type} {node.name}: {message}")


def _alike(a: ir.Value | None, b: ir.Value | None) -> bool:
    return (a is None) == (b is None) and (a is None or b is None or a.shape == b.shape)


def _sized_alike(call: Call, inputs: Sequence[ir.Value | None]) -> bool:
    """Decide whether a product or convolution runs on operands of the very sizes that it has in the model.

    All sizes must be known, at least by name; the bias may be left out.
    """
    if call.op_type not in _CONTRACTIONS or not sizes_known(call.outputs[0]):
        return False
    pairs = zip(inputs, call.original, strict=False)
    return all(a is None or (b is not None and a.shape == b.shape and sizes_known(a)) for a, b in pairs)
