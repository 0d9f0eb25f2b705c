"""LSTM, GRU and RNN as ONNX specifies them, with every attribute, step by step in NumPy's float64.

The reference evaluator's own ignore sequence_lens, activations, clip and input_forget. `tests/peers/test_recurrent.py`
holds these against torch, `tests/operators/test_recurrent.py` against onnxruntime.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from onnx.reference.op_run import OpRun

from tests.oracle.tape import stabilised

Array = np.ndarray
Function = Callable[[Array], Array]

FUNCTIONS: dict[str, tuple[Callable[..., Array], float | None, float | None]] = {
    "Relu": (lambda x: np.maximum(x, 0), None, None),
    "Tanh": (np.tanh, None, None),
    "Sigmoid": (lambda x: 0.5 * (1 + np.tanh(0.5 * x)), None, None),
    "Affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "LeakyRelu": (lambda x, alpha: np.where(x >= 0, x, alpha * x), 0.01, None),
    "ThresholdedRelu": (lambda x, alpha: np.where(x > alpha, x, 0), 1.0, None),
    "ScaledTanh": (lambda x, alpha, beta: alpha * np.tanh(beta * x), 1.0, 1.0),
    "HardSigmoid": (lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), 0.2, 0.5),
    "Elu": (lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))), 1.0, None),
    "Softsign": (lambda x: x / (1 + np.abs(x)), None, None),
    "Softplus": (lambda x: np.logaddexp(0, x), None, None),
}
"""Name -> function, defaults of alpha and beta (None where it takes none)."""
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def functions(
    operator: str,
    directions: int,
    names: Sequence[str] | None,
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
) -> list[list[Function]]:
    """The activations of each direction. Alphas and betas are taken in order by those activations that have one."""
    names = list(names or DEFAULTS[operator] * directions)
    alpha, beta = iter(alphas or ()), iter(betas or ())
    made: list[Function] = []
    for name in names:
        function, first, second = FUNCTIONS[name]
        settings = [next(alpha, first)] if first is not None else []
        settings += [next(beta, second)] if second is not None else []
        made.append(lambda x, function=function, settings=settings: function(x, *settings))
    count = len(DEFAULTS[operator])
    return [made[d * count : (d + 1) * count] for d in range(directions)]


@dataclasses.dataclass
class Parameters:
    """One direction's weights, and how it computes."""

    W: Array
    R: Array
    b: Array
    """The input's bias and the state's, [2, gates, hidden]."""
    P: Array
    activations: list[Function]
    clip: float | None
    input_forget: bool = False
    linear_before_reset: bool = False

    def gates(self, x: Array, h: Array) -> list[tuple[Array, Array]]:
        """Per gate what the input and what the state gives to it, biases included."""
        size = self.R.shape[1]
        return [
            (x @ self.W[k : k + size].T + self.b[0, n], h @ self.R[k : k + size].T + self.b[1, n])
            for n, k in enumerate(range(0, len(self.W), size))
        ]

    def clipped(self, x: Array) -> Array:
        return x if self.clip is None else np.clip(x, -self.clip, self.clip)


@dataclasses.dataclass
class Step:
    """What one step computed; names as in ONNX's equations."""

    x: Array
    h0: Array
    c0: Array
    h: Array
    c: Array
    values: dict[str, Array]


def lstm_step(p: Parameters, x: Array, h0: Array, c0: Array) -> Step:
    f, g, h = p.activations
    zi, zo, zf, zc = (a + b for a, b in p.gates(x, h0))
    i = f(p.clipped(zi + p.P[0] * c0))
    forget = 1 - i if p.input_forget else f(p.clipped(zf + p.P[2] * c0))
    new = g(p.clipped(zc))
    c = forget * c0 + i * new
    o = f(p.clipped(zo + p.P[1] * c))
    # As in onnxruntime: the cell state is not clipped on its way into h.
    return Step(x, h0, c0, o * h(c), c, {"i": i, "f": forget, "o": o, "g": new, "z": zc})


def gru_step(p: Parameters, x: Array, h0: Array, c0: Array) -> Step:
    f, g = p.activations
    (xz, hz), (xr, hr), (xh, hh) = p.gates(x, h0)
    z, r = f(p.clipped(xz + hz)), f(p.clipped(xr + hr))
    if p.linear_before_reset:
        a = xh + r * hh
    else:
        size = h0.shape[-1]
        a = xh + (r * h0) @ p.R[2 * size :].T + p.b[1, 2]
    n = g(p.clipped(a))
    return Step(x, h0, c0, (1 - z) * n + z * h0, c0, {"z": z, "r": r, "n": n, "a": a})


