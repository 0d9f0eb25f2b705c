"""No foreign exception leaves convert or inspect: an invalid model, with the checker's words, or a defect to report."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import onnxlrp
from onnxlrp import errors
from onnxlrp.errors import DefectError, InputError, InvalidModelError
from tests.source.nets import unchanging

PIPELINE = importlib.import_module("onnxlrp.plan.plan_model")


def fail(error: BaseException):
    def raise_it(*_, **__):
        raise error

    return raise_it


@pytest.mark.parametrize("call", [onnxlrp.convert, onnxlrp.inspect])
def test_a_defect_says_what_to_report(call, monkeypatch):
    error = KeyError("oops")
    monkeypatch.setattr(PIPELINE, "canonicalise", fail(error))
    with pytest.raises(DefectError, match=r"unexpected KeyError: 'oops'\n.*report it with") as told:
        call(unchanging())
    assert told.value.__cause__ is error


def test_the_checker_is_asked_after_something_went_wrong(monkeypatch):
    """A graph without a name is no obstacle, but where conversion fails the checker's words are told."""
    proto = unchanging()
    proto.graph.name = ""
    assert onnxlrp.convert(proto).interface.output == "y"
    monkeypatch.setattr(PIPELINE, "canonicalise", fail(AssertionError()))
    with pytest.raises(InvalidModelError, match=r"as onnx\.checker says: .*name"):
        onnxlrp.convert(proto)


@pytest.mark.parametrize("error", [errors.ExplanationWarning("doubtful"), KeyboardInterrupt()])
def test_what_is_nobodys_fault_stays_what_it_is(error, monkeypatch):
    monkeypatch.setattr(PIPELINE, "canonicalise", fail(error))
    with pytest.raises(type(error)):
        onnxlrp.convert(unchanging())


def test_memory_that_ran_out(monkeypatch):
    monkeypatch.setattr(PIPELINE, "canonicalise", fail(MemoryError("Unable to allocate 9 GiB")))
    with pytest.raises(InvalidModelError, match=r"memory ran out \(Unable to allocate 9 GiB\)"):
        onnxlrp.convert(unchanging())


def test_a_file_that_cannot_be_read(monkeypatch):
    monkeypatch.setattr(PIPELINE, "canonicalise", fail(OSError(5, "broken disk")))
    with pytest.raises(InputError, match="broken disk"):
        onnxlrp.convert(unchanging())


def test_the_explainer_too(monkeypatch):
    explainer = onnxlrp.Explainer(onnxlrp.convert(unchanging()))
    monkeypatch.setattr("onnxlrp.runtime.explained_session.sessions.run", fail(ZeroDivisionError("oops")))
    with pytest.raises(DefectError, match="unexpected ZeroDivisionError: oops"):
        explainer({"x": np.ones((1, 2), np.float32)})
    with pytest.raises(InputError):
        explainer({"x": "no array"})


def test_a_model_that_is_explained_already():
    explained = onnxlrp.convert(unchanging())
    with pytest.raises(InvalidModelError, match=r"explained already.*onnxlrp\.Explainer"):
        onnxlrp.convert(explained.to_proto())


def test_an_explained_model_whose_metadata_a_tool_has_removed():
    proto = onnxlrp.convert(unchanging(), target="weights").to_proto()
    del proto.metadata_props[:]
    with pytest.raises(InvalidModelError, match="explained already: nodes of it come from onnxlrp"):
        onnxlrp.convert(proto)
    for node in proto.graph.node:
        del node.metadata_props[:]
    explained = onnxlrp.convert(proto, output="y", inputs=["x"])  # nothing tells it from any other model now
    assert explained.interface.relevance == {"x": "x_relevance_1"}


def test_metadata_that_somebody_has_changed():
    proto = unchanging()
    proto.metadata_props.add(key="onnxlrp.version", value="1")
    proto.metadata_props.add(key="onnxlrp.relevance", value="{")
    assert onnxlrp.convert(proto).interface.output == "y"
