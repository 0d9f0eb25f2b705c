"""The plan as a table, which a script in the page makes searchable; and the formulas of its rules."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.plan.model_family import suggested_composite
from onnxlrp.plan.steps import Step, every_step
from onnxlrp.reporting.html_text import html_of, inline_markup
from onnxlrp.reporting.report_content import ComparedExplanation
from onnxlrp.view.number_words import four_digits

_MOST = 2000
"""Most rows of the table."""
_LONGEST = 120
"""Most characters of a cell."""
_HEAD = ("node", "operator", "rule", "reason", "shapes", "relevance that arrives")


def plan_section(one: ComparedExplanation) -> str:
    """Show the plan as a table, with a field that searches it where scripts run, and the formula of every rule."""
    steps = list(every_step(one.plan.steps))
    formulas, (suggested, why) = _formulas(steps), suggested_composite(one.plan)
    numbers = {name: index for index, name in enumerate(formulas)}
    arrived = _arrived(one)
    rows = "".join(_row(index, step, numbers, arrived) for index, step in enumerate(steps[:_MOST]))
    cut = f" The table holds the first {_MOST:,}; <code>onnxlrp inspect</code> lists all."
    left = cut if len(steps) > _MOST else ""
    head = "".join(f"<th scope=col>{name}</th>" for name in _HEAD)
    defined = "".join(
        f'<dt id="f{index}">{html_of(name)}</dt><dd>{inline_markup(text)}</dd>'
        for index, (name, text) in enumerate(formulas.items())
    )
    return (
        f"<p>{html_of(one.plan.title)}: {len(steps):,} steps, from the score to the inputs.{left}</p>"
        f"<p>Suggested for this model is <code>{suggested}</code>, because {html_of(why)}.</p>"
        '<p class="scripted"><label>Search <input id="search" type="search" autocomplete="off"></label> '
        '<span id="matches" role="status"></span></p>'
        '<div class="wide" tabindex="0" role="region" aria-label="Plan, which scrolls">'
        f'<table id="plan"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"<details><summary>What the rules compute</summary><dl>{defined}</dl></details>"
    )


def numbered_steps(one: ComparedExplanation) -> dict[str, int]:
    """Number the steps that have a row in the table, by their names."""
    return {step.name: index for index, step in enumerate(list(every_step(one.plan.steps))[:_MOST])}


def _arrived(one: ComparedExplanation) -> dict[str, float]:
    """Look up the relevance that arrives at each step, summed over the samples; empty without a ledger."""
    ledger = one.explanation.ledger
    if ledger is None:
        return {}
    return dict(zip(ledger.names, ledger.values[:, 0].astype(np.float64).tolist(), strict=True))


def _row(index: int, step: Step, numbers: dict[str, int], arrived: dict[str, float]) -> str:
    known = arrived.get(step.name)
    amount = "" if known is None else four_digits(known)
    cells = (step.operator, step.rule_text, step.why, _shapes(step), amount)
    written = "".join(f"<td>{html_of(cell, _LONGEST)}</td>" for cell in cells)
    name, formula = html_of(step.name, _LONGEST), numbers[_formula_name(step)]
    return f'<tr id="s{index}" data-f="{formula}"><th scope=row>{name}</th>{written}</tr>'


def _shapes(step: Step) -> str:
    """Write the shapes of what relevance arrives at, and of what it goes to."""
    taken, given = ("; ".join(map(_shape, some)) for some in (step.outputs, step.receivers))
    return f"{taken} to {given}"


def _shape(value: ir.Value) -> str:
    return "[…]" if value.shape is None else f"[{', '.join(str(getattr(d, 'value', d) or '?') for d in value.shape)}]"


def _formula_name(step: Step) -> str:
    """Name the formula of a step: its rule without arguments, or the operator where no rule is needed."""
    return type(step.rule).__name__ if step.rule is not None else step.operator


def _formulas(steps: Sequence[Step]) -> dict[str, str]:
    """Collect what each rule and each operator without a rule computes, from their first paragraphs."""
    found: dict[str, str] = {}
    for step in steps:
        text = step.entry.summary if step.rule is None else inspect.getdoc(type(step.rule)) or ""
        found.setdefault(_formula_name(step), text.partition("\n\n")[0])
    return found
