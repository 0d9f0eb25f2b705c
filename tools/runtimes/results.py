"""Results of a run: results.json for programs, results.md with every file, and the table of docs/portability.md."""

from __future__ import annotations

import collections
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from onnxlrp._version import __version__
from tools.runtimes import verdicts
from tools.runtimes.engines import ENGINES, Engine
from tools.runtimes.measure import Row

HERE = Path(__file__).parent
JSON, TABLE = HERE / "results.json", HERE / "results.md"
PAGE = HERE.parents[1] / "docs" / "portability.md"
BEGIN, END = "<!-- written by python -m tools.runtimes -->", "<!-- end of what it wrote -->"
SIGNS = {verdicts.RIGHT: "✓", verdicts.WRONG: "**wrong**", verdicts.REFUSED: "refused", verdicts.NO_SOURCE: "–"}
Results = dict[str, Any]


def gathered(
    rows: Sequence[Row], refused: Sequence[tuple[str, str, str]], fates: Mapping[str, str], engines: Sequence[Engine]
) -> Results:
    """Put everything into plain lists and dictionaries; `refused` holds subject, profile and the message of convert."""
    return {
        "date": str(datetime.date.today()),
        "onnxlrp": __version__,
        "onnxruntime": onnxruntime.__version__,
        "versions": {engine.name: engine.version() for engine in engines},
        "optional_target": dict(fates),
        "not_converted": [list(one) for one in refused],
        "rows": [
            {
                "subject": row.subject.name,
                "composite": row.subject.composite,
                "profile": row.profile,
                "noise": float(f"{row.noise:.1e}"),
                "verdicts": {
                    name: [one.word, _number(one.distance), verdicts.shortened(one.cause)]
                    for name, one in row.verdicts.items()
                },
            }
            for row in rows
        ],
    }


def _number(distance: float) -> float | None:
    """Round a distance; None stands for infinity, which JSON does not have."""
    return float(f"{distance:.1e}") if distance < float("inf") else None


def write(found: Results) -> None:
    """Write all three."""
    JSON.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    TABLE.write_text(every_file(found), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{summary(found)}\n{END}{after}", encoding="utf-8")


def read() -> Results:
    """Read the results of the last whole run."""
    found: Results = json.loads(JSON.read_text(encoding="utf-8"))
    return found


def updated(kept: Results, found: Results) -> Results:
    """Put what a run measured into the place of earlier results of the same version; the rest is kept."""
    if kept["onnxlrp"] != found["onnxlrp"]:
        return found
    rows = {_key(row): row for row in kept["rows"]}
    for row in found["rows"]:
        before = rows.get(_key(row), {"verdicts": {}})
        rows[_key(row)] = {**row, "verdicts": {**before["verdicts"], **row["verdicts"]}}
    refused = {(one, profile): text for part in (kept, found) for one, profile, text in part["not_converted"]}
    return {
        **found,
        "versions": {**kept["versions"], **found["versions"]},
        "optional_target": {**kept["optional_target"], **found["optional_target"]},
        "not_converted": [[*key, text] for key, text in refused.items()],
        "rows": list(rows.values()),
    }


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["subject"], row["composite"], row["profile"]


def summary(found: Results) -> str:
    """Write a row for each runtime and profile: how many files are right, wrong, refused, or run by no means."""
    columns = ("runtime", "version", "profile", "files", "right", "silently wrong", "refused", "source not run")
    head = f"| {' | '.join(columns)} | an optional class |\n|---|---|---|--:|--:|--:|--:|--:|---|\n"
    lines = [_summary_row(found, engine, profile) for engine in ENGINES for profile in _profiles(found)]
    return head + "".join(line for line in lines if line)


def _summary_row(found: Results, engine: Engine, profile: str) -> str:
    words = [
        row["verdicts"][engine.name][0]
        for row in found["rows"]
        if row["profile"] == profile and engine.name in row["verdicts"]
    ]
    if not words:
        return f"| {engine.title} | | {profile} | not measured | | | | | |\n" if profile == "onnxruntime" else ""
    counts = " | ".join(str(words.count(word)) for word in verdicts.WORDS)
    fate = found["optional_target"].get(engine.name, "").partition(":")[0]
    return f"| {engine.title} | {found['versions'][engine.name]} | {profile} | {len(words)} | {counts} | {fate} |\n"


def every_file(found: Results) -> str:
    """Write the table of every file, and the causes by runtime."""
    engines = [engine for engine in ENGINES if engine.name in found["versions"]]
    parts = [_HEAD.format(**found, bound=verdicts.BOUND), "\n", summary(found), "\n## Every file\n\n"]
    parts.append(f"| file | {' | '.join(engine.name for engine in engines)} |\n|---{'|---' * len(engines)}|\n")
    for row in found["rows"]:
        cells = " | ".join(_cell(row["verdicts"].get(engine.name)) for engine in engines)
        parts.append(f"| {_title(row)} | {cells} |\n")
    parts += ["\n## Causes\n", *(_causes(found, engine) for engine in engines)]
    return "".join(parts)


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['subject']}, {row['composite']}" + (", portable" if row["profile"] == "portable" else "")


def _cell(verdict: Sequence[Any] | None) -> str:
    if verdict is None:
        return ""
    word, distance, _ = verdict
    return f"{SIGNS[word]} {'∞' if distance is None else f'{distance:.0e}'}" if word == verdicts.WRONG else SIGNS[word]


def _causes(found: Results, engine: Engine) -> str:
    """List why files are refused or wrong in a runtime, the most frequent first."""
    counts = collections.Counter(
        (row["profile"], word, cause.replace("|", "\\|"))
        for row in found["rows"]
        for word, _, cause in [row["verdicts"].get(engine.name, (verdicts.RIGHT, 0, ""))]
        if word != verdicts.RIGHT
    )
    if not counts:
        return ""
    lines = [f"- {count} × {word} ({profile}): {cause}\n" for (profile, word, cause), count in counts.most_common()]
    return f"\n### {engine.title}\n\n{''.join(lines)}"


def _profiles(found: Results) -> list[str]:
    return list(dict.fromkeys(row["profile"] for row in found["rows"]))


def changes(found: Results, kept: Results) -> list[str]:
    """List the files whose verdict is not that of the kept results; files that these lack are new."""
    known = {(*_key(row), name): verdict[0] for row in kept["rows"] for name, verdict in row["verdicts"].items()}
    different = []
    for row in found["rows"]:
        for name, (word, distance, cause) in row["verdicts"].items():
            before = known.get((*_key(row), name), "not measured")
            if word != before:
                now = f"{word} ({cause or distance})"
                different.append(f"{_title(row)} in {name}: {now}, in results.json {before}")
    return different


_HEAD = """# Explained files in other runtimes

Written by `python -m tools.runtimes` on {date} with onnxlrp {onnxlrp}, against onnxruntime {onnxruntime} on a
processor. [The page](../../docs/portability.md) says what to do with it.

Every file is converted with `target_input="required"` and called three times: one sample with class 1, two samples with
classes 2 and 1, two samples with the predicted class. ✓: every output and all relevance are within {bound} of
onnxruntime's (relative L2). –: the runtime does not run the source itself, or not rightly. Empty: not tried.
"""
