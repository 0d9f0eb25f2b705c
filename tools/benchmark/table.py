"""Table of the rows in Markdown."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.benchmark.models import MODELS
from tools.benchmark.timing import ratio

Row = Mapping[str, Any]
PEERS = ("Zennit", "Captum", "LXT")
COLUMNS = (
    "model",
    "batch",
    "composite",
    "source ms",
    "explained ms",
    "× source",
    *PEERS,
    "max difference",
    "convert s",
    "session s",
    "file MB",
    "memory MB",
)
LEGEND = """\
Milliseconds are medians of {rounds} interleaved rounds, in brackets the lowest and the highest; "× source" (explained
to source forward) and "× slower" (peer to explained) are medians of the rounds' ratios. The largest difference of
relevance is that to the peer's own in float64, as a share of its largest entry, and in brackets the same of what the
peer was timed with. Session, file and memory (the peak of runs in a fresh process) are source → explained.
"""


def read(folder: Path, setting: str) -> list[Row]:
    """Read the rows of one setting, in the order of the models."""
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob(f"*-{setting}.json"))]
    names = list(MODELS)

    def order(row: Row) -> tuple[Any, ...]:
        known = row["name"] in MODELS
        composites = MODELS[row["name"]].composites if known else ()
        place = composites.index(row["composite"]) if row["composite"] in composites else len(composites)
        return (names.index(row["name"]) if known else len(names), row["name"], row["batch"], place, row["composite"])

    return sorted(rows, key=order)


def markdown(rows: Sequence[Row]) -> str:
    """Write the machines, the table, and the reasons why peers are missing."""
    lines = [*dict.fromkeys(where(row) for row in rows), ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    rounds = sorted({row["options"]["rounds"] for row in rows})
    lines += ["", LEGEND.format(rounds=" or ".join(map(str, rounds)))]
    return "\n".join([*lines, *_notes(rows), ""])


def where(row: Row) -> str:
    """Describe processor, settings and versions of a row."""
    facts, options = dict(row["environment"]), row["options"]
    place = f"{facts.pop('processor')}, {_count(int(facts.pop('cores')), 'core')}"
    gpu = f"{facts.pop('gpu')}, " if "gpu" in facts else ""
    shapes = "fixed" if options["static"] else "any"
    clock = ", processor time" if options.get("clock") == "processor" else ""
    settings = f"{_count(options['threads'], 'thread')}{clock}, {options['precision']}, models of {shapes} batch"
    return f"{gpu}{place}, {settings}; " + ", ".join(f"{name} {version}" for name, version in facts.items())


def cells(row: Row) -> Iterator[str]:
    """Yield the cells of one row, in the order of COLUMNS."""
    seconds, size, memory = row["seconds"], row["bytes"], row["memory"]
    yield row["model"]
    yield str(row["batch"])
    yield f"`{row['composite'].partition('(')[0]}`"
    yield _milliseconds(seconds["source"])
    yield _milliseconds(seconds["explained"])
    yield f"**{ratio(seconds['explained'], seconds['source']):.2f}**"
    for peer in PEERS:
        yield _peer(seconds, peer)
    yield _difference(row["differences"])
    yield f"{row['conversion']:.1f}"
    yield _pair(row["sessions"], 1, ".2f")
    yield _pair(size, 1e6, ".1f")
    yield _pair({key: value["run"] for key, value in memory.items()}, 1e6, ".0f")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _milliseconds(seconds: Sequence[float]) -> str:
    low, middle, high = (1000 * f(seconds) for f in (min, statistics.median, max))
    digits = 2 if middle < 10 else 1 if middle < 100 else 0
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _peer(seconds: Mapping[str, Sequence[float]], peer: str) -> str:
    if peer not in seconds:
        return "–"
    return f"{1000 * statistics.median(seconds[peer]):.0f}, {ratio(seconds[peer], seconds['explained']):.1f} × slower"


def _difference(differences: Mapping[str, Mapping[str, float | None]]) -> str:
    parts = [
        f"{peer} {_share(found['ours from float64'])} ({_share(found['theirs from float64'])})"
        for peer, found in differences.items()
    ]
    return ", ".join(parts) or "–"


def _share(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.0e}"


def _pair(values: Mapping[str, float], unit: float, form: str) -> str:
    return f"{values['source'] / unit:{form}} → {values['explained'] / unit:{form}}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """List each reason once, with the models that it applies to, then the notes of the GPU's sessions."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for peer, reason in row["missing"].items():
            reasons.setdefault(f"{peer} –: {reason}", []).append(row["model"])
        label = f"{row['model']} `{row['composite'].partition('(')[0]}` batch {row['batch']}"
        for note in row["notes"]:
            reasons.setdefault(note, []).append(label)
        if "off_device" in row:
            nodes = ", ".join(f"{count} {operator}" for operator, count in row["off_device"].items()) or "none"
            reasons.setdefault(f"relevance nodes off the GPU: {nodes}", []).append(label)
    return [f"- {reason} ({', '.join(dict.fromkeys(places))})" for reason, places in sorted(reasons.items())]
