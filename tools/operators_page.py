"""Write the page that lists every operator: `python tools/operators_page.py`. A test fails while it is out of date.

`python tools/operators_page.py --missing` prints what the installed onnxruntime fuses and onnxlrp has no entry for.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from onnxlrp.operators.registry import TableRow, table

PAGE = Path(__file__).parents[1] / "onnxlrp" / "operators" / "README.md"
HEAD = """# Operators

What happens to relevance at every operator, by domain. Written by `tools/operators_page.py` from the registry;
`onnxlrp operators` prints the same.

- **linear**: relevance goes back by the transpose, in proportion to the contributions, or by a layer's rule
- **routing**: values are only moved; relevance follows them
- **pass**: elementwise; relevance passes unchanged
- **custom**: a rule of its own
- **decomposed**: written out in other operators as the model is read
- **stop**: relevance ends, for the reason given
- **refused**: it carries relevance but has no rule; a model that needs it is refused, with every such node named

`gradient` takes the true derivative of each.
"""
COLUMNS = """| operator | since opset | kind | relevance |
|---|---|---|---|
"""


def page(rows: list[TableRow]) -> str:
    """Write the page as Markdown."""
    parts = [HEAD]
    for domain, group in groupby(rows, lambda row: row.domain):
        members = list(group)
        parts.append(f"\n## {domain}: {len(members)} operators\n\n{COLUMNS}")
        parts += [f"| {r.operator} | {r.since} | {r.kind} | {r.summary.replace('|', '∣')} |\n" for r in members]
    return "".join(parts)


def without_entry() -> list[str]:
    """List the operators of com.microsoft that the installed onnxruntime has and the registry has not."""
    from onnxruntime.capi import _pybind_state

    known = {row.operator for row in table() if row.domain == "com.microsoft"}
    schemas = _pybind_state.get_all_operator_schema()
    return sorted({one.name for one in schemas if one.domain == "com.microsoft"} - known)


if __name__ == "__main__":
    if "--missing" in sys.argv[1:]:
        print("\n".join(without_entry()))
    else:
        PAGE.write_text(page(table()), encoding="utf-8")
