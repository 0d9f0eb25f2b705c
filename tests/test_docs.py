"""The documents: rules and composites by name, links, and the code in docs/rules.md."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from onnxlrp.composites import COMPOSITES
from onnxlrp.errors import ExplanationWarning
from onnxlrp.rules import RULES
from onnxlrp.runtime.cautions import KINDS

ROOT = Path(__file__).parents[1]
RULES_PAGE = ROOT / "docs" / "rules.md"
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "findings" / "README.md"]


@pytest.mark.parametrize("name", [*RULES, *COMPOSITES, *KINDS])
def test_every_name_has_its_row(name):
    rows = [line.split("|")[1] for line in RULES_PAGE.read_text().splitlines() if line.startswith("| `")]
    assert any(re.search(rf"`{name}\b", row) for row in rows), f"docs/rules.md has no row for {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        if not path.startswith(("http://", "https://")):
            assert (page.parent / path).exists(), f"{page.name} links to {link}"
            assert not anchor or anchor in _anchors(page if not path else page.parent / path), link


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from the words."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_code_of_the_rules_page_prints_what_it_says():
    """All blocks are one program; a comment after a `print` is what it prints."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", RULES_PAGE.read_text(), re.MULTILINE | re.DOTALL))
    expected = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert len(expected) == code.count("print(") > 5
    halved = pytest.warns(ExplanationWarning, match="less than half of the score arrives")
    with halved, contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, str(RULES_PAGE), "exec"), {})
    assert printed.getvalue().splitlines() == expected
