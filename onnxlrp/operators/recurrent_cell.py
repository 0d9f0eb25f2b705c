"""The base of LSTM, GRU and RNN: operands in the order in which relevance visits the steps, and the Scan over them.

Shapes: a *sequence* is [T, D, N, ·] (steps, directions, batch), *rows* are [D, T·N, ·]. Both are in the order of the
visits, which is the last step first: the forward direction is reversed in time, the reverse direction is not.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call, shaped
from onnxlrp.operators.recurrent_activations import Activation, functions, text_of
from onnxlrp.operators.registry import Reversed
from onnxlrp.operators.scan_function import scan

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_MOST = 2**63 - 1
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
X, W, R, B, LENGTHS, H0, C0, P = range(8)


class Cell:
    """A call of LSTM, GRU or RNN in one form for all directions and layouts: operands and results in visiting order."""

    def __init__(self, op: Builder, call: Call, arrived: Sequence[ir.Value | None]) -> None:
        self.op, self.call = op, call
        self.direction = text_of(call.attr("direction", "forward"))
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.batch_first = bool(call.attr("layout", 0))
        self.gates = _GATES[call.op_type]
        clip = call.attr("clip")
        clip = None if clip is None or float(clip) <= 0 else float(clip)
        self.functions = [Activation(f, clip) for f in functions(call, self.directions)]
        x = call.operand(X)
        assert x.dtype is not None
        self.dtype: ir.DataType = x.dtype
        self.x = op.Transpose(x, perm=[1, 0, 2]) if self.batch_first else x
        self.w, self.r = call.operand(W), call.operand(R)
        self.steps, self.batch, self.hidden = op.dim(self.x, 0), op.dim(self.x, 1), op.dim(self.r, 2)
        self.mask = self._mask()
        self.keep = None if self.mask is None else op.Sub(1.0, op.cast(self.mask, self.dtype))
        self.h0 = self.state(call.input(H0))
        self.arrived = [arrived[i] if i < len(arrived) else None for i in range(3)]

    # Shapes

    def vector(self, *parts: ir.Value | int) -> ir.Value:
        """Join sizes into one int64 vector, a constant where all are known."""
        op = self.op
        known = [[p] if isinstance(p, int) else op.known(p) for p in parts]
        if all(k is not None for k in known):
            return op.ints([int(n) for k in known if k is not None for n in k])
        return op.Concat(*(op.ints([p]) if isinstance(p, int) else p for p in parts), axis=0)

    def rows(self, v: ir.Value) -> ir.Value:
        """Reshape a sequence to rows."""
        op = self.op
        v = op.Transpose(v, perm=[1, 0, 2, 3]) if self.directions == 2 else v
        return op.Reshape(v, self.vector(self.directions, -1, op.dim(v, 3)))

    def sequence(self, v: ir.Value, width: ir.Value) -> ir.Value:
        """Reshape rows of a given width to a sequence."""
        op = self.op
        if self.directions == 1:
            return op.Reshape(v, self.vector(self.steps, 1, self.batch, width))
        return op.Transpose(op.Reshape(v, self.vector(2, self.steps, self.batch, width)), perm=[1, 0, 2, 3])

    def flip(self, v: ir.Value) -> ir.Value:
        """Reverse the steps."""
        op = self.op
        return op.Slice(v, op.ints([-1]), op.ints([-_MOST]), op.ints([0]), op.ints([-1]))

    def turn(self, v: ir.Value) -> ir.Value:
        """Change a sequence from the order of time to that of the visits, or back."""
        if self.direction != "bidirectional":
            return self.flip(v) if self.direction == "forward" else v
        forward, reverse = self.op.Split(v, axis=1, num_outputs=2, _outputs=2)
        return self.op.Concat(self.flip(forward), reverse, axis=1)

    def split(self, v: ir.Value, axis: int = -1) -> list[ir.Value]:
        """Split a value into the parts of its gates."""
        return (
            [v] if self.gates == 1 else list(self.op.Split(v, axis=axis, num_outputs=self.gates, _outputs=self.gates))
        )

    def width(self, gates: int) -> ir.Value:
        """Compute `gates` times the hidden size, int64 [1]."""
        known = self.op.known(self.hidden)
        return (
            self.op.Mul(self.hidden, self.op.ints([gates])) if known is None else self.op.ints([gates * int(known[0])])
        )

    def state(self, given: ir.Value | None) -> ir.Value:
        """Bring an initial state, or the relevance of a last state, to [D, N, H]; zeros if it is None."""
        op = self.op
        if given is not None:
            return op.Transpose(given, perm=[1, 0, 2]) if self.batch_first else given
        return op.full(self.vector(self.directions, self.batch, self.hidden), 0, self.dtype)

    def _mask(self) -> ir.Value | None:
        """Mark the steps that each sample has, bool [T, D, N, 1]; None without lengths."""
        op, lengths = self.op, self.call.input(LENGTHS)
        if lengths is None:
            return None
        times = op.count_up(self.steps)
        inside = op.Less(
            op.Unsqueeze(times, op.ints([1])), op.Unsqueeze(op.cast(lengths, ir.DataType.INT64), op.ints([0]))
        )
        inside = op.Unsqueeze(inside, op.ints([1, 3]))
        sides = {"forward": [self.flip(inside)], "reverse": [inside], "bidirectional": [self.flip(inside), inside]}
        parts = sides[self.direction]
        return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=1)

    def masked(self, v: ir.Value, otherwise: float = 0.0) -> ir.Value:
        """Write a number into the steps that a sample does not have."""
        return v if self.mask is None else self.op.Where(self.mask, v, self.op.number(otherwise, v))

    # Forward values

    @functools.cached_property
    def x_rows(self) -> ir.Value:
        """The input as rows, once for each direction."""
        op = self.op
        shape = self.vector(1, -1, op.dim(self.x, 2))
        sides = {"forward": [self.flip(self.x)], "reverse": [self.x], "bidirectional": [self.flip(self.x), self.x]}
        parts = [op.Reshape(v, shape) for v in sides[self.direction]]
        return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=0)

    @functools.cached_property
    def before(self) -> ir.Value:
        """The hidden state before each step, a sequence: the operator's own Y, shifted by one step."""
        # Y exists even if the model leaves it out, because reading a model names all outputs.
        op, y = self.op, self.op.cast(self.call.outputs[0], self.dtype)
        y = self.turn(op.Transpose(y, perm=[1, 2, 0, 3]) if self.batch_first else y)
        if self.keep is not None:
            # At steps that a sample does not have, Y is 0 and the state does not change.
            y = op.Add(y, op.Mul(self.keep, self.h0))
        return self.shifted(y, self.h0)

    def shifted(self, states: ir.Value, initial: ir.Value) -> ir.Value:
        """Compute the states before each step from the states after it."""
        op = self.op
        earlier = op.Slice(states, op.ints([1]), op.ints([_MOST]), op.ints([0]))
        return shaped(op.Concat(earlier, op.Unsqueeze(initial, op.ints([0])), axis=0), states)

    @functools.cached_property
    def biases(self) -> tuple[ir.Value | None, ir.Value | None]:
        """The biases of the input's and of the state's products, [D, 1, gates·H] each; None without a bias."""
        b = self.call.input(B)
        if b is None:
            return None, None
        first, second = self.op.Split(b, axis=1, num_outputs=2, _outputs=2)
        return self.op.Unsqueeze(first, self.op.ints([1])), self.op.Unsqueeze(second, self.op.ints([1]))

    def product(self, rows: ir.Value, weight: ir.Value, bias: ir.Value | None, gates: int) -> ir.Value:
        """Multiply rows by the weights [D, gates·H, ·] of all gates, as a sequence."""
        op = self.op
        z = op.MatMul(rows, op.Transpose(weight, perm=[0, 2, 1]))
        return self.sequence(z if bias is None else op.Add(z, bias), self.width(gates))

    def sums(self) -> list[ir.Value]:
        """Compute Wx + Uh + all biases for each gate, as sequences."""
        op = self.op
        from_x = op.MatMul(self.x_rows, op.Transpose(self.w, perm=[0, 2, 1]))
        from_h = op.MatMul(self.rows(self.before), op.Transpose(self.r, perm=[0, 2, 1]))
        z = op.Add(from_x, from_h)
        first, second = self.biases
        if first is not None and second is not None:
            z = op.Add(z, op.Add(first, second))
        return self.split(self.sequence(z, self.width(self.gates)))

    # Relevance or gradients that arrive

    @functools.cached_property
    def at_output(self) -> ir.Value | None:
        """Relevance or gradients of Y, a sequence, with 0 at the steps that a sample does not have."""
        r = self.arrived[0]
        if r is None:
            return None
        return self.masked(self.turn(self.op.Transpose(r, perm=[1, 2, 0, 3]) if self.batch_first else r))

    def at_last(self, output: int) -> ir.Value:
        """Return the relevance or gradient of a last state, with 0 for samples without steps, whose last state is a
        constant."""
        op, r = self.op, self.arrived[output]
        state, lengths = self.state(r), self.call.input(LENGTHS)
        if r is None or lengths is None:
            return state
        steps = op.Unsqueeze(op.cast(lengths, ir.DataType.INT64), op.ints([1]))
        return shaped(op.Where(op.Greater(steps, op.ints_scalar(0)), state, op.number(0.0, state)), state)

    def dropped(self) -> list[ir.Value]:
        """List the sums of the relevance that ends because it arrives at steps that samples do not have."""
        if self.mask is None:
            return []
        total, sums = self._total, []
        if self.arrived[0] is not None and self.at_output is not None:
            sums.append(self.op.Sub(total(self.arrived[0]), total(self.at_output)))
        for output in (1, 2):
            r = self.arrived[output]
            if r is not None:
                sums.append(self.op.Sub(total(r), total(self.at_last(output))))
        return sums

    def _total(self, v: ir.Value) -> ir.Value:
        return self.op.ReduceSum(v, keepdims=0)

    def total(self, parts: Iterable[ir.Value | None]) -> ir.Value | None:
        """Add up all elements of all parts; None without parts."""
        sums = [self._total(v) for v in parts if v is not None]
        return functools.reduce(self.op.Add, sums) if sums else None

    # The way back

    def through(
        self, label: str, states: list[ir.Value], sequences: Mapping[str, ir.Value | None], body: Callable
    ) -> tuple[list[ir.Value], list[ir.Value]]:
        """Run a Scan over the named sequences that are not None.

        `body(op, states, slices by name)` returns the new states and the outputs of a step.
        """
        given = {k: v for k, v in sequences.items() if v is not None}

        def step(op: Builder, now: Sequence[ir.Value], slices: Sequence[ir.Value]):  # type: ignore[no-untyped-def]
            return body(op, now, dict(zip(given, slices, strict=True)))

        return scan(self.op, f"{self.call.op_type}: {label}", states, list(given.values()), step)

    def to_input(self, rows: ir.Value) -> ir.Value:
        """Turn rows [D, T·N, input size] into the shape of the input, and add up the directions D."""
        op = self.op
        parts = [rows] if self.directions == 1 else list(op.Split(rows, axis=0, num_outputs=2, _outputs=2))
        parts = [op.Reshape(v, self.vector(self.steps, self.batch, op.dim(self.x, 2))) for v in parts]
        if self.direction != "reverse":
            parts[0] = self.flip(parts[0])
        r = functools.reduce(op.Add, parts)
        return op.Transpose(r, perm=[1, 0, 2]) if self.batch_first else r

    def to_state(self, v: ir.Value) -> ir.Value:
        """Bring a state to the layout of the operand."""
        return self.op.Transpose(v, perm=[1, 0, 2]) if self.batch_first else v

    def to_weight(self, d: ir.Value, values: ir.Value) -> ir.Value:
        """Compute the gradient of a weight: `dᵀ·values` summed over all rows."""
        return self.op.MatMul(self.op.Transpose(d, perm=[0, 2, 1]), values)

    def to_bias(self, from_x: ir.Value, from_h: ir.Value) -> ir.Value:
        """Compute the gradient of the biases, the input's and the state's: sums over all rows."""
        op = self.op
        parts = (op.ReduceSum(d, op.ints([1]), keepdims=0) for d in (from_x, from_h))
        return op.Concat(*parts, axis=1)


