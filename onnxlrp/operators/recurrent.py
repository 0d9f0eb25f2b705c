"""LSTM, GRU and RNN. The operators run as they are; gates are computed again, for all steps in one product, from their
own output; one Scan goes back through the steps and holds nothing but what must go from step to step.

Shapes: a *sequence* is [T, D, N, ·] (steps, directions, batch), *rows* are [D, T·N, ·]. Both are in the order in which
relevance visits the steps, the last one first: a forward direction turned round, a reverse one as it is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.operators.registry import Call, Reversed, custom, find
from onnxlrp.operators.scans import scan

if TYPE_CHECKING:
    from onnxlrp.builder import Builder

_MOST = 2**63 - 1
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_ALPHA = {
    "affine": 1.0,
    "leakyrelu": 0.01,
    "thresholdedrelu": 1.0,
    "scaledtanh": 1.0,
    "hardsigmoid": 0.2,
    "elu": 1.0,
}
_BETA = {"affine": 0.0, "scaledtanh": 1.0, "hardsigmoid": 0.5}
_OWN = {
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "leakyrelu": "LeakyRelu",
    "thresholdedrelu": "ThresholdedRelu",
    "hardsigmoid": "HardSigmoid",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}
"""Activations that are operators of their own."""
X, W, R, B, LENGTHS, H0, C0, P = range(8)


# ------------------------------------------------------------------------------------------------------- activations


@dataclasses.dataclass(frozen=True)
class _Function:
    """An activation with its settings."""

    name: str
    alpha: float | None
    beta: float | None

    def value(self, op: Builder, x: ir.Value) -> ir.Value:
        """f(x)."""
        if self.name == "affine":
            return op.Add(op.Mul(x, self.alpha), self.beta)
        if self.name == "scaledtanh":
            return op.Mul(op.Tanh(op.Mul(x, self.beta)), self.alpha)
        return getattr(op, _OWN[self.name])(x, **self._settings())

    def slope(self, op: Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        """f′(x), y being f(x)."""
        if self.name == "affine":
            return op.full_like(x, float(self.alpha or 0))
        if self.name == "scaledtanh":
            t = op.Tanh(op.Mul(x, self.beta))
            return op.Mul(op.Sub(1.0, op.Mul(t, t)), float(self.alpha or 0) * float(self.beta or 0))
        attributes = {k: ir.AttrFloat32(k, v) for k, v in self._settings().items()}
        call = Call(_OWN[self.name], "", None, attributes, (x,), (y,))
        entry = find(call)
        assert entry is not None
        return entry.function(op, call, 0)

    def _settings(self) -> dict[str, float]:
        given = {"alpha": self.alpha, "beta": self.beta}
        return {k: v for k, v in given.items() if v is not None}


@dataclasses.dataclass(frozen=True)
class _Activation:
    """A gate's function, one a direction, behind the clip."""

    functions: tuple[_Function, ...]
    clip: float | None = None

    def value(self, op: Builder, x: ir.Value) -> ir.Value:
        """f(clip(x)), directions on the last axis but two."""
        return self._each(op, lambda f, x: f.value(op, x), self._clipped(op, x))

    def slope(self, op: Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        """Its derivative, y being its value; 0 where x was clipped."""
        inside = self._clipped(op, x)
        slope = self._each(op, lambda f, x, y: f.slope(op, x, y), inside, y)
        return slope if self.clip is None else op.Where(op.Equal(inside, x), slope, op.number(0.0, x))

    def _clipped(self, op: Builder, x: ir.Value) -> ir.Value:
        if self.clip is None:
            return x
        return op.Clip(x, op.number(-self.clip, x), op.number(self.clip, x))

    def _each(self, op: Builder, function: Callable[..., ir.Value], *values: ir.Value) -> ir.Value:
        first, *others = self.functions
        if all(f == first for f in others):
            return function(first, *values)
        apart = zip(*(op.Split(v, axis=-3, num_outputs=2, _outputs=2) for v in values), strict=True)
        return op.Concat(*(function(f, *v) for f, v in zip(self.functions, apart, strict=True)), axis=-3)


def _name(given: str | bytes) -> str:
    return (given.decode() if isinstance(given, bytes) else given).lower()


def _functions(call: Call, directions: int) -> list[tuple[_Function, ...]]:
    """The functions f, g, h, each with one entry a direction.

    Those that have an alpha or a beta take the given ones in their order; then the defaults of the operators of their
    names count (onnxruntime takes 0 for Affine, ScaledTanh and ThresholdedRelu there).
    """
    names = [_name(n) for n in call.attr("activations") or _ACTIVATIONS[call.op_type] * directions]
    alphas, betas = (iter(call.attr(f"activation_{k}") or ()) for k in ("alpha", "beta"))
    made = [
        _Function(
            n,
            float(next(alphas, _ALPHA[n])) if n in _ALPHA else None,
            float(next(betas, _BETA[n])) if n in _BETA else None,
        )
        for n in names
    ]
    count = len(_ACTIVATIONS[call.op_type])
    return [tuple(made[k::count][:directions]) for k in range(count)]


def _unknown(call: Call) -> str | None:
    """Why a call has no rule."""
    known = {*_OWN, "affine", "scaledtanh"}
    strange = [n for n in map(_name, call.attr("activations") or ()) if n not in known]
    return f"its activation {strange[0]!r} is none of ONNX's" if strange else None


# --------------------------------------------------------------------------------------------------- values and shapes


class _Cell:
    """A call in one form, whatever its direction and layout: what it read and gave, in the order of the visits."""

    def __init__(self, op: Builder, call: Call, arrived: Sequence[ir.Value | None]) -> None:
        self.op, self.call = op, call
        self.direction = _name(call.attr("direction", "forward"))
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.batch_first = bool(call.attr("layout", 0))
        self.gates = _GATES[call.op_type]
        clip = call.attr("clip")
        clip = None if clip is None or float(clip) <= 0 else float(clip)
        self.functions = [_Activation(f, clip) for f in _functions(call, self.directions)]
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
        """Sizes as one vector: a constant where all are known."""
        op = self.op
        known = [[p] if isinstance(p, int) else op.known(p) for p in parts]
        if all(k is not None for k in known):
            return op.ints([int(n) for k in known if k is not None for n in k])
        return op.Concat(*(op.ints([p]) if isinstance(p, int) else p for p in parts), axis=0)

    def rows(self, v: ir.Value) -> ir.Value:
        """A sequence as rows."""
        op = self.op
        v = op.Transpose(v, perm=[1, 0, 2, 3]) if self.directions == 2 else v
        return op.Reshape(v, self.vector(self.directions, -1, op.dim(v, 3)))

    def sequence(self, v: ir.Value, width: ir.Value) -> ir.Value:
        """Rows of a width as a sequence."""
        op = self.op
        if self.directions == 1:
            return op.Reshape(v, self.vector(self.steps, 1, self.batch, width))
        return op.Transpose(op.Reshape(v, self.vector(2, self.steps, self.batch, width)), perm=[1, 0, 2, 3])

    def flip(self, v: ir.Value) -> ir.Value:
        """The last step first."""
        op = self.op
        return op.Slice(v, op.ints([-1]), op.ints([-_MOST]), op.ints([0]), op.ints([-1]))

    def turn(self, v: ir.Value) -> ir.Value:
        """A sequence in time's order in the visits' order, and back."""
        if self.direction != "bidirectional":
            return self.flip(v) if self.direction == "forward" else v
        forward, reverse = self.op.Split(v, axis=1, num_outputs=2, _outputs=2)
        return self.op.Concat(self.flip(forward), reverse, axis=1)

    def split(self, v: ir.Value, axis: int = -1) -> list[ir.Value]:
        """The parts of the gates."""
        return (
            [v] if self.gates == 1 else list(self.op.Split(v, axis=axis, num_outputs=self.gates, _outputs=self.gates))
        )

    def width(self, gates: int) -> ir.Value:
        """`gates` times the hidden size."""
        known = self.op.known(self.hidden)
        return (
            self.op.Mul(self.hidden, self.op.ints([gates])) if known is None else self.op.ints([gates * int(known[0])])
        )

    def state(self, given: ir.Value | None) -> ir.Value:
        """An initial state or the relevance of a last one, [D, N, H]; 0 where there is none."""
        op = self.op
        if given is not None:
            return op.Transpose(given, perm=[1, 0, 2]) if self.batch_first else given
        return op.full(self.vector(self.directions, self.batch, self.hidden), 0, self.dtype)

    def _mask(self) -> ir.Value | None:
        """Which steps a sequence has, [T, D, N, 1]; None where all have all."""
        op, lengths = self.op, self.call.input(LENGTHS)
        if lengths is None:
            return None
        times = op.Range(op.ints_scalar(0), op.Squeeze(self.steps, op.ints([0])), op.ints_scalar(1))
        inside = op.Less(
            op.Unsqueeze(times, op.ints([1])), op.Unsqueeze(op.cast(lengths, ir.DataType.INT64), op.ints([0]))
        )
        inside = op.Unsqueeze(inside, op.ints([1, 3]))
        sides = {"forward": [self.flip(inside)], "reverse": [inside], "bidirectional": [self.flip(inside), inside]}
        parts = sides[self.direction]
        return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=1)

    def masked(self, v: ir.Value, otherwise: float = 0.0) -> ir.Value:
        """A sequence where its steps count, else a number."""
        return v if self.mask is None else self.op.Where(self.mask, v, self.op.number(otherwise, v))

    # What came in

    @functools.cached_property
    def x_rows(self) -> ir.Value:
        """The input once a direction."""
        op = self.op
        shape = self.vector(1, -1, op.dim(self.x, 2))
        sides = {"forward": [self.flip(self.x)], "reverse": [self.x], "bidirectional": [self.flip(self.x), self.x]}
        parts = [op.Reshape(v, shape) for v in sides[self.direction]]
        return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=0)

    @functools.cached_property
    def before(self) -> ir.Value:
        """The hidden state before each step, a sequence: the operator's own Y, one step on."""
        # A model that leaves Y out gets it: reading names all outputs, so that Y can be asked for.
        op, y = self.op, self.op.cast(self.call.outputs[0], self.dtype)
        y = self.turn(op.Transpose(y, perm=[1, 2, 0, 3]) if self.batch_first else y)
        if self.keep is not None:
            # Steps that a sequence does not have leave Y at 0 and the state where it was.
            y = op.Add(y, op.Mul(self.keep, self.h0))
        return self.shifted(y, self.h0)

    def shifted(self, states: ir.Value, initial: ir.Value) -> ir.Value:
        """The states before each step, from those behind it."""
        op = self.op
        earlier = op.Slice(states, op.ints([1]), op.ints([_MOST]), op.ints([0]))
        return _shaped(op.Concat(earlier, op.Unsqueeze(initial, op.ints([0])), axis=0), states)

    @functools.cached_property
    def biases(self) -> tuple[ir.Value | None, ir.Value | None]:
        """The input's and the state's, [D, 1, gates·H]."""
        b = self.call.input(B)
        if b is None:
            return None, None
        first, second = self.op.Split(b, axis=1, num_outputs=2, _outputs=2)
        return self.op.Unsqueeze(first, self.op.ints([1])), self.op.Unsqueeze(second, self.op.ints([1]))

    def product(self, rows: ir.Value, weight: ir.Value, bias: ir.Value | None, gates: int) -> ir.Value:
        """A product with every gate's weight, [D, gates·H, ·], as a sequence."""
        op = self.op
        z = op.MatMul(rows, op.Transpose(weight, perm=[0, 2, 1]))
        return self.sequence(z if bias is None else op.Add(z, bias), self.width(gates))

    def sums(self) -> list[ir.Value]:
        """Wx + Uh + all biases of each gate, sequences."""
        op = self.op
        from_x = op.MatMul(self.x_rows, op.Transpose(self.w, perm=[0, 2, 1]))
        from_h = op.MatMul(self.rows(self.before), op.Transpose(self.r, perm=[0, 2, 1]))
        z = op.Add(from_x, from_h)
        first, second = self.biases
        if first is not None and second is not None:
            z = op.Add(z, op.Add(first, second))
        return self.split(self.sequence(z, self.width(self.gates)))

    # What arrives

    @functools.cached_property
    def at_output(self) -> ir.Value | None:
        """What arrives at Y, a sequence; 0 where Y is a constant 0."""
        r = self.arrived[0]
        if r is None:
            return None
        return self.masked(self.turn(self.op.Transpose(r, perm=[1, 2, 0, 3]) if self.batch_first else r))

    def at_last(self, output: int) -> ir.Value:
        """What arrives at a last state: of a sequence without steps the last state is a constant 0."""
        op, r = self.op, self.arrived[output]
        state, lengths = self.state(r), self.call.input(LENGTHS)
        if r is None or lengths is None:
            return state
        steps = op.Unsqueeze(op.cast(lengths, ir.DataType.INT64), op.ints([1]))
        return _shaped(op.Where(op.Greater(steps, op.ints_scalar(0)), state, op.number(0.0, state)), state)

    def dropped(self) -> list[ir.Value]:
        """Sums of what arrived where nothing was computed."""
        if self.mask is None:
            return []
        total, found = self._total, []
        if self.arrived[0] is not None and self.at_output is not None:
            found.append(self.op.Sub(total(self.arrived[0]), total(self.at_output)))
        for output in (1, 2):
            r = self.arrived[output]
            if r is not None:
                found.append(self.op.Sub(total(r), total(self.at_last(output))))
        return found

    def _total(self, v: ir.Value) -> ir.Value:
        return self.op.ReduceSum(v, keepdims=0)

    def total(self, parts: Iterable[ir.Value | None]) -> ir.Value | None:
        """The sum of all of all."""
        sums = [self._total(v) for v in parts if v is not None]
        return functools.reduce(self.op.Add, sums) if sums else None

    # Going back

    def through(
        self, label: str, states: list[ir.Value], sequences: Mapping[str, ir.Value | None], body: Callable
    ) -> tuple[list[ir.Value], list[ir.Value]]:
        """A Scan over named sequences, those left out that are None; a body is a function of (op, states, slices)."""
        given = {k: v for k, v in sequences.items() if v is not None}

        def step(op: Builder, now: Sequence[ir.Value], slices: Sequence[ir.Value]):  # type: ignore[no-untyped-def]
            return body(op, now, dict(zip(given, slices, strict=True)))

        return scan(self.op, f"{self.call.op_type}: {label}", states, list(given.values()), step)

    def to_input(self, rows: ir.Value) -> ir.Value:
        """Rows of the input's width as the input has them, directions added up."""
        op = self.op
        parts = [rows] if self.directions == 1 else list(op.Split(rows, axis=0, num_outputs=2, _outputs=2))
        parts = [op.Reshape(v, self.vector(self.steps, self.batch, op.dim(self.x, 2))) for v in parts]
        if self.direction != "reverse":
            parts[0] = self.flip(parts[0])
        r = functools.reduce(op.Add, parts)
        return op.Transpose(r, perm=[1, 0, 2]) if self.batch_first else r

    def to_state(self, v: ir.Value) -> ir.Value:
        """A state as the operand has it."""
        return self.op.Transpose(v, perm=[1, 0, 2]) if self.batch_first else v

    def to_weight(self, d: ir.Value, values: ir.Value) -> ir.Value:
        """Σ dᵀ·values over all rows."""
        return self.op.MatMul(self.op.Transpose(d, perm=[0, 2, 1]), values)

    def to_bias(self, from_x: ir.Value, from_h: ir.Value) -> ir.Value:
        """Sums over all rows, the input's and the state's."""
        op = self.op
        parts = (op.ReduceSum(d, op.ints([1]), keepdims=0) for d in (from_x, from_h))
        return op.Concat(*parts, axis=1)


