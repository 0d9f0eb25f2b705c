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
from onnxlrp.view.feature_ranking import RankedFeature
from onnxlrp.view.number_words import four_digits, value_words
from onnxlrp.view.pictures import paper_and_ink
from onnxlrp.view.summary import Sample, target_words
from onnxlrp.view.tokens import Piece, limit_of_texts

_ROUNDING = 1e-6
"""Part of the largest relevance up to which another is rounding."""
_MOST_INPUTS = 3
"""Most inputs whose sums of relevance are listed one by one."""


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


class AuditedRow(Protocol):
    """A feature of an audit."""

    @property
    def name(self) -> str: ...
    @property
    def mean_size(self) -> float: ...
    @property
    def rank(self) -> int: ...
    @property
    def baseline_size(self) -> float | None: ...
    @property
    def baseline_rank(self) -> int | None: ...


def plan_table(rows: Iterable[PlanRow]) -> Table:
    """List the plan: node, operator, rule, why."""
    return _table(("node", "operator", "rule", "why"), ((row.node, row.operator, row.rule, row.why) for row in rows))


def operators_table(rows: Iterable[OperatorRow]) -> Table:
    """List every operator and the way in which relevance passes it."""
    lines = ((_qualified(row), str(row.since), row.kind, row.summary) for row in rows)
    return _table(("operator", "since opset", "kind", "what happens to relevance"), lines)


def composites_table(rows: Iterable[tuple[str, str, str]]) -> Table:
    """List every composite with its arguments, what it computes, and what it is for."""
    return _table(("composite", "what it computes", "what it is for"), rows)


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
    """List for each sample its identifiers, its target, its score and the sum of relevance at each input.

    Where there is a base value it is listed too, and with it the raw score if that is not the score itself. The sums at
    more than three inputs, and at those of a model with an input a column, are one sum.
    """
    inputs = list(dict.fromkeys(name for sample in samples for name in sample.relevance))
    kind = next((target_words(sample.target)[0] for sample in samples), "class")
    columns: dict[str, list[str]] = {"sample": [str(sample.index) for sample in samples]}
    for name in dict.fromkeys(name for sample in samples for name in sample.ids):
        columns[name] = [str(sample.ids.get(name, "-")) for sample in samples]
    if any(sample.position is not None for sample in samples):
        columns["position"] = [str(sample.position) for sample in samples]
    columns[kind] = [target_words(sample.target)[1] for sample in samples]
    if any(sample.label not in ("", target_words(sample.target)[1]) for sample in samples):
        columns["label"] = [sample.label for sample in samples]
    words = len(columns)
    columns["score"] = [number_or_dash(sample.score) for sample in samples]
    for title, attribute in _sums_listed(samples).items():
        columns[title] = [number_or_dash(getattr(sample, attribute)) for sample in samples]
    features = [feature for sample in samples for feature in sample.features]
    title = "Σ kept relevance" if any(sample.is_cut for sample in samples) else "Σ relevance"
    if len(inputs) > _MOST_INPUTS or (len(inputs) > 1 and all(one.input == one.name for one in features)):
        columns[title] = [four_digits(sum(sample.relevance.values())) for sample in samples]
    else:
        for name in inputs:
            columns[f"{title} {name}"] = [number_or_dash(sample.relevance.get(name)) for sample in samples]
    return _table(list(columns), zip(*columns.values(), strict=True), numbers=len(columns) - words)


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
    """List the most relevant features of a sample, then the parts that add up to its score.

    The inputs are named where there are several, and features are not the inputs themselves.
    """
    names = ("feature", "value", "relevance")
    named = any(f.input != f.name for f in sample.features) and len({f.input for f in sample.features}) > 1
    title = ", ".join([f"sample {sample.index}", *(f"{name} {value}" for name, value in sample.ids.items())])
    table = Table(title=f"{escaped(title)}: most relevant", title_justify="left")
    for name in (*(("input",) if named else ()), *names):
        table.add_column(name, justify="right" if name in ("value", "relevance") else "left", overflow="fold")
    limit = max((abs(feature.relevance) for feature in sample.features), default=1.0) or 1.0
    for feature in sample.features:
        words = value_words(feature.value)
        shown = (
            escaped(feature.name),
            escaped(words),
            heat(_beside(feature.relevance, limit), feature.relevance, limit),
        )
        table.add_row(*((escaped(feature.input),) if named else ()), *shown)
    table.add_section()
    for name, amount in _parts_of_score(sample):
        table.add_row(*(("",) if named else ()), name, "", four_digits(amount))
    return table


def _parts_of_score(sample: Sample) -> list[tuple[str, float]]:
    """List what adds up with the most relevant features: to the score where there is a base value, else to the sum of
    all relevance."""
    limit = max((abs(feature.relevance) for feature in sample.features), default=0.0)
    others = ("all others", sample.rest if abs(sample.rest) > _ROUNDING * limit else 0.0)
    if sample.base_value is None or sample.raw_score is None or sample.is_cut:
        title = "Σ kept relevance" if sample.is_cut else "Σ relevance"
        return [others, (title, sum(sample.relevance.values()))]
    return [others, ("base value", sample.base_value), (sample.adds_up_to, sample.raw_score)]


def ranking_table(ranking: Sequence[RankedFeature], rows: int) -> Table:
    """List features by the mean of their absolute relevance over many rows."""
    limit = max((one.mean_size for one in ranking), default=0.0)
    lines = ((one.name, _beside(one.mean_size, limit), _beside(one.mean, limit)) for one in ranking)
    table = _table(("feature", "mean |relevance|", "mean relevance"), lines, numbers=2)
    table.title, table.title_justify = f"most relevant over {rows:,} rows", "left"
    return table


def audit_table(features: Iterable[AuditedRow], rows: int, baseline_rows: int) -> Table:
    """List the features of an audit by their mean absolute relevance, beside that of the baseline if there is one."""
    more = ("in the baseline", "its rank") if baseline_rows else ()
    lines = (
        (str(one.rank), one.name, four_digits(one.mean_size), *(_of_baseline(one) if more else ())) for one in features
    )
    table = _table(("rank", "feature", "mean |relevance|", *more), lines, numbers=1 + len(more))
    table.title = f"{rows:,} explanations" + (f", {baseline_rows:,} in the baseline" if more else "")
    table.title_justify = "left"
    return table


def _of_baseline(one: AuditedRow) -> tuple[str, str]:
    size, rank = one.baseline_size, one.baseline_rank
    return ("" if size is None else four_digits(size), "" if rank is None else str(rank))


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


def _beside(value: float, limit: float) -> str:
    """Write a number beside others of which `limit` is the largest; what is only rounding beside it is 0."""
    return four_digits(value if abs(value) > _ROUNDING * limit else 0.0)


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
