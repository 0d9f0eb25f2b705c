"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from rich.style import Style
from rich.table import Table
from rich.text import Text

from onnxlrp.interface import LEDGER_COLUMNS
from onnxlrp.printable import escaped
from onnxlrp.runtime.checking import Conservation, OutputCheck
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.view.pictures import paper_and_ink
from onnxlrp.view.summary import Sample, target_words
from onnxlrp.view.tokens import Piece, limit_of_texts


class PlanRow(Protocol):
    """A line of the plan."""

    @property
    def node(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def why(self) -> str: ...


class OperatorRow(Protocol):
    """A line of the operator registry."""

    @property
    def operator(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def since(self) -> int: ...


def plan_table(rows: Iterable[PlanRow]) -> Table:
    """List the plan: node, operator, rule, why."""
    return _table(("node", "operator", "rule", "why"), ((row.node, row.operator, row.rule, row.why) for row in rows))


def operators_table(rows: Iterable[OperatorRow]) -> Table:
    """List every operator and the way in which relevance passes it."""
    lines = ((_qualified(row), str(row.since), row.kind, row.summary) for row in rows)
    return _table(("operator", "since opset", "kind", "what happens to relevance"), lines)


def composites_table(rows: Iterable[tuple[str, str]]) -> Table:
    """List every composite with its arguments and its purpose."""
    return _table(("composite", "what it is for"), rows)


def ledger_table(ledger: Ledger, top: int | None = None) -> Table:
    """List the ledger's steps; with `top` only those at which most relevance was absorbed."""
    order: Sequence[int] = range(len(ledger))
    if top is not None:
        order = [int(index) for index in np.argsort(-np.abs(ledger.absorbed), kind="stable")[:top]]
    lines = (
        (ledger.names[index] + (" *" if ledger.marked[index] else ""), *(four_digits(x) for x in ledger.values[index]))
        for index in order
    )
    return _table(("step", *LEDGER_COLUMNS), lines, numbers=len(LEDGER_COLUMNS))


def samples_table(samples: Sequence[Sample]) -> Table:
    """List for each sample its target, its score and the sum of relevance at each input.

    Where there is a base value it is listed too, and with it the raw score if that is not the score itself.
    """
    inputs = list(dict.fromkeys(name for sample in samples for name in sample.relevance))
    labelled = any(sample.label for sample in samples)
    placed = any(sample.position is not None for sample in samples)
    kind = next((target_words(sample.target)[0] for sample in samples), "class")
    shown = ["sample", *(["position"] if placed else []), kind, *(["label"] if labelled else []), "score"]
    sums = _sums_listed(samples)
    lines = (
        (
            str(sample.index),
            *((str(sample.position),) if placed else ()),
            target_words(sample.target)[1],
            *((sample.label,) if labelled else ()),
            number_or_dash(sample.score),
            *(number_or_dash(getattr(sample, attribute)) for attribute in sums.values()),
            *(number_or_dash(sample.relevance.get(name)) for name in inputs),
        )
        for sample in samples
    )
    numbers = [*sums, *(f"Σ relevance {name}" for name in inputs)]
    return _table((*shown, *numbers), lines, numbers=1 + len(numbers))


def _sums_listed(samples: Sequence[Sample]) -> dict[str, str]:
    """Choose the columns of numbers that relevance adds up with: their heads, each with the attribute of a sample."""
    if all(sample.base_value is None for sample in samples):
        return {}
    raw = any(sample.adds_up_to == "raw score" for sample in samples)
    return {**({"raw score": "raw_score"} if raw else {}), "base value": "base_value"}


def sums_note(samples: Sequence[Sample]) -> str:
    """Say what base value and relevance add up to; empty if there is no base value."""
    names = [sample.adds_up_to for sample in samples if sample.adds_up_to]
    if not names:
        return ""
    if "raw score" not in names:
        return "base value + Σ relevance = score"
    if all(sample.score is None for sample in samples):
        return "base value + Σ relevance = raw score, the weighted sum of the explained scores"
    return (
        "base value + Σ relevance = raw score: the margin (log-odds) that the model's last function, such as a sigmoid "
        "or softmax, turns into the score"
    )


def features_table(sample: Sample) -> Table:
    """List the most relevant features of a sample, coloured by their relevance."""
    table = Table(title=f"sample {sample.index}: most relevant", title_justify="left")
    for name in ("input", "feature", "value", "relevance"):
        table.add_column(name, justify="right" if name in ("value", "relevance") else "left")
    limit = max((abs(feature.relevance) for feature in sample.features), default=1.0) or 1.0
    for feature in sample.features:
        words = feature.value if isinstance(feature.value, str) else four_digits(feature.value)
        table.add_row(
            escaped(feature.input),
            escaped(feature.name),
            escaped(words),
            heat(four_digits(feature.relevance), feature.relevance, limit),
        )
    if sample.base_value is not None and sample.raw_score is not None:
        table.add_section()
        for name, amount in (
            ("all others", sample.rest),
            ("base value", sample.base_value),
            (sample.adds_up_to, sample.raw_score),
        ):
            table.add_row("", name, "", four_digits(amount))
    return table


def outputs_table(checks: Iterable[OutputCheck]) -> Table:
    """Compare the source's outputs with the explained model's."""
    lines = ((c.name, f"{c.difference:.2g}", f"{c.tolerance:.0g}", "equal" if c.ok else "DIFFERENT") for c in checks)
    return _table(("output", "largest relative difference", "allowed", "verdict"), lines)


def conservation_table(sums: Conservation) -> Table:
    """Show the amount of relevance at the output, and the parts that arrived or were absorbed."""
    share = (lambda value: f"{round(value / sums.seeds, 3) + 0.0:.1%}") if sums.seeds else (lambda value: "-")
    parts = [("at the output", sums.seeds)]
    parts += [(f"at input {name}", value) for name, value in sums.inputs.items()]
    parts += [] if sums.base is None else [("base value, no loss", sums.base)]
    parts += [("absorbed by biases", sums.bias), ("absorbed by ε", sums.epsilon), ("stopped", sums.stopped)]
    lines = ((name, four_digits(value), share(value)) for name, value in parts)
    return _table(("relevance", "sum", "share"), lines, numbers=2)


def texts_table(sample: Sample) -> Table:
    """Show the texts of a sample, each piece on the colour of its relevance, on one scale for all of them."""
    limit = limit_of_texts(list(sample.texts.values()))
    table = Table(title=f"sample {sample.index}", title_justify="left", show_edge=False)
    for name in ("input", "Σ relevance", "text"):
        table.add_column(name, justify="right" if name == "Σ relevance" else "left", overflow="fold")
    for name, pieces in sample.texts.items():
        table.add_row(escaped(name), four_digits(sample.relevance[name]), heat_text(pieces, limit))
    table.add_row("", "", _scale(limit))
    return table


def heat_text(pieces: Iterable[Piece], limit: float) -> Text:
    """Put the pieces of a text, in order, on the colours of their relevance; the explained position is underlined."""
    line = Text()
    for piece in pieces:
        line.append(piece.gap)
        line.append_text(heat(piece.text, piece.relevance, limit, underline=piece.marked))
    return line


def heat(words: str, relevance: float, limit: float, underline: bool = False) -> Text:
    """Put words on a background that shows their relevance."""
    paper, ink = paper_and_ink(relevance, limit)
    return Text(escaped(words), Style(color=ink, bgcolor=paper, underline=underline or None))


def _scale(limit: float) -> Text:
    """Draw the scale of colours in one line."""
    steps = [heat("  ", share * limit, limit) for share in (-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75)]
    ends = (heat(f" {four_digits(-limit)} ", -limit, limit), heat(f" +{four_digits(limit)} ", limit, limit))
    return Text.assemble("against ", ends[0], *steps, ends[1], " for")


def number_or_dash(value: float | None) -> str:
    """Write a number with four significant digits, or a dash where there is none."""
    return "-" if value is None else four_digits(value)


def four_digits(value: float) -> str:
    """Write a number with four significant digits, and −0 as 0."""
    return f"{float(value) + 0.0:.4g}"


def _qualified(row: OperatorRow) -> str:
    return row.operator if row.domain in ("", "ai.onnx") else f"{row.domain}::{row.operator}"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], numbers: int = 0) -> Table:
    """Make a plain table; the last `numbers` columns are aligned to the right."""
    table = Table()
    for index, name in enumerate(head):
        table.add_column(escaped(name), justify="right" if index >= len(head) - numbers else "left", overflow="fold")
    for line in lines:
        table.add_row(*map(escaped, line))
    return table