def rnn_step(p: Parameters, x: Array, h0: Array, c0: Array) -> Step:
    ((xi, hi),) = p.gates(x, h0)
    return Step(x, h0, c0, p.activations[0](p.clipped(xi + hi)), c0, {"a": xi + hi})


STEPS = {"LSTM": lstm_step, "GRU": gru_step, "RNN": rnn_step}


def run(step: Callable[..., Step], p: Parameters, xs: Array, h: Array, c: Array) -> list[Step]:
    """The steps of one sequence [steps, input] of one direction, in the order in which they are taken."""
    taken = []
    for x in xs:
        taken.append(step(p, x, h, c))
        h, c = taken[-1].h, taken[-1].c
    return taken


def every_sequence(operator: str, X, W, R, B, lengths, h0, c0, P, options) -> dict[tuple[int, int], tuple]:
    """(direction, batch entry) -> its parameters, its steps in the order taken, and their positions in time.

    Operands in layout 0; `options` are the operator's attributes.
    """
    directions, _, size = R.shape
    gates = W.shape[1] // size
    steps, batch, _ = X.shape
    lengths = np.full(batch, steps) if lengths is None else lengths
    B = np.zeros((directions, 2 * gates * size), X.dtype) if B is None else B
    h0, c0 = (np.zeros((directions, batch, size), X.dtype) if s is None else s for s in (h0, c0))
    P = np.zeros((directions, 3 * size), X.dtype) if P is None else P
    names, alphas, betas = (options.get(k) for k in ("activations", "activation_alpha", "activation_beta"))
    activations = functions(operator, directions, names, alphas, betas)
    found = {}
    for d in range(directions):
        backwards = options.get("direction") == "reverse" or d == 1
        p = Parameters(
            W[d],
            R[d],
            B[d].reshape(2, gates, size),
            P[d].reshape(3, size),
            activations[d],
            options.get("clip"),
            bool(options.get("input_forget")),
            bool(options.get("linear_before_reset")),
        )
        for n in range(batch):
            times = np.arange(lengths[n])[::-1] if backwards else np.arange(lengths[n])
            found[d, n] = p, run(STEPS[operator], p, X[times, n], h0[d, n], c0[d, n]), times
    return found


def forward(operator: str, X, W, R, B=None, lengths=None, h0=None, c0=None, P=None, **options) -> tuple[Array, ...]:
    """Y, Y_h and Y_c; options are the operator's attributes. The Y of steps behind a sequence's end is 0."""
    batch_first = bool(options.get("layout"))
    if batch_first:
        X, h0, c0 = (v if v is None else v.swapaxes(0, 1) for v in (X, h0, c0))
    directions, _, size = R.shape
    Y = np.zeros((X.shape[0], directions, X.shape[1], size), X.dtype)
    Y_h, Y_c = np.zeros(Y.shape[1:], X.dtype), np.zeros(Y.shape[1:], X.dtype)
    for (d, n), (_, steps, times) in every_sequence(operator, X, W, R, B, lengths, h0, c0, P, options).items():
        for t, step in zip(times, steps, strict=True):
            Y[t, d, n] = step.h
        if steps:
            Y_h[d, n], Y_c[d, n] = steps[-1].h, steps[-1].c
    if batch_first:
        return Y.transpose(2, 0, 1, 3), Y_h.swapaxes(0, 1), Y_c.swapaxes(0, 1)
    return Y, Y_h, Y_c


class _Recurrent(OpRun):
    def __init__(self, onnx_node, run_params):
        OpRun.__init__(self, onnx_node, run_params)
        self.count = len(onnx_node.output)

    def outputs(self, *operands, **options) -> tuple[Array, ...]:
        found = forward(type(self).__name__, *operands, **options)
        return tuple(v.astype(operands[0].dtype) for v in found[: self.count])


class LSTM(_Recurrent):
    """Every attribute."""

    def _run(self, X, W, R, B=None, lengths=None, h0=None, c0=None, P=None, **options):
        return self.outputs(X, W, R, B, lengths, h0, c0, P, **options)


class GRU(_Recurrent):
    """Every attribute."""

    def _run(self, X, W, R, B=None, lengths=None, h0=None, **options):
        return self.outputs(X, W, R, B, lengths, h0, **options)


