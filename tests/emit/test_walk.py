"""The walk owns all state: it adds up, it stops, and it asks what a step kept only for a ledger."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir
import pytest

from onnxlrp.analysis.facts import analyse
from onnxlrp.composites import parse
from onnxlrp.emit.backward import Absorbed, Arrived, Backward
from onnxlrp.emit.context import Context
from onnxlrp.emit.ledger import LedgerTaps
from onnxlrp.emit.relevance import Amount
from onnxlrp.emit.walk import Walk
from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import find
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan import Step, StepKind

FLOAT = ir.DataType.FLOAT


class Bench:
    """z = x + y, y = −x, walked by a treatment that hands all relevance to each operand."""

    def __init__(self, *receivers: str) -> None:
        self.asked = 0
        self.x = ir.Value(name="x", type=ir.TensorType(FLOAT), shape=ir.Shape([2]))
        graph = ir.Graph([self.x], [], nodes=[], name="bench", opset_imports={"": 21})
        op = ReverseBuilder(graph, "model")
        self.y = op.Neg(self.x)
        self.z = op.Add(self.x, self.y)
        values = {"x": self.x, "y": self.y, "z": self.z}
        self.context = Context(
            op,
            analyse(graph, [self.x]).frozen(),
            parse("epsilon"),
            FLOAT,
            FLOAT,
            frozenset(values[name] for name in receivers),
            {StepKind.SUM: self.treat},
        )
        self.steps = [self.step(self.z, self.x, self.y), self.step(self.y, self.x)]

    def step(self, output: ir.Value, *operands: ir.Value) -> Step:
        node = output.producer()
        assert node is not None
        entry = find(node)
        assert entry is not None
        given = dict(enumerate(operands))
        return Step(node.op_type, node.op_type, node, Call.of(node), entry, StepKind.SUM, given, (output,))

    def treat(self, context: Context, step: Step, arrived: Arrived) -> Backward:
        assert arrived[0] is not None
        amount = arrived[0].amount(context)
        return Backward([Amount(v, amount) for v in step.operands.values()], self.absorbed)

    def absorbed(self) -> Absorbed:
        self.asked += 1
        return Absorbed()

    def walk(self, ledger: LedgerTaps | None = None) -> Walk:
        walk = Walk(self.context, ledger)
        walk.start(Amount(self.z, self.z))
        walk.run(self.steps)
        return walk


def test_what_arrives_twice_is_added():
    bench = Bench("x", "y", "z")
    walk = bench.walk()
    assert len(walk.relevance[bench.x]) == 2
    amount = walk.amount(bench.x, FLOAT)
    assert amount is not None and amount.producer().op_type == "Add"


def test_what_leads_nowhere_is_stopped():
    bench = Bench("x", "z")
    walk = bench.walk()
    assert bench.y not in walk.relevance
    assert [type(part) for part in walk.relevance[bench.x]] == [Amount]


def test_a_step_is_asked_what_it_kept_for_a_ledger_alone():
    bench = Bench("x", "y", "z")
    bench.walk()
    assert bench.asked == 0
    ledger = LedgerTaps(bench.context.op, FLOAT)
    bench.walk(ledger)
    assert bench.asked == 2 and list(ledger.rows) == ["Add", "Neg"]


def test_a_treatment_can_change_nothing():
    context = Bench("x").context
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.dtype = ir.DataType.DOUBLE  # type: ignore[misc]
    sets = [v for f in dataclasses.fields(context.facts) if isinstance(v := getattr(context.facts, f.name), set)]
    assert not sets
