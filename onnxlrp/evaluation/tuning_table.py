"""A tuning as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from onnxlrp.evaluation.evaluation_table import as_console_text, number_text
from onnxlrp.printable import escaped

if TYPE_CHECKING:
    from onnxlrp.evaluation.tuning_result import Tuning

_SHOWN = 12
"""Number of candidates that are listed."""


def tuning_table(tuning: Tuning) -> Table:
    """List what was held against the held-out samples, the best first, and below it the best of the other
    candidates."""
    table = Table()
    for title in ("composite", "stage", "search area ↑", "samples", "held-out area ↑", "less auto"):
        table.add_column(title, justify="left" if title in ("composite", "stage") else "right", overflow="fold")
    known = {one.name: one for one in tuning.candidates}
    held = sorted(tuning.held_out.explanations, key=lambda name: -tuning.figure(name).mean)
    others = [one.name for one in tuning.candidates if one.name not in held]
    for name in [*held, *others[: max(0, _SHOWN - len(held))]]:
        one = known.get(name)
        found = ("-", "-", "-") if one is None else (one.stage, number_text(one.area), str(one.samples))
        mark = " ←" if name == tuning.name else ""
        table.add_row(escaped(name) + mark, *found, *_on_held_out(tuning, name))
    return table


def legend(tuning: Tuning) -> list[str]:
    """Say what was measured on what, and what the columns mean."""
    percent = f"{tuning.held_out.confidence:.0%}"
    return [
        *setting(tuning),
        "area ↑: insertion less deletion, 0 for random order; search areas compare only for equal samples",
        f"± and [ ]: {percent} bootstrap interval over the held-out samples",
        "*: differs from auto, because the interval of the difference excludes 0",
    ]


def setting(tuning: Tuning) -> list[str]:
    """Say what was measured on what."""
    found = tuning.held_out
    return [
        f"{tuning.search_samples} samples to search on, {found.samples} held out; {len(tuning.candidates)} candidates, "
        f"seed {found.seed}; explained score {found.score!r}",
        f"removed at once: {found.units} (at most {found.unit_count} a sample), replaced by {found.baseline}; "
        f"{found.steps} steps",
    ]


def tuning_text(tuning: Tuning) -> str:
    """Write table, legend and notes as text."""
    return as_console_text(tuning.table(), [*legend(tuning), *tuning.notes])


def _on_held_out(tuning: Tuning, name: str) -> tuple[str, str]:
    if name not in tuning.held_out.explanations:
        return "-", "-"
    figure = tuning.figure(name)
    area = f"{number_text(figure.mean)} ± {(figure.high - figure.low) / 2:.2g}"
    if name == tuning.presets[0]:
        return area, "-"
    known = tuning.held_out.difference(name, tuning.presets[0])
    star = " *" if known.better is not None else ""
    return area, f"{number_text(known.mean)} [{number_text(known.low)}, {number_text(known.high)}]{star}"
