"""Softmax, products of data, norms and whole attention blocks against explicit Jacobians, in float64."""

from __future__ import annotations

import math

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

import onnxlrp
from tests.operators.case import reference
from tests.oracle.compare import Explained, error
from tests.oracle.tape import Tape

SHARES = {"attn_lrp": (0.5, 0.5), "cp_lrp": (0.0, 1.0), "epsilon": (0.0, 1.0), "epsilon_plus": (0.0, 1.0)}
"""What attention weights (or a gate) and values take."""

_erf = np.vectorize(math.erf)


def gelu(x):
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def draw(seed: int):
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.normal(size=shape)


def compare(tape: Tape, output: str, composite: str, tolerance: float = 1e-8) -> None:
    """Ours against the tape's, from weights over the whole output; the ledger closes."""
    seed = np.random.default_rng(9).normal(size=tape.values[output].shape)
    explained = onnxlrp.convert(tape.model(output), composite, target="weights", ledger=True).to_proto()
    ours = reference(explained)({**tape.inputs, f"{output}_weights": seed})
    np.testing.assert_allclose(ours[output], tape.values[output], rtol=1e-9, atol=1e-9)
    theirs = tape.relevance(output, seed * tape.values[output])
    for name in tape.inputs:
        assert error(ours[f"{name}_relevance"], theirs[name]) < tolerance
    table = ours["relevance_ledger"]
    assert np.abs(table[:, 0] - table[:, 1:].sum(1)).max() < 1e-8 * np.abs(theirs[output]).sum()


def layer_norm(tape: Tape, x: str, gamma, beta, axes: int = 1) -> str:
    v = tape.values[x]
    over = tuple(range(-axes, 0))
    sigma = np.sqrt(v.var(over, keepdims=True) + 1e-5)
    return tape.norm(
        x,
        "LayerNormalization",
        lambda u, s: gamma * (u - u.mean(over, keepdims=True)) / s,
        sigma,
        beta,
        gamma,
        beta,
        axis=-axes,
        epsilon=1e-5,
    )


def instance_norm(tape: Tape, x: str, gamma, beta) -> str:
    v = tape.values[x]
    over = tuple(range(2, v.ndim))
    per_channel = (1, -1, *[1] * len(over))
    sigma = np.sqrt(v.var(over, keepdims=True) + 1e-5)
    return tape.norm(
        x,
        "InstanceNormalization",
        lambda u, s: gamma.reshape(per_channel) * (u - u.mean(over, keepdims=True)) / s,
        sigma,
        beta.reshape(per_channel) * np.ones_like(v),
        gamma,
        beta,
        epsilon=1e-5,
    )


def group_norm(tape: Tape, x: str, gamma, beta, groups: int) -> str:
    v = tape.values[x]

    def apart(u):
        return u.reshape(v.shape[0], groups, -1)

    per_channel = (1, -1, *[1] * (v.ndim - 2))
    sigma = np.sqrt(apart(v).var(-1, keepdims=True) + 1e-5)

    def f(u, s):
        normal = (apart(u) - apart(u).mean(-1, keepdims=True)) / s
        return gamma.reshape(per_channel) * normal.reshape(u.shape)

    shift = beta.reshape(per_channel) * np.ones_like(v)
    return tape.norm(x, "GroupNormalization", f, sigma, shift, gamma, beta, num_groups=groups, epsilon=1e-5)


@pytest.mark.parametrize("axis", [-1, 1, 0])
@pytest.mark.parametrize("composite", ["attn_lrp", "epsilon"])
def test_softmax(composite, axis):
    normal = draw(0)
    tape = Tape(x=normal(2, 3, 4))
    compare(tape, tape.dense(tape.softmax(tape.dense("x", normal(4, 5)), axis), normal(5, 2)), composite)


def test_masked_softmax():
    normal = draw(1)
    tape = Tape(x=normal(2, 3, 4))
    mask = np.where(np.tri(4, 5, 1)[1:], 0, -np.inf)
    compare(
        tape, tape.dense(tape.softmax(tape.shift(tape.dense("x", normal(4, 5)), mask), -1), normal(5, 2)), "attn_lrp"
    )


def test_a_row_masked_almost_whole():
    normal = draw(2)
    tape = Tape(x=normal(1, 2, 3))
    mask = np.array([[0, -np.inf, -np.inf], [0, 0, 0]])
    compare(
        tape, tape.dense(tape.softmax(tape.shift(tape.dense("x", normal(3, 3)), mask), -1), normal(3, 2)), "attn_lrp"
    )


@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 4, 5)), ((3, 4), (4, 2)), ((2, 1, 3, 4), (2, 3, 4, 2))])
@pytest.mark.parametrize("composite", list(SHARES))
def test_product_of_data(composite, shapes):
    """None of the two is a gate: half each under every composite. Axes that are broadcast add up."""
    normal = draw(3)
    tape = Tape(a=normal(*shapes[0]), b=normal(*shapes[1]))
    left, right = tape.dense("a", normal(4, 4)), tape.dense("b", normal(shapes[1][-1], 3))
    compare(tape, tape.matmul(left, right, (0.5, 0.5)), composite)


@pytest.mark.parametrize("composite", list(SHARES))
def test_gate(composite):
    normal = draw(4)
    tape = Tape(x=normal(2, 3))
    gate = tape.activation(tape.dense("x", normal(3, 4)), "Sigmoid", lambda v: 1 / (1 + np.exp(-v)))
    product = tape.multiply(gate, tape.dense("x", normal(3, 4)), SHARES[composite])
    compare(tape, product, composite)


