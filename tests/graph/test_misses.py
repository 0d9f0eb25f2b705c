"""Reasons why a search failed at a node are kept for the node that is asked about, and for no other."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from onnxlrp.errors import InputError
from onnxlrp.graph.misses import asking, attempt, find_asked, holds, is_asked, miss

A, B = (ir.node("Relu", [ir.val("x")], name=name) for name in ("first", "second"))
GRAPH = ir.Graph([], [], nodes=[A, B])


def test_without_a_question_an_attempt_is_a_call():
    assert attempt("is not taken", A, lambda x: miss("no") or x, 3) == 3
    assert not is_asked(A)


def test_a_failure_at_the_node_is_a_sentence():
    with asking("first") as misses:
        attempt("is not taken", A, lambda: holds(1 > 2, "it is small") and holds(2 > 3, "never tried"))
        attempt("is not taken", B, miss, "of another node")
        attempt("is not named", A, miss, lambda: "found by work")
        assert is_asked(A) and not is_asked(B)
    assert list(misses.sentences) == [
        "Relu 'first' is not taken: it is small",
        "Relu 'first' is not named: found by work",
    ]


def test_a_success_needs_no_reasons():
    """Neither of its own, nor of those ways of it that failed first; another node's attempt inside is its own."""

    def ways(node):
        attempt("is not read one way", node, miss, "the first way")
        attempt("is not taken", B, miss, "another node")
        miss("the second way")
        return 0

    with asking("first") as misses:
        assert attempt("is not taken", A, ways, A) == 0
    assert not misses.sentences
    with asking("second") as misses:
        attempt("is not taken", A, ways, A)
    assert list(misses.sentences) == ["Relu 'second' is not taken: another node"]


def test_an_error_ends_the_attempt():
    with asking("first") as misses, pytest.raises(ZeroDivisionError):
        attempt("is not taken", A, lambda: 1 / 0)
    miss("nobody listens")
    assert not misses.sentences


def test_names_that_no_node_has():
    with asking("secnd"), pytest.raises(InputError, match="no node 'secnd'; names like it: 'second'"):
        find_asked(GRAPH)
    with asking("?"), pytest.raises(InputError, match=r"no node '\?'$"):
        find_asked(GRAPH)


def test_a_node_that_is_gone():
    """By who computes its value now, by what took it in, or not at all."""
    out = str(B.outputs[0].name)
    rest = ir.Graph([], [], nodes=[ir.node("Conv", [ir.val("x")], name="conv", outputs=[ir.val(out)])])
    none = ir.Graph([], [], nodes=[])
    with asking("second") as misses:
        find_asked(GRAPH)
    assert misses.about(GRAPH, {}) == []
    assert misses.about(rest, {}) == [f"Relu 'second' was rewritten: its output {out!r} now comes from Conv 'conv'"]
    inside = misses.about(none, {out: "Conv 'c'"})
    assert inside == [f"Relu 'second' was rewritten: its output {out!r} lies in Conv 'c'"]
    assert misses.about(none, {}) == ["Relu 'second' was rewritten: nothing is left of it"]
