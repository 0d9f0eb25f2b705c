"""Write the table of old operator sets: `python -m tools.operator_sets`. It takes a minute on two cores.

It tries every operator of the default domain, at every version that onnxruntime still runs: all of ONNX's cases of it,
converted down to that version, with its operands fed and as constants, and all values of its attributes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import onnx
import onnxruntime

from tests.operators.operator_set_runs import KNOWN, Count, count, is_known
from tests.operators.operator_sets import versions

PAGE = Path(__file__).parents[1] / "docs" / "operator_sets.md"
HEAD = """# Old operator sets

Every operator of the default domain, at every version from opset 7 on: models of one node, whose outputs in
onnxruntime were compared before and after conversion, on two inputs each (equal: the same shape, type and bits, floats
within 1e-5 relative, float16 within 2e-3). Written by `python -m tools.operator_sets` with onnx {onnx} and onnxruntime
{onnxruntime}; the tests try a part of it. What other programs make of old operators is in [facts.md](facts.md).

- **models**: ONNX's own cases of the operator, written down to this version, with operands fed and as constants, and
  with further values of the attributes that are named
- **through**: of these, explained through the node; the others beside it
- **not run**: models that onnxruntime itself does not run, by reason: many combinations of an attribute's value with a
  case make no sense, and are refused as invalid or fail at run time

In all {versions} versions of {operators} operators: {models} models, {equal} equal, {refused} refused by onnxlrp,
{different} different; {rest} not run by onnxruntime ({reasons}).

Not equal are, in Python's patterns for operator, attributes and message:

{known}

| operator | version | attributes | models | equal | through | not run |
|---|---|---|---|---|---|---|
"""


def page(counts: Mapping[tuple[str, int], Count]) -> str:
    """Write the page as Markdown."""
    every = counts.values()
    not_run = sum((c.not_run for c in every), Counter[str]())
    head = HEAD.format(
        onnx=onnx.__version__,
        onnxruntime=onnxruntime.__version__,
        versions=len(counts),
        operators=len(versions()),
        models=f"{sum(c.models for c in every):,}",
        equal=f"{sum(c.equal for c in every):,}",
        refused=sum(c.refused for c in every),
        different=sum(c.models - c.equal - c.refused for c in every),
        known="\n".join(f"- `{pattern}`: {why}" for pattern, why in KNOWN.items()),
        rest=f"{not_run.total():,}",
        reasons=_listed(not_run),
    )
    return head + "".join(_row(op, version, c) for (op, version), c in sorted(counts.items()))


def _row(op: str, version: int, c: Count) -> str:
    attributes = ", ".join(sorted(c.attributes))
    return f"| {op} | {version} | {attributes} | {c.models} | {c.equal} | {c.through} | {_listed(c.not_run)} |\n"


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))


def _of_operator(item: tuple[str, Sequence[int]]) -> dict[tuple[str, int], Count]:
    """Try all versions of an operator."""
    onnxruntime.set_default_logger_severity(4)
    return count(((item[0], version) for version in item[1]), whole=True)


def main() -> int:
    """Try everything and write the page; return 1 if anything differs without an explanation."""
    counts: dict[tuple[str, int], Count] = {}
    with ProcessPoolExecutor() as processes:
        for found in processes.map(_of_operator, versions().items()):
            counts |= found
    wrong = [t for c in counts.values() for t in c.wrong if not is_known(t)]
    PAGE.write_text(page(counts), encoding="utf-8")
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
