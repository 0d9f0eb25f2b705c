"""`onnxlrp inspect --why-not NODE`: rewrites and recognisers say which condition failed at a node."""

from __future__ import annotations

import json
import re

import onnx
import pytest
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import app
from onnxlrp.errors import InputError
from tests.plan.models import model

SHAPES = {"K": (4, 3, 3, 3), "S": (4,), "T": (6,), "W": (4, 2), "U": (4, 4)}
"""Weights by their names, in capital letters."""
PADS = "<int64[8] n = {0,0,1,1,0,0,1,1}>"
CONV = """g (float[N,3,6,6] x) => (float[N,4,6,6] y) {
    [conv] a = Conv<pads=[1,1,1,1]>(x, K) [end] b = BatchNormalization(a, S, S, S, S) y = Relu(b) }"""
TWICE = CONV.replace("Relu(b)", "Add(a, b)")
PADDED = f"g (float[N,3,6,6] x) => (float[N,d,6,6] y) {PADS} {{ [end] q = Pad(x, n) [next] y = Conv(q, K) }}"
SOFTMAX = """g (float[N,4] x) => (float[N,2] y) <int64[1] a = {1}> {
    e = Exp(x) s = ReduceSum(e, a) [end] p = Div(e, s) y = MatMul(p, W) }"""
NORM = """g (float[N,4] x) => (float[N,2] y) <float[1] e = {0.00001}, int64[1] a = {-1}> {
    h = MatMul(x, U) m = ReduceMean(h, a) d = Sub(h, m) q = Mul(d, d) v = ReduceMean(q, a)
    g = Add(v, e) r = Sqrt(g) [end] o = Div(d, r) y = MatMul(o, W) }"""
SILU = "g (float[N,4] x) => (float[N,2] y) { h = MatMul(x, U) s = Sigmoid(h) [end] p = Mul(h, s) y = MatMul(p, W) }"
BIAS = "g (float[N,4] x, float[N,2] z) => (float[N,2] y) { [mm] h = MatMul(x, W) [end] y = Add(h, z) }"


def small(text: str) -> onnx.ModelProto:
    return model(text, {name: SHAPES[name] for name in sorted(set(re.findall(r"\b[A-Z]\b", text)) & set(SHAPES))})


def why_not(text: str, node: str = "end") -> list[str]:
    return onnxlrp.inspect(small(text), why_not=node).why_not


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TWICE, "is not folded into Conv 'conv': 'a' is read by 2 nodes"),
        (CONV.replace("6] y)", "6] y, float[N,4,6,6] a)"), "is not folded into Conv 'conv': 'a' is an output"),
        (CONV.replace("[end]", "r = Relu(a) [end]").replace("tion(a", "tion(r"), "'r' is the output of no layer"),
        (CONV.replace("tion(a, S", "tion(a, z").replace("] x", "] x, float[4] z"), "its scale, shift, mean or"),
        (CONV.replace("BatchNormalization(a, S, S, S, S)", "Add(a, T)"), "the constant 'T' varies along other axes"),
        (CONV.replace("BatchNormalization(a, S, S, S, S)", "Elu(a)"), "it is no BatchNormalization, Add, Sub, Mul or"),
        (PADDED.replace("Pad(", 'Pad<mode="reflect">('), "is not merged into a window: it pads in mode 'reflect'"),
        (PADDED.replace("Conv(q, K)", "MaxPool<kernel_shape=[3,3]>(q)"), "into MaxPool 'next': pads of 0 are merged"),
        ("g (float[N,3] x) => (float[N,6] y) { [end] y = Concat<axis=1>(x, x) }", "no Concat upstream joins the first"),
        ("g (float[N,4] x) => (float[N,2] y) { [end] y = MatMul(x, W) }", "neither operand is a vector"),
        (BIAS, "is not taken for the bias of MatMul 'mm': its other operand depends on an input"),
        ("g (float[N,4] x, float[4,2] v) => (float[N,2] y) { [end] y = MatMul(x, v) }", "is no layer: it has"),
        (SOFTMAX.replace("Div(e, s)", "Div(x, s)"), "the denominator is no sum of 'x'"),
        (NORM.replace("{0.00001}", "{-0.5}"), "norm that is written out: its epsilon is no constant number"),
        (NORM.replace("Sqrt(g)", "Sqrt(l)").replace("e) r", "e) l = Exp(g) r"), "nodes fit, and then Exp"),
        (SILU.replace("Mul(h, s)", "Mul(x, s)"), "it reads 'h', which no elementwise node computes, and other values"),
        (SILU.replace("Mul(h, s)", "Mul(c, s)").replace("[end]", "c = Cos(h) [end]"), "no activation that has a name"),
        (SILU.replace("Mul(h, s)", "Mul(x, s)"), "belongs to no recurrent cell: no sum of gated states reads it"),
    ],
)  # fmt: skip
def test_the_condition_that_failed(text, expected):
    found = why_not(text)
    assert any(expected in sentence and " 'end' " in sentence for sentence in found), found


@pytest.mark.parametrize("text", [CONV, PADDED, SOFTMAX])
def test_what_is_rewritten_needs_no_reason(text):
    assert [sentence.partition(":")[0].split()[-2:] for sentence in why_not(text)] in ([], [["was", "rewritten"]])


@pytest.mark.parametrize(("text", "kind"), [(NORM, "norm that"), (SILU, "function of one value"), (SILU, "activation")])
def test_what_is_recognised_needs_no_reason(text, kind):
    assert not any(kind in sentence for sentence in why_not(text))


def test_a_node_that_was_folded():
    assert why_not(CONV) == ["BatchNormalization 'end' was rewritten: its output 'b' now comes from Conv 'conv'"]


def test_no_such_node():
    with pytest.raises(InputError, match="no node 'ned'; names like it: 'end'"):
        why_not(CONV, "ned")


def test_nothing_is_asked():
    assert onnxlrp.inspect(small(TWICE)).why_not == []


def test_the_command_line(tmp_path):
    file = tmp_path / "m.onnx"
    onnx.save(small(TWICE), file)

    def run(*options: str):
        return CliRunner().invoke(app, ["inspect", str(file), "--why-not", *options])

    expected = "BatchNormalization 'end' is not folded into Conv 'conv': 'a' is read by 2 nodes"
    assert (run("end").exit_code, run("end").stdout.splitlines()[0]) == (0, expected)
    assert json.loads(run("end", "--json").stdout)["why_not"][0] == expected
    assert run("nowhere").exit_code == 3
    assert "failed" in run("conv").stdout
