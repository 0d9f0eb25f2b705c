"""Old operator sets: source and explained model give the same in onnxruntime, for every operator, version, attribute.

Here every version has one or two cases of ONNX and all values of its attributes; `python -m tools.operator_sets` takes
all cases, and writes the table in docs/operator_sets.md.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.operators.operator_set_runs import count, is_known, judge, prepare
from tests.operators.operator_sets import FIRST, Base, tensor, versions, write_down

PAGE = Path(__file__).parents[2] / "docs" / "operator_sets.md"


def by_opset() -> dict[int, list[tuple[str, int]]]:
    """The versions of all operators by the opset from which on they are current."""
    found: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for op, some in versions().items():
        for version in some:
            found[max(version, FIRST)].append((op, version))
    return dict(sorted(found.items()))


@pytest.mark.slow
@pytest.mark.parametrize("opset", by_opset())
def test_outputs_are_equal(opset, record_property):
    counts = count(by_opset()[opset]).values()
    record_property("operator sets", ("versions of operators", len(counts)))
    for name in ("models", "equal"):
        record_property("operator sets", (name, sum(getattr(c, name) for c in counts)))
    for why, number in sum((c.not_run for c in counts), Counter()).items():
        record_property("operator sets", (f"not run by onnxruntime: {why}", number))
    wrong = [text for c in counts for text in c.wrong if not is_known(text)]
    assert not wrong, "\n".join(wrong[:20])


def test_every_version_is_in_the_table():
    rows = re.findall(r"^\| (\w+) \| (\d+) \|.*\| (\d+) \| (\d+) \|.*\| (.*) \|$", PAGE.read_text(), re.M)
    table = {(op, int(version)): (int(models), int(equal), why) for op, version, models, equal, why in rows}
    assert sorted(table) == sorted((op, v) for op, some in versions().items() for v in some)
    assert all(models or why for models, _, why in table.values())


@pytest.mark.parametrize("version", [1, 13, 20])
def test_an_extreme_of_nothing(version):
    """onnxruntime gives −∞, or ∞; no position holds it."""
    for op in ("ReduceMax", "ReduceMin"):
        empty = Base(
            op, {"data": [tensor(np.zeros((2, 0, 3), np.float32))], "axes": [tensor(np.int64([1]))]}, {}, ["y"]
        )
        trial = write_down(empty, version)
        assert trial is not None
        ready, why = prepare([dataclasses.replace(trial, constant=True)])
        assert ready is not None, why
        verdict = judge(ready)
        assert not verdict.different and not verdict.refused, verdict
