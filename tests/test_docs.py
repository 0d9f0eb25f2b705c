"""The documents: rules and composites by name, links, terms, and the code in the pages that a reader may copy."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import warnings
from pathlib import Path

import pytest

import onnxlrp
from onnxlrp.composites import COMPOSITES
from onnxlrp.errors import ExplanationWarning
from onnxlrp.interface import Interface
from onnxlrp.operators import own, registry
from onnxlrp.rules import RULES
from onnxlrp.runtime.cautions import KINDS
from onnxlrp.runtime.record import SCHEMA_FILE, Record
from onnxlrp.targets import TARGETS

ROOT = Path(__file__).parents[1]
RULES_PAGE = ROOT / "docs" / "rules.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
README = ROOT / "README.md"
SUPPORTED_PAGE = ROOT / "docs" / "supported.md"
PAGES = [*sorted((ROOT / "docs").glob("**/*.md")), README, CONTRIBUTING, ROOT / "findings" / "README.md"]
TREES_PAGE = ROOT / "docs" / "trees.md"
EMITTED_PAGE = ROOT / "docs" / "emitted-model.md"
EVALUATE_PAGE = ROOT / "docs" / "evaluate.md"
RELEVANCE_PAGE = ROOT / "docs" / "relevance.md"
START_PAGE = ROOT / "docs" / "start.md"
DEPLOYING_PAGE = ROOT / "docs" / "deploying.md"
REDUCED_PAGE = ROOT / "docs" / "reduced.md"
TUNE_PAGE = ROOT / "docs" / "tune.md"
CONCEPTS_PAGE = ROOT / "docs" / "concepts.md"
INTEGRATIONS_PAGE = ROOT / "docs" / "integrations.md"
RECORD_PAGE = ROOT / "docs" / "record.md"
PROGRAMS = {
    RULES_PAGE: ["less than half of the score arrives"],
    EMITTED_PAGE: [],
    CONTRIBUTING: [],
    TREES_PAGE: [],
    EVALUATE_PAGE: [],
    TUNE_PAGE: [],
    CONCEPTS_PAGE: [],
    INTEGRATIONS_PAGE: [],
    RECORD_PAGE: [],
    RELEVANCE_PAGE: [],
    START_PAGE: [],
    ROOT / "docs" / "pictures.md": 3 * ["less than half of the score arrives"],
    ROOT / "docs" / "texts_and_series.md": [],
    DEPLOYING_PAGE: [],
    REDUCED_PAGE: [],
}
"""Pages whose code is run, and the warnings that it gives."""


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("name", [*RULES, *COMPOSITES, *KINDS])
def test_every_name_has_its_row(name):
    rows = [line.split("|")[1] for line in RULES_PAGE.read_text().splitlines() if line.startswith("| `")]
    assert any(re.search(rf"`{name}\b", row) for row in rows), f"docs/rules.md has no row for {name}"


@pytest.mark.parametrize("name", [*RULES, *COMPOSITES])
def test_the_page_of_what_is_supported_names_every_rule_and_composite(name):
    kind = "rules" if name in RULES else "composites"
    (row,) = re.findall(rf"^\| {kind} \|(.*)$", SUPPORTED_PAGE.read_text(), re.MULTILINE)
    assert re.search(rf"\b{name}\b", row), f"docs/supported.md does not name {name}"


def test_the_readme_is_short():
    """A newcomer reads it to the end; what does not fit has a page of its own."""
    assert len(README.read_text().split()) < 1200


@pytest.mark.parametrize("name", TARGETS)
def test_every_kind_of_target_has_its_row(name):
    rows = EMITTED_PAGE.read_text().split("## Targets")[1].split("\n## ")[0].splitlines()
    assert any(row.startswith(f'| `"{name}"` |') for row in rows), f"docs/emitted-model.md has no row for {name}"


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_rows_of_a_table_have_as_many_cells_as_its_head(page):
    """A `|` within a cell is written `\\|`, between backticks too: else it begins another cell."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        cells = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
        assert set(cells) == {cells[0]}, (
            f"{page.name}: the rows of this table have {sorted(set(cells))} strokes:\n{table}"
        )


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Interface)])
def test_every_entry_of_the_metadata_is_described(field):
    rows = EMITTED_PAGE.read_text().split("## Metadata")[1].split("\n## ")[0].splitlines()
    assert any(f"`{field}`" in row.split("|")[1] for row in rows if row.startswith("| `"))


