"""Doubts about the explanations of a report in plain words: what each means, and what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxlrp.errors import InputError
from onnxlrp.reporting.html_text import html_of, marked_up, sentences
from onnxlrp.reporting.relevance_flow import absorbed_in_words
from onnxlrp.reporting.report_content import ComparedExplanation, ReportContent
from onnxlrp.runtime.cautions import KINDS, Caution
from onnxlrp.view.messages import sections

_PLAIN = {
    "nan": "Some numbers are no numbers",
    "zero": "The map is empty",
    "large": "Large amounts cancel each other",
    "absorbed": "Most of the score does not arrive at the inputs",
    "turned": "The colours are reversed",
    "negative": "The explained score is negative",
}


def warnings_section(content: ReportContent) -> str:
    """Show every doubt with its meaning and a way out, and then what the conversion noted."""
    pages = _message_pages()
    found = [(caution, one) for one in content.compared for caution in one.cautions]
    doubts = [
        _doubt(kind, [(caution, one) for caution, one in found if caution.kind == kind], pages.get(kind, ""))
        for kind in KINDS
        if any(caution.kind == kind for caution, _ in found)
    ]
    fine = '<p class="fine">The numbers of these explanations raise no doubt.</p>'
    stopped = [f"relevance ends at {stop}" for stop in content.first.plan.stopped]
    notes = sentences([*content.notes, *stopped, *content.first.plan.notes])
    return ("".join(doubts) or fine) + (f"<h3>Notes</h3>{notes}" if notes else "")


def _message_pages() -> Mapping[str, str]:
    try:
        return sections()
    except InputError:  # installed without its pages
        return {}


def _doubt(kind: str, cases: Sequence[tuple[Caution, ComparedExplanation]], page: str) -> str:
    """Write one kind of doubt: the explanations that it concerns, its meaning, and what to try."""
    told = "".join(f"<li>{_case(caution, one)}</li>" for caution, one in cases)
    meaning = f"<h4>What it means, and what to try</h4>{marked_up(page)}" if page else ""
    return f'<div class="warning"><h3>{html_of(_PLAIN.get(kind, kind))}</h3><ul>{told}</ul>{meaning}</div>'


def _case(caution: Caution, one: ComparedExplanation) -> str:
    shares = absorbed_in_words(one) if caution.kind == "absorbed" else ""
    sentence = caution.sentence[:1].upper() + caution.sentence[1:] + "."
    known = f"<strong>{html_of(shares)}</strong> " if shares else ""
    return f"<code>{html_of(one.name)}</code>: {known}{html_of(sentence)}"