class RNN(GRU):
    """Every attribute."""


OPERATORS = [LSTM, GRU, RNN]


# --------------------------------------------------------------------------------------------------------- relevance


def through_sum(parts: Sequence[tuple[Array, Array]], constants: Array, r: Array) -> tuple[list[Array], Array]:
    """ε of z = Σ weight·value + constants: what each value gets, and what the constants get.

    Every weight times its value is written out, [outputs, inputs]: one row shares one output's relevance.
    """
    contributions = [weight * value for weight, value in parts]
    z = sum(c.sum(1) for c in contributions) + constants
    return [(c * (r / stabilised(z))[:, None]).sum(0) for c in contributions], constants * r / stabilised(z)


def lstm_relevance(p: Parameters, s: Step, rh: Array, rc: Array) -> tuple[Array, Array, Array, float]:
    """Of x, h and c before the step, and the biases' share: Arras et al. 2017, gates get none."""
    size, rc = len(s.h), rc + rh
    share = rc / stabilised(s.c)
    candidate = slice(3 * size, None)
    (rx, rh0), bias = through_sum(
        [(p.W[candidate], s.x), (p.R[candidate], s.h0)], p.b[:, 3].sum(0), s.values["i"] * s.values["g"] * share
    )
    return rx, rh0, s.values["f"] * s.c0 * share, bias.sum()


def gru_relevance(p: Parameters, s: Step, rh: Array, rc: Array) -> tuple[Array, Array, Array, float]:
    """Of x and h before the step: h = (1 − z)·n + z·h0, n's sum Wx + b + r·(Uh0 + b') or Wx + U(r·h0) + b + b'."""
    size, r, z = len(s.h), s.values["r"], s.values["z"]
    share = rh / stabilised((1 - z) * s.values["n"] + z * s.h0)
    W, U = p.W[2 * size :], p.R[2 * size :]
    state = (r[:, None] * U, s.h0) if p.linear_before_reset else (U, r * s.h0)
    constants = p.b[0, 2] + (r if p.linear_before_reset else 1) * p.b[1, 2]
    (rx, rh0), bias = through_sum([(W, s.x), state], constants, (1 - z) * s.values["n"] * share)
    return rx, rh0 + z * s.h0 * share, rc, bias.sum()


def rnn_relevance(p: Parameters, s: Step, rh: Array, rc: Array) -> tuple[Array, Array, Array, float]:
    """Of x and h before the step: h = f(Wx + Uh0 + b)."""
    (rx, rh0), bias = through_sum([(p.W, s.x), (p.R, s.h0)], p.b.sum((0, 1)), rh)
    return rx, rh0, rc, bias.sum()


RELEVANCE = {"LSTM": lstm_relevance, "GRU": gru_relevance, "RNN": rnn_relevance}


def relevance(operator: str, operands: Sequence[Array | None], arrived: Sequence[Array | None], **options):
    """Relevance of X, initial_h and initial_c from that of Y, Y_h and Y_c (None: none), and what biases got in all."""
    X, W, R, B, lengths, h0, c0, P = [*operands, *[None] * (8 - len(operands))]
    rY, rh, rc = [*arrived, *[None] * (3 - len(arrived))]
    if options.get("layout"):
        X, h0, c0, rh, rc = (v if v is None else v.swapaxes(0, 1) for v in (X, h0, c0, rh, rc))
        rY = rY if rY is None else rY.transpose(1, 2, 0, 3)
    directions, _, size = R.shape
    states = (directions, X.shape[1], size)
    rY = np.zeros((len(X), *states)) if rY is None else rY
    rh, rc = (np.zeros(states) if r is None else r for r in (rh, rc))
    rX, rh0, rc0, biases = np.zeros(X.shape), np.zeros(states), np.zeros(states), 0.0
    for (d, n), (p, steps, times) in every_sequence(operator, X, W, R, B, lengths, h0, c0, P, options).items():
        h, c = (r[d, n] if steps else np.zeros(size) for r in (rh, rc))
        for step, t in reversed(list(zip(steps, times, strict=True))):
            rx, h, c, bias = RELEVANCE[operator](p, step, h + rY[t, d, n], c)
            rX[t, n] += rx
            biases += bias
        rh0[d, n], rc0[d, n] = h, c
    if options.get("layout"):
        rX, rh0, rc0 = (v.swapaxes(0, 1) for v in (rX, rh0, rc0))
    return rX, rh0, rc0, biases
