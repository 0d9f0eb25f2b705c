from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from onnxlrp.runtime.checking import Conservation, OutputCheck
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.view import tables, terminal
from onnxlrp.view.summary import Feature, Sample
from onnxlrp.view.tokens import Piece


def text(table) -> str:
    stream = io.StringIO()
    terminal.console(stream).print(table)
    return stream.getvalue()


@dataclasses.dataclass
class Row:
    node: str
    operator: str
    rule: str
    why: str


def test_plan_table_shows_names_as_they_are():
    name = "/layer1/[0]/:smile:/Conv_with_a_name_that_is_long" + "x" * 100
    shown = text(tables.plan_table([Row(name, "Conv", "ZPlus()", "[bold]why[/bold]")]))
    assert name in shown and "[bold]why[/bold]" in shown and "ZPlus()" in shown


def test_a_narrow_terminal_folds_and_loses_nothing():
    stream = io.StringIO()
    Console(file=stream, width=60).print(tables.plan_table([Row("n" * 90, "Conv", "ZPlus", "w" * 70)]))
    assert stream.getvalue().count("n") >= 90 and stream.getvalue().count("w") >= 70


LEDGER = Ledger(
    ("seed", "/conv", "softmax"),
    np.array([[9, 9, 0, 0, 0], [9, 2, 7, 0, 0], [2, 1, 0.5, 0.25, 0.25]], np.float32),
    (False, False, True),
)


def test_ledger_table_and_its_top():
    assert "softmax *" in text(tables.ledger_table(LEDGER))
    top = text(tables.ledger_table(LEDGER, top=1))
    assert "/conv" in top and "seed" not in top


def test_samples_and_features():
    features = (Feature("x", "age", 31.0, 2.0), Feature("x", "town", "Berlin", -1.0))
    sample = Sample(0, 285, "Egyptian cat", 9.5, {"x": 9.25}, features)
    shown = text(tables.samples_table([sample]))
    assert "285" in shown and "Egyptian cat" in shown and "9.25" in shown and "class" in shown
    element = text(tables.samples_table([dataclasses.replace(sample, target=(3, 17), label="")]))
    assert "element" in element and "3, 17" in element and "class" not in element
    shown = text(tables.features_table(sample))
    assert "age" in shown and "Berlin" in shown and "-1" in shown
    assert "label" not in text(tables.samples_table([Sample(0, None, "", None, {"x": 1.0})]))


def test_base_values_and_what_they_add_up_to():
    """A margin is listed beside the probability; a score that is the sum itself is not listed twice."""
    margin = Sample(0, 1, "", 0.6, {"x": 1.5}, (Feature("x", "age", 31.0, 1.25),), base_value=-1.0, raw_score=0.5)
    shown = text(tables.samples_table([margin]))
    assert "raw score" in shown and "base value" in shown and "0.6" in shown
    assert "margin (log-odds)" in tables.sums_note([margin])
    shown = text(tables.features_table(margin))
    assert [word in shown for word in ("all others", "0.25", "base value", "raw score")] == [True] * 4
    itself = dataclasses.replace(margin, score=0.5)
    assert "raw score" not in text(tables.samples_table([itself])) and "base value" in text(
        tables.samples_table([itself])
    )
    assert tables.sums_note([itself]) == "base value + Σ relevance = score"
    assert "weighted sum" in tables.sums_note([dataclasses.replace(margin, score=None)])
    without = dataclasses.replace(margin, base_value=None, raw_score=None)
    assert "base value" not in text(tables.samples_table([without])) and not tables.sums_note([without])
    assert "base value" not in text(tables.features_table(without))


def test_check_tables():
    shown = text(tables.outputs_table([OutputCheck("y", 1e-7, 1e-5), OutputCheck("z", 1e-2, 1e-5)]))
    assert "equal" in shown and "DIFFERENT" in shown
    kept = Conservation(10.0, {"x": 6.0}, 3.0, 0.5, 0.5, "/conv", 1e-8)
    assert "60.0%" in text(tables.conservation_table(kept))
    rounded = Conservation(10.0, {"x": 10.0}, -1e-6, -0.0, 0.0, "/conv", 1e-8)
    shown = text(tables.conservation_table(rounded))
    assert "-0.0%" not in shown and "-0 " not in shown
    nothing = Conservation(0.0, {"x": 0.0}, 0.0, 0.0, 0.0, "/conv", 0.0)
    assert "at input x" in text(tables.conservation_table(nothing))


def test_tokens_on_the_colour_of_their_relevance():
    line = tables.heat_text([Piece("a", 0, ""), Piece("great", 2), Piece("film", -1, marked=True)], 2)
    assert line.plain == "a great film"
    backgrounds = {str(span.style.bgcolor.triplet.hex) for span in line.spans if span.style}
    assert len(backgrounds) == 3
    assert [bool(span.style.underline) for span in line.spans] == [False, False, True]


@pytest.mark.parametrize("lines", [1, 20, 21, 500])
def test_messages_fill_a_screen_at_most(capsys, lines):
    terminal.tell("error", "\n".join(f"node {index} " + "x" * 1000 for index in range(lines)))
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == min(lines, 20) and max(map(len, shown)) < 320
    assert shown[0].startswith("error: node 0")


def test_progress_is_silent_where_there_is_no_terminal(capfd):
    with terminal.progress("working", 2) as step:
        step("more")
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""