@pytest.mark.parametrize("field", ["schema", *(field.name for field in dataclasses.fields(Record))])
def test_every_field_of_a_record_is_described(field):
    rows = RECORD_PAGE.read_text().split("## Every field")[1].split("\n## ")[0].splitlines()
    assert any(f"`{field}`" in row.split("|")[1] for row in rows if row.startswith("| `"))
    assert field in json.loads(SCHEMA_FILE.read_text())["properties"]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        if not path.startswith(("http://", "https://")):
            assert (page.parent / path).exists(), f"{page.name} links to {link}"
            assert not anchor or anchor in _anchors(page if not path else page.parent / path), link


@pytest.mark.parametrize("page", [ROOT / "docs" / "architecture.md", CONTRIBUTING], ids=_name)
def test_files_that_a_page_names_are_there(page):
    """Paths between backticks, from the root or within the package; `*` stands for any name."""
    named = set(re.findall(r"`([\w./*-]+(?:\.py|/))`", page.read_text()))
    assert len(named) > 20
    for path in named:
        found = [*ROOT.glob(path), *(ROOT / "onnxlrp").glob(path), *(ROOT / "onnxlrp").glob(f"*/{path}")]
        assert found, f"{page.name} names {path}, which is not there"


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made from the words."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_site_lists_every_page():
    """The navigation of the site and the list of contents name each page of docs/."""
    navigation, contents = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in navigation, f"mkdocs.yml lacks {page.name}"
        assert page.name == "index.md" or f"({page.name})" in contents, f"docs/index.md lacks {page.name}"


def test_the_pages_of_the_interface_show_every_public_name():
    """docs/api holds a directive for each name of `onnxlrp.__all__`, or one for its module."""
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    shown = {named.rpartition(".")[2] for named in re.findall(r"^::: (\S+)$", pages, re.MULTILINE)}
    assert {name for name in onnxlrp.__all__ if not name.startswith("_")} <= shown
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert all(f": api/{page.name}\n" in navigation for page in (ROOT / "docs" / "api").glob("*.md"))


@pytest.fixture
def operators():
    """The operators that a page registers, taken out again."""
    known, users = dict(registry._OPERATORS), dict(own._OWN)
    yield
    registry._OPERATORS.clear()
    registry._OPERATORS.update(known)
    own._OWN.clear()
    own._OWN.update(users)


@pytest.mark.parametrize("page", PROGRAMS, ids=_name)
def test_the_code_of_a_page_prints_what_it_says(page, operators, tmp_path, monkeypatch):
    """All Python blocks of a page are one program; a comment after a `print` is what it prints.

    It runs in a folder of its own, beside which the bundled models lie."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(ROOT / "models")
    check_program(page, PROGRAMS[page])


def check_program(page: Path, doubted: list[str]) -> None:
    """Run the code of a page in this folder, and compare what it prints and warns of with what the page says."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
    expected = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert len(expected) == code.count("print(") > 3
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()) as printed:
        warnings.simplefilter("always", ExplanationWarning)
        exec(compile(code, str(page), "exec", dont_inherit=True), {})
    assert printed.getvalue().splitlines() == expected
    doubts = [str(one.message) for one in caught if issubclass(one.category, ExplanationWarning)]
    assert len(doubts) == len(doubted)
    assert all(said in doubt for said, doubt in zip(doubted, doubts, strict=True)), doubts


def test_git_ignores_what_the_readers_commands_write():
    """README.md and docs/start.md are tried in a clone, which should stay clean."""
    ignored = set((ROOT / ".gitignore").read_text().split())
    for page in (README, START_PAGE):
        for name in re.findall(r" -o (\S+)|\.save\(\"(\S+)\"\)|to=\"(\w+)\"", page.read_text()):
            (file,) = filter(None, name)
            assert {f"/{file}", f"/{file}/"} & ignored, f"{page.name} writes {file}, which .gitignore does not name"