@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp", "epsilon", "epsilon_plus"])
@pytest.mark.parametrize("kind", ["layer", "layer over two axes", "instance", "group"])
def test_norms(kind, composite):
    normal = draw(5)
    tape = Tape(x=normal(2, 4, 3, 3))
    x = tape.dense("x", normal(3, 3), normal(3))
    if kind == "layer":
        y = layer_norm(tape, x, 1 + 0.3 * normal(3), normal(3))
    elif kind == "layer over two axes":
        y = layer_norm(tape, x, 1 + 0.3 * normal(3, 3), normal(3, 3), axes=2)
    elif kind == "instance":
        y = instance_norm(tape, x, 1 + 0.3 * normal(4), normal(4))
    else:
        y = group_norm(tape, x, 1 + 0.3 * normal(4), normal(4), groups=2)
    compare(tape, tape.dense(y, normal(3, 2)), composite)


def heads(tape: Tape, x: str, count: int, size: int) -> str:
    split = tape.move(x, "Reshape", lambda v: v.reshape(*v.shape[:-1], count, size), [0, 0, count, size])
    return tape.move(split, "Transpose", lambda v: v.transpose(0, 2, 1, 3), perm=[0, 2, 1, 3])


def attention(tape: Tape, query: str, memory: str, normal, composite: str, mask=None, groups: int = 2) -> str:
    """Two heads of three; `groups`: heads of keys and values."""
    count, size, width = 2, 3, tape.values[query].shape[-1]
    scale = 0.3
    q = heads(tape, tape.dense(query, scale * normal(width, count * size), normal(count * size)), count, size)
    k, v = (
        heads(tape, tape.dense(memory, scale * normal(width, groups * size), normal(groups * size)), groups, size)
        for _ in range(2)
    )
    turned = tape.move(k, "Transpose", lambda u: u.transpose(0, 1, 3, 2), perm=[0, 1, 3, 2])
    scores = tape.scale(tape.matmul(q, turned, (0.5, 0.5)), 1 / math.sqrt(size))
    if mask is not None:
        scores = tape.shift(scores, mask)
    context = tape.matmul(tape.softmax(scores, -1), v, SHARES[composite])
    back = tape.move(context, "Transpose", lambda u: u.transpose(0, 2, 1, 3), perm=[0, 2, 1, 3])
    joined = tape.move(back, "Reshape", lambda u: u.reshape(*u.shape[:2], -1), [0, 0, count * size])
    return tape.dense(joined, scale * normal(count * size, width), normal(width))


def feed_forward(tape: Tape, x: str, normal, composite: str, gated: bool) -> str:
    width = tape.values[x].shape[-1]
    hidden = tape.activation(tape.dense(x, 0.4 * normal(width, 5), normal(5)), "Gelu", gelu)
    if gated:
        hidden = tape.multiply(hidden, tape.dense(x, 0.4 * normal(width, 5), normal(5)), SHARES[composite])
    return tape.dense(hidden, 0.4 * normal(5, width), normal(width))


def test_what_is_hidden_takes_nothing_of_what_arrives():
    """Behind an activation that is not 0 where its operand is: there relevance arrives at hidden scores too."""
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]> main (double[N,4] x) => (double[N,2] y)
    <double[4] mask = {0, 0, 0, 0}, double[4,2] w = {1, 2, 3, 4, 5, 6, 7, 8}> {
        scores = Add (x, mask) shares = Softmax (scores) powers = Exp (shares) y = MatMul (powers, w)
    }""")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([0, -np.inf, 0, 0]), "mask"))
    got = Explained(model, composite="attn_lrp").relevance({"x": draw(8)(3, 4)})["x"]
    assert np.isfinite(got).all() and (got[:, 1] == 0).all() and got.any()


@pytest.mark.parametrize("composite", list(SHARES))
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("groups", [2, 1])
def test_encoder_block(composite, causal, groups):
    """x + attention(norm(x)), then x + feed_forward(norm(x)); grouped keys; a causal mask."""
    normal = draw(6)
    tape = Tape(x=normal(2, 4, 4))
    mask = np.where(np.tri(4), 0, -np.inf) if causal else None
    x = tape.dense("x", normal(4, 4), normal(4))
    inner = attention(tape, layer_norm(tape, x, 1 + 0.3 * normal(4), normal(4)), x, normal, composite, mask, groups)
    x = tape.add(x, inner)
    inner = feed_forward(
        tape, layer_norm(tape, x, 1 + 0.3 * normal(4), normal(4)), normal, composite, gated=groups == 1
    )
    compare(tape, tape.dense(tape.add(x, inner), normal(4, 3)), composite)


@pytest.mark.parametrize("composite", list(SHARES))
def test_cross_attention(composite):
    """Queries from one input, keys and values from another."""
    normal = draw(7)
    tape = Tape(x=normal(1, 3, 4), memory=normal(1, 5, 4))
    x = tape.dense("x", normal(4, 4), normal(4))
    memory = layer_norm(tape, tape.dense("memory", normal(4, 4)), 1 + 0.3 * normal(4), normal(4))
    compare(tape, tape.dense(tape.add(x, attention(tape, x, memory, normal, composite)), normal(4, 2)), composite)