def relevance_of_operands(
    cell: Cell,
    v: ir.Value,
    weight: ir.Value,
    first: Mapping[int, ir.Value],
    bias: Sequence[ir.Value | None],
    absorbed: ir.Value,
) -> Reversed:
    """Collect the relevance of all operands.

    The input gets `x·(v·weight)` with v = R/s(z) of the candidate, initial states get `first`; `absorbed` is what the
    stabiliser absorbs.
    """
    op = cell.op
    back = cell.to_input(op.MatMul(cell.rows(v), weight))
    amounts = {X: op.Mul(cell.call.operand(X), back)}
    amounts |= {i: cell.to_state(r) for i, r in first.items() if cell.call.input(i) is not None}
    return Reversed(amounts, epsilon=absorbed, bias=cell.total([*bias, *cell.dropped()]))


def last_bias(cell: Cell, side: int) -> ir.Value | None:
    """Return the part of the input's (`side` 0) or the state's (1) bias that belongs to the candidate; it broadcasts to
    a sequence."""
    bias = cell.biases[side]
    return None if bias is None else cell.split(bias)[-1]


def times(op: Builder, v: ir.Value, bias: ir.Value | None) -> ir.Value | None:
    return None if bias is None else op.Mul(v, bias)


def gradients_of_operands(
    cell: Cell, from_x: ir.Value, from_h: ir.Value, first: Mapping[int, ir.Value], to_r: ir.Value
) -> Reversed:
    """Collect the gradients of all operands from the gradients of the input's product and of the state's product, which
    are rows."""
    op, call = cell.op, cell.call
    amounts = {X: cell.to_input(op.MatMul(from_x, cell.w)), W: cell.to_weight(from_x, cell.x_rows), R: to_r}
    if call.input(B) is not None:
        amounts[B] = cell.to_bias(from_x, from_h)
    return Reversed(amounts | {i: cell.to_state(g) for i, g in first.items() if call.input(i) is not None})
