"""Convert mutants of small models and count the outcomes.

`python -m tools.robustness --mutants 10000` continues from where an earlier call stopped: outcomes are kept by seed in
a file of JSON lines. A mutant that ends outside software is counted, and neither its seed nor its bytes are kept.
"""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import onnxruntime

from onnxlrp._version import __version__
from tests.robustness.bases import BASES
from tests.robustness.judge import FAULTS, OUTCOMES, OUTSIDE, Verdict, judge
from tests.robustness.mutate import mutant

LOG = Path(__file__).parents[2] / "build" / "mutants.jsonl"
DEFAULT = 10_000
_DIED = FAULTS[0]
_BLOCK = 100
"""Number of mutants after which the outcomes are written to the log."""


def run(count: int, log: Path) -> tuple[str, bool]:
    """Judge the mutants that are not judged yet; return the section of the page, and whether no outcome is a fault."""
    log.parent.mkdir(parents=True, exist_ok=True)
    done = _read(log)
    start = sum(block["size"] for block in done)
    for first in range(start, count, _BLOCK):
        done.append(_judge_block(first, min(_BLOCK, count - first)))
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(done[-1]) + "\n")
        print(f"{first + done[-1]['size']:,} of {count:,}", flush=True)
    counts = collections.Counter[str]()
    for block in done:
        counts.update(block["outcomes"])
    table = "\n".join(_table(counts))
    print(table)
    section = _section(table, sum(counts.values()), sum(block["seconds"] for block in done))
    return section, not any(counts[fault] for fault in FAULTS)


def _read(log: Path) -> list[dict]:
    """Read the blocks of earlier calls."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


def _judge_block(first: int, size: int) -> dict:
    """Judge consecutive seeds: count the outcomes, and list the seeds of faults, except those that ended the
    interpreter."""
    start = time.perf_counter()
    verdicts = {seed: judge(mutant(seed)[1]) for seed in range(first, first + size)}
    return {
        "size": size,
        "outcomes": collections.Counter(verdict.outcome for verdict in verdicts.values()),
        "faults": {seed: [v.outcome, v.detail] for seed, v in _to_mend(verdicts)},
        "seconds": time.perf_counter() - start,
    }


def _to_mend(verdicts: Mapping[int, Verdict]) -> Iterator[tuple[int, Verdict]]:
    for seed, verdict in verdicts.items():
        if verdict.outcome in FAULTS and verdict.outcome not in (_DIED, OUTSIDE):
            yield seed, verdict


def _table(counts: Mapping[str, int]) -> Iterator[str]:
    yield "| outcome | mutants |"
    yield "|---|---:|"
    for outcome in OUTCOMES:
        yield f"| {outcome} | {counts.get(outcome, 0):,} |"


_WORDS = """Models that onnxruntime runs and onnxlrp refuses have a constant as the explained output (half of them), or
several scores for each class, no floats or nothing at all; or they read results of a loop that takes no step, or
contradict ONNX: an axis or an attribute that does not exist, a name that is no UTF-8. Models that pass without a note
though onnxruntime refuses them have operators that it has no kernel for, or attributes and operators of com.microsoft
that it does not know, since its schemas cannot be asked without it.
"""
"""Description of the outcomes that are no faults, as of the last look at them."""


def _section(table: str, count: int, seconds: float) -> str:
    bases = ", ".join(make.__name__ for make in BASES)
    versions = f"onnxlrp {__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"
    return f"""`python -m tools.robustness --mutants {count}` makes {count:,} mutants of {len(BASES)} small models
({bases}): nodes, operands, outputs and attributes
dropped, doubled and exchanged; values and types of attributes, sizes, types and bytes of weights, declarations, names
and versions changed; bodies and functions mixed up; bytes cut. Each is converted, and run beside its source where that
runs, in a process of its own. The last {len(FAULTS)} kinds of outcome would be faults of onnxlrp.

{table}

{versions}; {seconds / 60:.0f} minutes on one busy core. A mutant that ends outside
software is counted and not kept. The plain test suite runs the first 500 ([how](../tests/robustness/mutate.py)).

{_WORDS}"""