def _shaped(v: ir.Value, like: ir.Value) -> ir.Value:
    if like.shape is not None:
        v.shape = like.shape
    return v


# -------------------------------------------------------------------------------------------------------- RNN and GRU


@dataclasses.dataclass
class _Hidden:
    """One step back of a cell whose only state is h: `d = factor·dh` goes through the state's weight, `r` goes on as
    `around·(d·weight) + stays·dh`."""

    factor: ir.Value
    """[T, D, N, k·H]: of each of k copies of what arrives."""
    weight: ir.Value
    around: ir.Value | None = None
    stays: ir.Value | None = None
    copies: int = 1


def _back(cell: _Cell, label: str, hidden: _Hidden) -> tuple[ir.Value, ir.Value]:
    """(what arrives at the initial state, what arrives at each step)."""

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        wide = dh if hidden.copies == 1 else op.Concat(*[dh] * hidden.copies, axis=-1)
        back = op.MatMul(op.Mul(wide, at["factor"]), hidden.weight)
        back = op.Mul(back, at["around"]) if "around" in at else back
        back = op.Add(back, op.Mul(dh, at["stays"])) if "stays" in at else back
        return [back], [dh]

    sequences = {"y": cell.at_output, "factor": hidden.factor, "around": hidden.around, "stays": hidden.stays}
    (first,), (every,) = cell.through(label, [cell.at_last(1)], sequences, body)
    return first, every


