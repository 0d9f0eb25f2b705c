"""Every form of relevance gives what the amount that it stands for gives, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx.reference import ReferenceEvaluator

from onnxlrp.analysis.facts import analyse
from onnxlrp.composites import parse
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount, CarrierKind, Factor, PoolDeferred, Relevance, routed, total
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.rules import LRP0, Epsilon

DOUBLE = ir.DataType.DOUBLE
SHAPE = (3, 4)


class Bench:
    """A graph of a value z, a factor c and an operand w with z = 3·w, on which forms are asked."""

    def __init__(self, forms: str = "cheapest") -> None:
        self.z, self.c, self.d = (
            ir.Value(name=name, type=ir.TensorType(DOUBLE), shape=ir.Shape(SHAPE)) for name in "zcd"
        )
        graph = ir.Graph([self.z, self.c, self.d], [], nodes=[], name="bench", opset_imports={"": 21})
        self.op = ReverseBuilder(graph, "bench")
        self.context = Context(
            self.op, analyse(graph, [self.z]).frozen(), parse("epsilon"), DOUBLE, DOUBLE, frozenset(), {}, forms=forms
        )
        self.w = self.op.Div(self.z, 3.0)

    def run(self, results: list[ir.Value], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        for index, value in enumerate(results):
            self.op.graph.outputs.append(self.op.alias(value, f"result_{index}"))
        model = ir.serde.serialize_model(ir.Model(self.op.graph, ir_version=10))
        with np.errstate(all="ignore"):
            return ReferenceEvaluator(model).run(None, feeds)


def _itself(b: Bench) -> list[Relevance]:
    return [Factor(b.z, b.c, b.z)]


def _rectified(b: Bench) -> list[Relevance]:
    return [Factor(b.z, b.c, b.op.Relu(b.z), CarrierKind.RECTIFIED)]


def _cut(b: Bench) -> list[Relevance]:
    return [Factor(b.z, b.c, b.op.Clip(b.z, 0.0, 1.0), CarrierKind.CUT)]


def _of_sign(b: Bench) -> list[Relevance]:
    return [Factor(b.z, b.c, b.op.Tanh(b.z), CarrierKind.SIGN)]


def _deferred(b: Bench) -> list[Relevance]:
    op, axes = b.op, b.op.ints([1])
    output = op.ReduceMax(b.z, axes, keepdims=1)
    factor = op.ReduceMax(b.c, axes, keepdims=1)
    first = op.Equal(op.ArgMax(b.z, axis=1, keepdims=1), op.ints(range(SHAPE[1])))
    return [PoolDeferred(b.z, factor, b.z, output=output, back=lambda t: op.Where(first, t, op.number(0.0, t)))]


def _alike(b: Bench) -> list[Relevance]:
    return [*_itself(b), *_deferred(b), *_itself(b)]


def _unlike(b: Bench) -> list[Relevance]:
    return [*_itself(b), Amount(b.z, b.d), *_of_sign(b)]


FORMS = {f.__name__[1:]: f for f in (_itself, _rectified, _cut, _of_sign, _deferred, _alike, _unlike)}

QUESTIONS: dict[str, Callable[[Bench, Relevance], ir.Value]] = {
    "amount": lambda b, r: r.amount(b.context),
    "over itself": lambda b, r: r.over_output(b.context, b.z, Epsilon(0.1)),
    "over itself without ε": lambda b, r: r.over_output(b.context, b.z, LRP0()),
    "over itself, relative": lambda b, r: r.over_output(b.context, b.z, Epsilon(0.1, 0.5)),
    "over another": lambda b, r: r.over(b.context, b.d, Epsilon(0.1)),
    "over a positive": lambda b, r: r.over(b.context, b.op.Abs(b.d), Epsilon(0.1), sign=1),
    "over a negative": lambda b, r: r.over(b.context, b.op.Neg(b.op.Abs(b.d)), Epsilon(0.1), sign=-1),
    "where positive": lambda b, r: r.gated(b.context, lambda: b.op.Greater(b.z, 0.0), 1),
    "where negative": lambda b, r: r.gated(b.context, lambda: b.op.Less(b.z, 0.0), -1),
    "where another is positive": lambda b, r: r.gated(b.context, lambda: b.op.Greater(b.d, 0.0), 0),
    "of the operand of a multiple": lambda b, r: r.to_multiple(b.context, b.w, lambda t: b.op.Mul(t, 3.0)).amount(
        b.context
    ),
    "of an activation's operand": lambda b, r: r.passed(b.context, b.w, CarrierKind.SIGN).amount(b.context),
    "of a cut's operand": lambda b, r: r.passed(b.context, b.w, CarrierKind.CUT).over(
        b.context, b.op.Clip(b.d, 0.1, 2.0), Epsilon(0.1)
    ),
    "of a ReLU's operand": lambda b, r: r.rectified(b.context, b.w).amount(b.context),
    "of what was turned": lambda b, r: routed(
        b.context, [r], _turned(b, b.z), lambda t: _turned(b, t[0]), in_place=True
    ).amount(b.context),
    "settled": lambda b, r: r.settled(b.context).amount(b.context),
    "and another": lambda b, r: total(b.context, [r, Amount(b.z, b.d)]).amount(b.context),
}


def _turned(b: Bench, value: ir.Value | None) -> ir.Value:
    return b.op.Transpose(value, perm=[1, 0])


numbers = st.one_of(st.just(0.0), st.floats(1e-3, 10), st.floats(-10, -1e-3))
feeds = st.fixed_dictionaries({name: arrays(np.float64, SHAPE, elements=numbers) for name in "zcd"})


@pytest.mark.parametrize("forms", ["cheapest", "plain"])
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None)
@given(feeds=feeds)
def test_a_form_is_the_amount_that_it_stands_for(form, forms, feeds):
    bench = Bench(forms)
    taken = total(bench.context, FORMS[form](bench))
    amount = Amount(bench.z, taken.amount(bench.context))
    pairs = [v for ask in QUESTIONS.values() for v in (ask(bench, taken), ask(bench, amount))]
    found = bench.run(pairs, feeds)
    for name, ours, theirs in zip(QUESTIONS, found[::2], found[1::2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12, err_msg=name)


def test_plain_forms_are_amounts():
    bench = Bench("plain")
    for form in FORMS.values():
        settled = [part.settled(bench.context) for part in form(bench)]
        assert isinstance(total(bench.context, settled), Amount)
