"""A ranking of channels as a table for a terminal, and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from onnxlrp.concepts.concept_study import ConceptStudy, RankedChannel
from onnxlrp.printable import escaped

_WIDEST = 24


def headline(study: ConceptStudy, *, sample: int | None = None, target: int | None = None) -> str:
    """Say in words what channels are ranked by."""
    about = f"{study.relevance.shape[1]} channels of {escaped(study.layer)}, by their "
    if sample is not None:
        name = escaped(study.name_of(int(study.target[sample])))
        return f"{about}part in “{name}” for {_short(study.names[sample])}"
    if target is not None:
        return f"{about}mean part in “{escaped(study.name_of(target))}”"
    return f"{about}mean part in {len(study.target)} predictions"


def ranking_table(ranked: Sequence[RankedChannel], among: ConceptStudy) -> Table:
    """List channels with their shares and the names of their reference samples."""
    table = Table()
    table.add_column("channel", justify="right")
    table.add_column("share", justify="right")
    for title in ("most relevant in", "most active in"):
        table.add_column(title, overflow="fold")
    for one in ranked:
        kinds = (", ".join(_short(among.names[i]) for i in rows) for rows in (one.by_relevance, one.by_activation))
        table.add_row(str(one.channel), f"{one.share:+.1%}", *kinds)
    return table


def ranking_json(ranked: Sequence[RankedChannel], among: ConceptStudy) -> list[dict[str, Any]]:
    """Convert a ranking to plain values; reference samples by number and name."""
    return [
        {
            "channel": one.channel,
            "share": one.share,
            "by_relevance": [{"sample": i, "name": among.names[i]} for i in one.by_relevance],
            "by_activation": [{"sample": i, "name": among.names[i]} for i in one.by_activation],
        }
        for one in ranked
    ]


def _short(name: str) -> str:
    shown = escaped(name)
    return shown if len(shown) <= _WIDEST else "…" + shown[-_WIDEST:]
