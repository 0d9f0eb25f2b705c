"""An evaluation as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from onnxlrp.evaluation.measures import Measure
from onnxlrp.printable import escaped

if TYPE_CHECKING:
    from onnxlrp.evaluation.evaluation_result import Evaluation, Figure

_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


def evaluation_table(evaluation: Evaluation) -> Table:
    """List every explanation, the best by area first, with its figures and its difference from the best."""
    table = Table()
    by_area = "area" in evaluation.values
    table.add_column("explanation", overflow="fold")
    for measure in evaluation.measures:
        table.add_column(measure.title + _ARROWS[measure.better], justify="right", overflow="fold")
        if measure.name == "area":
            table.add_column("area less the best", justify="right", overflow="fold")
    for name in _ordered(evaluation):
        cells = []
        for measure in evaluation.measures:
            cells.append(_cell(evaluation, name, measure))
            if measure.name == "area" and by_area:
                cells.append(_from_best(evaluation, name))
        table.add_row(escaped(name), *cells)
    return table


def legend(evaluation: Evaluation) -> list[str]:
    """Say what was removed, what took its place, and what each column means."""
    percent = f"{evaluation.confidence:.0%}"
    lines = [
        f"{evaluation.samples} samples, explained score {evaluation.score!r}; removed at once: {evaluation.units} (at "
        f"most {evaluation.unit_count} a sample), replaced by {evaluation.baseline}; {evaluation.steps} steps",
        f"± and [ ]: {percent} bootstrap interval over the samples; * differs from the best: the interval excludes 0",
    ]
    lines += [f"{one.title}{_ARROWS[one.better]}: {one.text}" for one in evaluation.measures]
    return lines


def as_text(evaluation: Evaluation) -> str:
    """Write table and legend as text."""
    return as_console_text(evaluation.table(), [*legend(evaluation), *evaluation.notes])


def as_console_text(table: Table, lines: Sequence[str]) -> str:
    """Write a table, and the lines below it, as text for a terminal."""
    from rich.console import Console

    console = Console(width=240, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get() + "\n".join(map(escaped, lines))


def _ordered(evaluation: Evaluation) -> list[str]:
    if "area" not in evaluation.values:
        return list(evaluation.explanations)
    means = {name: evaluation.figure(name, "area").mean for name in evaluation.explanations}
    return sorted(means, key=lambda name: -means[name] if math.isfinite(means[name]) else math.inf)


def _cell(evaluation: Evaluation, name: str, measure: Measure) -> str:
    figure = evaluation.figure(name, measure.name)
    if math.isnan(figure.mean):
        return "-"
    if measure.name == "weight_similarity":
        return number_text(figure.mean) + ("" if evaluation.sanity[name].depends_on_weights else " UNCHANGED")
    return number_text(figure.mean) + _spread(figure)


def _spread(figure: Figure) -> str:
    half = (figure.high - figure.low) / 2
    return "" if math.isnan(half) else f" ± {half:.2g}"


def _from_best(evaluation: Evaluation, name: str) -> str:
    best = evaluation.best()
    if name == best:
        return "best"
    known = evaluation.difference(name, best)
    if math.isnan(known.mean):
        return "-"
    interval = "" if math.isnan(known.low) else f" [{number_text(known.low)}, {number_text(known.high)}]"
    return f"{number_text(known.mean)}{interval}{' *' if known.better == best else ''}"


def number_text(value: float) -> str:
    """Write a number with three digits."""
    return f"{value:.3g}"
