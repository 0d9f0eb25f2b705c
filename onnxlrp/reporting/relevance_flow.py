"""Flow of relevance from the score to the inputs: the ledger as charts."""

from __future__ import annotations

import numpy as np

from onnxlrp.plan.steps import StepKind, every_step
from onnxlrp.reporting.html_text import html_of, per_cent
from onnxlrp.reporting.line_chart import Line, line_chart
from onnxlrp.reporting.report_content import ComparedExplanation, ReportContent
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.view.number_words import four_digits

_ALL = 40
"""Most steps of a ledger that are all drawn as bars."""
_KEEPERS = 15
"""Number of steps that keep most, which are drawn in any case."""
_MOST = 80
"""Most bars of a chart."""
_WIDTH, _BAR, _ROW = 360, 300, 34
_KEPT = (("bias", "kept-bias"), ("ε", "kept-epsilon"), ("stopped", "kept-stopped"))


def flow_section(content: ReportContent) -> str:
    """Show for each explanation how much relevance is left after each step, and what each step keeps."""
    parts = [
        "<p>Relevance starts as the score and goes back through the model, step by step, to the inputs. Constants such "
        "as biases keep a part, and so does the small number ε that guards divisions. Amounts are sums over the "
        "samples of the report.</p>"
    ]
    for index, one in enumerate(content.compared):
        is_open = " open" if index == 0 else ""
        parts.append(f"<details{is_open}><summary>{html_of(one.name)}</summary>{_flow(one)}</details>")
    return "".join(parts)


def absorbed_in_words(one: ComparedExplanation) -> str:
    """Say in per cent of the starting amount what biases, ε and ends keep; empty without a ledger."""
    ledger = one.explanation.ledger
    seeds = None if ledger is None else _seeds(one, ledger)
    if ledger is None or not seeds or not np.isfinite(seeds):
        return ""
    names = {"bias": "by biases and other constants", "epsilon": "by ε", "stopped": "where relevance ends"}
    shares = ", ".join(f"{per_cent(value / seeds)} {names[name]}" for name, value in ledger.totals.items() if value)
    kept = f"Kept on the way: {shares}." if shares else "Nothing is kept on the way."
    return f"{kept} Arriving at the inputs: {per_cent(_arrived(one) / seeds)} of the start."


def _flow(one: ComparedExplanation) -> str:
    ledger = one.explanation.ledger
    if ledger is None or not len(ledger):
        return "<p>Gradients conserve no relevance, so that there is no ledger to show.</p>"
    return f"<p>{html_of(absorbed_in_words(one))}</p>{_remaining(one, ledger)}{_bars(one, ledger)}"


def _arrived(one: ComparedExplanation) -> float:
    return float(sum(value.sum(dtype=np.float64) for value in one.explanation.relevance.values()))


def _seeds(one: ComparedExplanation, ledger: Ledger) -> float:
    return ledger.seeds(_arrived(one))


def _remaining(one: ComparedExplanation, ledger: Ledger) -> str:
    """Draw the amount that no step has kept so far, and the amounts that were kept."""
    kept = np.vstack([np.zeros(3), ledger.values[:, 2:].astype(np.float64).cumsum(axis=0)])
    x = np.arange(len(kept))
    left = _seeds(one, ledger) - kept.sum(axis=1)
    lines = [Line("still on its way, or at the inputs", x, left, "l0")]
    names = ("kept by constants so far", "kept by ε so far", "ended so far")
    lines += [
        Line(name, x, kept[:, column], f"l{column + 1}") for column, name in enumerate(names) if kept[:, column].any()
    ]
    title = f"Relevance left after each of {len(ledger)} steps: it starts at {four_digits(left[0])} and ends at "
    return line_chart(lines, title + four_digits(left[-1]), ("score", "inputs"), "steps of the plan")


def _bars(one: ComparedExplanation, ledger: Ledger) -> str:
    """Draw a bar for each step, as long as the relevance that arrives, with the part that the step keeps."""
    rows = _rows_to_draw(one, ledger)
    largest = float(np.nanmax(np.abs(ledger.values[rows, 0]), initial=0.0))
    if not rows or not np.isfinite(ledger.values[rows]).all() or largest == 0:
        return ""
    drawn = "".join(_bar(ledger, row, place, largest) for place, row in enumerate(rows))
    chosen = f" Shown are {len(rows)} of {len(ledger)} steps: layers, and what keeps most."
    which = "" if len(rows) == len(ledger) else chosen
    words = "Each bar is the relevance that arrives at a step; the coloured part at its end is kept there."
    keys = "".join(f'<span class="key {style}"></span>{name} ' for name, style in _KEPT)
    label = f"Relevance that arrives at {len(rows)} steps; the plan below has the numbers"
    return (
        f"<p>{words}{which} A star marks steps that do not conserve relevance by themselves.</p>"
        '<p class="keys"><span class="key arrives"></span>passed on '
        f'<span class="key negative"></span>negative {keys}</p>'
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_ROW * len(rows)}" role="img" aria-label="{label}">{drawn}</svg>'
    )


def _rows_to_draw(one: ComparedExplanation, ledger: Ledger) -> list[int]:
    if len(ledger) <= _ALL:
        return list(range(len(ledger)))
    layers = {step.name for step in every_step(one.plan.steps) if step.kind is StepKind.LAYER}
    keepers = set(np.argsort(-np.abs(ledger.absorbed))[:_KEEPERS].tolist())
    chosen = [row for row, name in enumerate(ledger.names) if name in layers and row not in keepers]
    return sorted([*keepers, *chosen[: _MOST - len(keepers)]])


def _bar(ledger: Ledger, row: int, place: int, largest: float) -> str:
    """Draw a bar with its name and number above; the kept parts stand at its right end."""
    values = ledger.values[row].astype(np.float64)
    y, length = _ROW * place, abs(values[0]) / largest * _BAR
    name = ledger.names[row] + ("*" if ledger.marked[row] else "")
    style = "negative" if values[0] < 0 else "arrives"
    parts = [
        f'<text x="0" y="{y + 11}">{html_of(name, 42)}</text>',
        f'<text x="{_WIDTH}" y="{y + 11}" text-anchor="end">{four_digits(values[0])}</text>',
        f'<rect class="{style}" x="0" y="{y + 15}" width="{max(length, 0.5):.1f}" height="11"/>',
    ]
    end = length
    for (_, kept), value in zip(_KEPT, values[2:], strict=True):
        width = min(abs(value) / largest * _BAR, end)
        if width >= 0.3:
            end -= width
            parts.append(f'<rect class="{kept}" x="{end:.1f}" y="{y + 15}" width="{width:.1f}" height="11"/>')
    return "".join(parts)