def _shared(
    cell: _Cell,
    v: ir.Value,
    weight: ir.Value,
    first: Mapping[int, ir.Value],
    bias: Sequence[ir.Value | None],
    kept: ir.Value,
) -> Reversed:
    """Relevance from v = R/s(z) of the candidate: `x·(v·weight)` to the input."""
    op = cell.op
    back = cell.to_input(op.MatMul(cell.rows(v), weight))
    amounts = {X: op.Mul(cell.call.operand(X), back)}
    amounts |= {i: cell.to_state(r) for i, r in first.items() if cell.call.input(i) is not None}
    return Reversed(amounts, epsilon=kept, bias=cell.total([*bias, *cell.dropped()]))


def _last(cell: _Cell, side: int) -> ir.Value | None:
    """The candidate's bias, the input's (0) or the state's (1), to multiply a sequence with."""
    bias = cell.biases[side]
    return None if bias is None else cell.split(bias)[-1]


def _times(op: Builder, v: ir.Value, bias: ir.Value | None) -> ir.Value | None:
    return None if bias is None else op.Mul(v, bias)


@custom("RNN", operands=lambda c: (X, W, R, B, H0), gradient_only=(W, R, B), many=True, refuse=_unknown)
def rnn(op: Builder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Each step's sum Wx + Uh + biases in proportion to the contributions (Epsilon)."""
    cell = _Cell(op, call, r)
    (f,) = cell.functions
    (a,) = cell.sums()
    if gradient:
        factor = cell.masked(f.slope(op, a, f.value(op, a)))
        first, dh = _back(cell, "gradient", _Hidden(factor, cell.r, stays=cell.keep))
        d = cell.rows(op.Mul(dh, factor))
        return _gradients(cell, d, d, {H0: first}, cell.to_weight(d, cell.rows(cell.before)))
    factor = cell.masked(op.Reciprocal(op.stabilise(a)))
    first, dh = _back(cell, "relevance", _Hidden(factor, cell.r, cell.before, cell.keep))
    v = op.Mul(dh, factor)
    passed = op.Mul(v, a) if cell.keep is None else op.Add(op.Mul(v, a), op.Mul(cell.keep, dh))
    bias = [_times(op, v, _last(cell, 0)), _times(op, v, _last(cell, 1))]
    return _shared(cell, v, cell.w, {H0: first}, bias, op.Sub(dh, passed))


def _gradients(
    cell: _Cell, from_x: ir.Value, from_h: ir.Value, first: Mapping[int, ir.Value], to_r: ir.Value
) -> Reversed:
    """From the gradients of the input's and of the state's products, rows."""
    op, call = cell.op, cell.call
    found = {X: cell.to_input(op.MatMul(from_x, cell.w)), W: cell.to_weight(from_x, cell.x_rows), R: to_r}
    if call.input(B) is not None:
        found[B] = cell.to_bias(from_x, from_h)
    return Reversed(found | {i: cell.to_state(g) for i, g in first.items() if call.input(i) is not None})


@dataclasses.dataclass
class _Gru:
    """A GRU's gates z and r, candidate n of its sum a, and with linear_before_reset what r resets."""

    z: ir.Value
    r: ir.Value
    n: ir.Value
    a: ir.Value
    sums: list[ir.Value]
    """Of z and r."""
    reset: ir.Value | None = None


def _gru_values(cell: _Cell) -> _Gru:
    op, h = cell.op, cell.before
    f, g = cell.functions
    first, second = cell.biases
    from_x = cell.split(cell.product(cell.x_rows, cell.w, first, 3))
    if cell.call.attr("linear_before_reset", 0):
        from_h = cell.split(cell.product(cell.rows(h), cell.r, second, 3))
    else:
        gates = op.Concat(*cell.split(cell.r, 1)[:2], axis=1)
        bias = None if second is None else op.Concat(*cell.split(second)[:2], axis=-1)
        from_h = list(op.Split(cell.product(cell.rows(h), gates, bias, 2), axis=-1, num_outputs=2, _outputs=2))
    sums = [op.Add(x, s) for x, s in zip(from_x, from_h[:2], strict=False)]
    z, r = (f.value(op, s) for s in sums)
    if len(from_h) == 3:
        a = op.Add(from_x[2], op.Mul(r, from_h[2]))
        return _Gru(z, r, g.value(op, a), a, sums, from_h[2])
    a = op.Add(from_x[2], cell.product(cell.rows(op.Mul(r, h)), cell.split(cell.r, 1)[2], _last(cell, 1), 1))
    return _Gru(z, r, g.value(op, a), a, sums)


@custom("GRU", operands=lambda c: (X, W, R, B, H0), gradient_only=(W, R, B), many=True, refuse=_unknown)
def gru(op: Builder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Gates get none; h shares between (1−z)·n and z·h, the candidate's sum between Wx and Uh (Epsilon)."""
    cell = _Cell(op, call, r)
    v = _gru_values(cell)
    if gradient:
        return _gru_gradient(cell, v)
    h, candidate = cell.before, op.Mul(op.Sub(1.0, v.z), v.n)
    s = op.stabilise(op.Add(candidate, op.Mul(v.z, h)))
    stays = cell.masked(op.Div(op.Mul(v.z, h), s), 1.0)
    factor = cell.masked(op.Div(op.Div(candidate, s), op.stabilise(v.a)))
    weight = cell.split(cell.r, 1)[2]
    if v.reset is None:
        hidden = _Hidden(factor, weight, op.Mul(v.r, h), stays)
    else:
        hidden = _Hidden(op.Mul(factor, v.r), weight, h, stays)
    first, dh = _back(cell, "relevance", hidden)
    share = op.Mul(dh, factor)
    kept = op.Sub(dh, op.Add(op.Mul(dh, stays), op.Mul(share, v.a)))
    reset = share if v.reset is None else op.Mul(share, v.r)
    bias = [_times(op, share, _last(cell, 0)), _times(op, reset, _last(cell, 1))]
    return _shared(cell, share, cell.split(cell.w, 1)[2], {H0: first}, bias, kept)


def _gru_gradient(cell: _Cell, v: _Gru) -> Reversed:
    """Of h' = (1−z)·n + z·h."""
    op, h = cell.op, cell.before
    f, g = cell.functions
    slope_z, slope_r = (f.slope(op, s, y) for s, y in zip(v.sums, (v.z, v.r), strict=True))
    to_z = cell.masked(op.Mul(op.Sub(h, v.n), slope_z))
    to_a = cell.masked(op.Mul(op.Sub(1.0, v.z), g.slope(op, v.a, v.n)))
    stays = cell.masked(v.z, 1.0)
    if v.reset is None:
        return _reset_first(cell, v, op.Mul(h, slope_r), to_z, to_a, stays)
    to_r = op.Mul(to_a, op.Mul(v.reset, slope_r))
    factor = op.Concat(to_z, to_r, op.Mul(to_a, v.r), axis=-1)
    first, dh = _back(cell, "gradient", _Hidden(factor, cell.r, stays=stays, copies=3))
    from_h = cell.rows(op.Mul(op.Concat(dh, dh, dh, axis=-1), factor))
    parts = [op.Mul(dh, to) for to in (to_z, to_r, to_a)]
    from_x = cell.rows(op.Concat(*parts, axis=-1))
    return _gradients(cell, from_x, from_h, {H0: first}, cell.to_weight(from_h, cell.rows(h)))


def _reset_first(cell: _Cell, v: _Gru, to_r: ir.Value, to_z: ir.Value, to_a: ir.Value, stays: ir.Value) -> Reversed:
    """The reset gate before the product: what comes through it depends on the candidate's way back."""
    op = cell.op
    weight_z, weight_r, weight_n = cell.split(cell.r, 1)
    gates = op.Concat(weight_z, weight_r, axis=1)

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        da = op.Mul(dh, at["a"])
        reset = op.MatMul(da, weight_n)
        d = op.Concat(op.Mul(dh, at["z"]), op.Mul(reset, at["r"]), axis=-1)
        back = op.Add(op.Mul(dh, at["stays"]), op.Mul(reset, at["gate"]))
        return [op.Add(back, op.MatMul(d, gates))], [op.Concat(d, da, axis=-1)]

    sequences = {"y": cell.at_output, "z": to_z, "r": to_r, "a": to_a, "gate": v.r, "stays": stays}
    (first,), (every,) = cell.through("gradient", [cell.at_last(1)], sequences, body)
    d = cell.rows(every)
    *gate_rows, candidate = cell.split(d)
    h = cell.rows(cell.before)
    parts = [*(cell.to_weight(g, h) for g in gate_rows), cell.to_weight(candidate, cell.rows(op.Mul(v.r, cell.before)))]
    return _gradients(cell, d, d, {H0: first}, op.Concat(*parts, axis=1))


# --------------------------------------------------------------------------------------------------------------- LSTM


@dataclasses.dataclass
class _Lstm:
    """An LSTM's gates and their sums (peepholes included), and its cell state behind and before each step."""

    sums: dict[str, ir.Value]
    i: ir.Value
    f: ir.Value
    g: ir.Value
    c: ir.Value
    before: ir.Value
    peepholes: dict[str, ir.Value]


def _lstm_values(cell: _Cell) -> _Lstm:
    op, call = cell.op, cell.call
    gate, g, _ = cell.functions
    sums = dict(zip("iofg", cell.sums(), strict=True))
    p = call.input(P)
    parts = [] if p is None else op.Split(p, axis=1, num_outputs=3, _outputs=3)
    peepholes = {k: op.Unsqueeze(v, op.ints([1])) for k, v in zip("iof", parts, strict=False)}
    c0 = cell.state(call.input(C0))
    new = g.value(op, sums["g"])
    if not peepholes:
        i = gate.value(op, sums["i"])
        f = op.Sub(1.0, i) if call.attr("input_forget", 0) else gate.value(op, sums["f"])
        sequences = {"kept": cell.masked(f, 1.0), "added": cell.masked(op.Mul(i, new))}
        c = _states(cell, sequences, c0, lambda op, c, at: op.Add(op.Mul(at["kept"], c), at["added"]))
        return _Lstm(sums, i, f, new, c, cell.shifted(c, c0), peepholes)

    def step(op: Builder, c: ir.Value, at: Mapping[str, ir.Value]) -> ir.Value:
        i, f = _peeping(op, cell, at, c, peepholes)
        after = op.Add(op.Mul(f, c), op.Mul(i, at["g"]))
        return op.Where(at["mask"], after, c) if "mask" in at else after

    c = _states(cell, {"i": sums["i"], "f": sums["f"], "g": new, "mask": cell.mask}, c0, step)
    before = cell.shifted(c, c0)
    i, f = _peeping(op, cell, sums, before, peepholes)
    seen = {"i": before, "o": c, "f": before}
    sums |= {k: op.Add(sums[k], op.Mul(peepholes[k], v)) for k, v in seen.items()}
    return _Lstm(sums, i, f, new, c, before, peepholes)


def _peeping(
    op: Builder, cell: _Cell, sums: Mapping[str, ir.Value], c: ir.Value, peepholes: Mapping[str, ir.Value]
) -> tuple[ir.Value, ir.Value]:
    """The gates i and f that see the cell state."""
    gate = cell.functions[0]
    i = gate.value(op, op.Add(sums["i"], op.Mul(peepholes["i"], c)))
    if cell.call.attr("input_forget", 0):
        return i, op.Sub(1.0, i)
    return i, gate.value(op, op.Add(sums["f"], op.Mul(peepholes["f"], c)))


def _states(cell: _Cell, sequences: Mapping[str, ir.Value | None], c0: ir.Value, step: Callable) -> ir.Value:
    """The cell state behind each step, by a Scan in the order in which the steps are taken."""

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        after = step(op, states[0], at)
        return [after], [after]

    taken = {k: None if v is None else cell.flip(v) for k, v in sequences.items()}
    _, (c,) = cell.through("cell states", [c0], taken, body)
    return cell.flip(c)


@custom("LSTM", operands=lambda c: (X, W, R, B, H0, C0, P), gradient_only=(W, R, B, P), many=True, refuse=_unknown)
def lstm(op: Builder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Gates get none; c shares between f·c and i·g, the candidate's sum between Wx and Uh (Epsilon).

    Arras et al. 2017. h = o·tanh(c): what arrives at h passes to c.
    """
    cell = _Cell(op, call, r)
    v = _lstm_values(cell)
    if gradient:
        return _lstm_gradient(cell, v)
    a, s = v.sums["g"], op.stabilise(v.c)
    stays = cell.masked(op.Div(op.Mul(v.f, v.before), s), 1.0)
    factor = cell.masked(op.Div(op.Div(op.Mul(v.i, v.g), s), op.stabilise(a)))
    counts = None if cell.mask is None else op.Sub(1.0, cell.keep)
    weight, around = cell.split(cell.r, 1)[3], cell.before

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        dc = op.Add(states[1], op.Mul(dh, at["counts"]) if "counts" in at else dh)
        back = op.Mul(at["around"], op.MatMul(op.Mul(dc, at["factor"]), weight))
        back = op.Add(back, op.Mul(dh, at["keep"])) if "keep" in at else back
        return [back, op.Mul(dc, at["stays"])], [dc]

    sequences = {"y": cell.at_output, "stays": stays, "factor": factor, "around": around}
    sequences |= {"counts": counts, "keep": cell.keep}
    first, (dc,) = cell.through("relevance", [cell.at_last(1), cell.at_last(2)], sequences, body)
    share = op.Mul(dc, factor)
    kept = op.Sub(dc, op.Add(op.Mul(dc, stays), op.Mul(share, a)))
    bias = [_times(op, share, _last(cell, side)) for side in (0, 1)]
    return _shared(cell, share, cell.split(cell.w, 1)[3], dict(zip((H0, C0), first, strict=True)), bias, kept)


def _lstm_gradient(cell: _Cell, v: _Lstm) -> Reversed:
    """Of c' = f·c + i·g and h = o·h(c')."""
    op, call = cell.op, cell.call
    gate, g, squash = cell.functions
    # onnxruntime clips what goes into f and g, not the cell state.
    squash = dataclasses.replace(squash, clip=None)
    o, squashed = gate.value(op, v.sums["o"]), squash.value(op, v.c)
    slope = {k: gate.slope(op, v.sums[k], y) for k, y in (("i", v.i), ("o", o))}
    to_o = cell.masked(op.Mul(squashed, slope["o"]))
    to_g = cell.masked(op.Mul(v.i, g.slope(op, v.sums["g"], v.g)))
    if call.attr("input_forget", 0):
        to_i = cell.masked(op.Mul(op.Sub(v.g, v.before), slope["i"]))
        to_f = op.Mul(to_i, 0.0)
    else:
        to_i = cell.masked(op.Mul(v.g, slope["i"]))
        to_f = cell.masked(op.Mul(v.before, gate.slope(op, v.sums["f"], v.f)))
    through = op.Mul(o, squash.slope(op, v.c, squashed))
    stays = v.f
    if v.peepholes:
        through = op.Add(through, op.Mul(to_o, v.peepholes["o"]))
        seen = op.Add(op.Mul(to_i, v.peepholes["i"]), op.Mul(to_f, v.peepholes["f"]))
        stays = op.Add(stays, seen)
    through, stays = cell.masked(through), cell.masked(stays, 1.0)
    factor = op.Concat(to_i, to_o, to_f, to_g, axis=-1)

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        dc = op.Add(states[1], op.Mul(dh, at["through"]))
        d = op.Mul(op.Concat(dc, dh, dc, dc, axis=-1), at["factor"])
        back = op.MatMul(d, cell.r)
        back = op.Add(back, op.Mul(dh, at["keep"])) if "keep" in at else back
        return [back, op.Mul(dc, at["stays"])], [d]

    sequences = {"y": cell.at_output, "through": through, "factor": factor, "stays": stays, "keep": cell.keep}
    first, (every,) = cell.through("gradient", [cell.at_last(1), cell.at_last(2)], sequences, body)
    d = cell.rows(every)
    found = _gradients(cell, d, d, dict(zip((H0, C0), first, strict=True)), cell.to_weight(d, cell.rows(cell.before)))
    if v.peepholes:
        found.amounts[P] = _to_peepholes(cell, d, v)
    return found


def _to_peepholes(cell: _Cell, d: ir.Value, v: _Lstm) -> ir.Value:
    """Σ of each gate's gradient times the cell state that it saw."""
    op = cell.op
    gates = zip(cell.split(d), (v.before, v.c, v.before), strict=False)
    return op.Concat(*(op.ReduceSum(op.Mul(g, cell.rows(c)), op.ints([1]), keepdims=0) for g, c in gates), axis=1)
