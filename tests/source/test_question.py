"""What is explained is decided in one place, before the graph is analysed."""

from __future__ import annotations

import pytest

import onnxlrp
from onnxlrp.errors import InputError, NothingToExplainError, TargetError
from onnxlrp.graph.builder import Builder
from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.question import Question, ask
from onnxlrp.source.read import read
from onnxlrp.targets import kind_named
from onnxlrp.targets.kind import Axes
from tests.plan.models import model
from tests.stages import PIPELINE

TEXT = """g (float[N,3] x, float[N,3] z, bool b) => (float[N,2] p, float[N,2] q) {
    s = Add(x, z) q = MatMul(s, w) p = Softmax(q) }"""


def question(text: str = TEXT, output=None, inputs=None, *, whole=False, kind=None) -> Question:
    source = read(model(text, {"w": (3, 2)}))
    canonicalise(source.model)
    return ask(source, Builder(source.model.graph, "lrp"), output, inputs, whole=whole, kind=kind)


def test_the_defaults():
    """The first output, the logit that it follows from, and every input that can carry relevance."""
    found = question()
    assert (found.name, found.output.name, found.score.name) == ("p", "p", "q")
    assert ([v.name for v in found.inputs], found.by_name) == (["x", "z", "b"], False)
    assert found.label is None and found.axes is None
    assert [note.partition(":")[0] for note in found.notes] == ["explained in place of 'p'"]


def test_what_the_caller_names():
    found = question(output="q", inputs=["z"], whole=True)
    assert (found.score, found.by_name, [v.name for v in found.inputs]) == (found.output, True, ["z"])
    assert found.notes == ()


def test_the_kind_of_target_lays_out_the_score():
    assert question(kind=kind_named("class")).axes == Axes(0, 1)
    with pytest.raises(TargetError, match="'p' has rank 2"):
        question(kind=kind_named("token"))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"inputs": ["y"]}, InputError),
        ({"output": "y"}, InputError),
        ({"text": TEXT.replace("float[N,3] z", "float[0,3] z"), "inputs": ["z"]}, NothingToExplainError),
    ],
)
def test_what_cannot_be_asked(options, error):
    with pytest.raises(error):
        question(**options)


def test_a_conversion_moves_forward_only(monkeypatch):
    """Each stage is passed once, in order."""
    passed: list[str] = []

    def noted(module, stage: str):
        call = getattr(module, stage)

        def run(*args, **options):
            passed.append(stage)
            return call(*args, **options)

        return run

    for stage, module in PIPELINE.items():
        monkeypatch.setattr(module, stage, noted(module, stage))
    onnxlrp.convert(model(TEXT, {"w": (3, 2)}), ledger=True)
    assert passed == list(PIPELINE)
