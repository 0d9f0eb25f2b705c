"""Compare the models that the working tree emits with those that a revision emits.

`python -m tools.net --against main` converts the bundled models and the oracle's networks with every composite, with
and without a ledger, in both states. A row differs if the multisets of operators (domain, type, attributes) differ, or
if an output moved by more than 1e-12 of its largest entry (in float64; 1e-4 in float32). The revision's side is kept,
by its commit, and is not computed again. The exit status is 1 if a row differs.

`python -m tools.net --ledger-forms` compares the working tree with itself: the relevance part with a ledger, without
the nodes that only the ledger needs, with the relevance part without one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tools.net import emitted_graph, revision, state
from tools.net.subjects import TOLERANCES, Row, Subject, rows
from tools.net.verdict import Record, difference, judge

Jobs = dict[str, dict[str, Any]]
SHOWN = 12
"""Lines of a row that are printed without --long."""


def main(given: list[str] | None = None) -> int:
    """Compare, and print the rows that differ and a count of all; return 1 if one differs."""
    arguments = parser().parse_args(given)
    wanted = [
        row
        for row in rows(quick=arguments.quick, folder=arguments.models, nodes=arguments.nodes)
        if re.search(arguments.only, row.name)
    ]
    if not wanted:
        print(f"no row's name matches {arguments.only!r}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        jobs = jobs_of(wanted, Path(folder))
        if arguments.ledger_forms:
            return ledger_forms(wanted, of_working_tree(jobs, Path(folder), {}, run=False), arguments.long)
        old = of_revision(jobs, revision.commit(arguments.against), arguments.cache)
        new = of_working_tree(jobs, Path(folder), old)
    return against(wanted, old, new, arguments.long)


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    made = argparse.ArgumentParser(
        "python -m tools.net", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--against", metavar="REVISION", help="a branch, tag or commit")
    what.add_argument("--ledger-forms", action="store_true", help="compare relevance parts with and without a ledger")
    made.add_argument(
        "--only", default="", metavar="PATTERN", help="rows in whose name this regular expression is found"
    )
    made.add_argument("--quick", action="store_true", help="few composites, no large model")
    made.add_argument("--models", type=Path, metavar="FOLDER", help="compare the operators of its ONNX files too")
    made.add_argument("--nodes", action="store_true", help="compare the operators of ONNX's own node cases too")
    made.add_argument("--cache", type=Path, default=revision.FOLDER, metavar="FOLDER", help="where revisions are kept")
    made.add_argument("--long", action="store_true", help="print every line of a difference")
    return made


# ---------------------------------------------------------------------------------------------------------- two states


def jobs_of(wanted: Sequence[Row], folder: Path) -> Jobs:
    """Describe the rows, by name, as jobs for `tools.net.state`; models and inputs are written to a folder."""
    written: dict[str, tuple[str, str | None, str]] = {}
    jobs = {}
    for row in wanted:
        subject = row.subject
        if subject.name not in written:
            written[subject.name] = _written(subject, folder)
        model, feeds, key = written[subject.name]
        own = hashlib.sha256(f"{key} {row.composite} {sorted(row.options.items())} {subject.runner}".encode())
        jobs[row.name] = {
            "model": model,
            "feeds": feeds,
            "composite": row.composite,
            "options": row.options,
            "runner": subject.runner,
            "key": own.hexdigest()[:24],
        }
    return jobs


def _written(subject: Subject, folder: Path) -> tuple[str, str | None, str]:
    """Write the files of model and inputs, and return a digest of both and of the code that makes the records."""
    model, feeds = folder / f"{subject.name}.onnx", folder / f"{subject.name}.npz"
    if isinstance(subject.model, onnx.ModelProto):
        model.write_bytes(subject.model.SerializeToString(deterministic=True))
    else:
        model = subject.model
    if subject.feeds is not None:
        np.savez(feeds, **subject.feeds)
    files = [
        model,
        *([feeds] if subject.feeds is not None else []),
        *map(Path, (state.__file__, emitted_graph.__file__)),
    ]
    key = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            key.update(hashlib.file_digest(file, "sha256").digest())
    return str(model), str(feeds) if subject.feeds is not None else None, key.hexdigest()


def of_revision(jobs: Jobs, commit: str, cache: Path) -> dict[str, Record]:
    """Return the records of a commit, computing those that the cache lacks."""
    kept = cache / commit / "records"
    kept.mkdir(parents=True, exist_ok=True)
    places = {name: kept / f"{job['key']}.json" for name, job in jobs.items()}
    missing = [
        {**job, "record": str(places[name]), "known": ""} for name, job in jobs.items() if not places[name].exists()
    ]
    _run(missing, revision.package(commit, cache))
    return {name: state.read(path) for name, path in places.items()}


def of_working_tree(jobs: Jobs, folder: Path, old: Mapping[str, Record], run: bool = True) -> dict[str, Record]:
    """Return the records of the working tree; models that are equal to the old ones are not run."""
    places = {name: folder / f"{job['key']}.json" for name, job in jobs.items()}
    known = {name: old[name].digest if name in old else "" for name in jobs}
    own = [
        {**job, "record": str(places[name]), "known": known[name], "feeds": job["feeds"] if run else None}
        for name, job in jobs.items()
    ]
    _run(own, revision.ROOT)
    return {name: state.read(path) for name, path in places.items()}


def _run(jobs: list[dict[str, Any]], place: Path) -> None:
    if jobs:
        print(f"{len(jobs)} rows with the package of {place}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "jobs.json").write_text(json.dumps(jobs))
            revision.run(place, "tools.net.state", [folder])


# ------------------------------------------------------------------------------------------------------------- reports


def against(wanted: Sequence[Row], old: Mapping[str, Record], new: Mapping[str, Record], long: bool) -> int:
    """Print every row that differs, and the number of rows of each kind."""
    counts: Counter[str] = Counter()
    faults = 0
    for row in wanted:
        verdict = judge(old[row.name], new[row.name], TOLERANCES[row.subject.runner])
        kind = " and ".join(verdict.kinds)
        counts[kind] += 1
        faults += verdict.fault
        if verdict.lines:
            _show(f"{row.name}: {kind}", verdict.lines, long)
    print(f"{len(wanted)} rows: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    return int(faults > 0)


def ledger_forms(wanted: Sequence[Row], records: Mapping[str, Record], long: bool) -> int:
    """Print every row whose relevance part differs with a ledger."""
    pairs = differ = 0
    for row in wanted:
        plain = records.get(row.name.removesuffix(" ledger"))
        if not row.options["ledger"] or plain is None:
            continue
        pairs += 1
        if lines := difference(plain.relevance, records[row.name].untapped):
            differ += 1
            _show(row.name, lines, long)
    print(f"{pairs} rows with a ledger, {differ} have another relevance part than without one")
    return int(differ > 0)


def _show(title: str, lines: Sequence[str], long: bool) -> None:
    shown = lines if long else lines[:SHOWN]
    print(title, *(f"    {line}" for line in shown), sep="\n")
    if len(shown) < len(lines):
        print(f"    and {len(lines) - len(shown)} more lines: --long")


if __name__ == "__main__":
    sys.exit(main())
