"""Names from files on a terminal: no control character of theirs comes through, and no line break forges a line."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import app
from onnxlrp.errors import ExplanationWarning, InputError, InvalidModelError, OnnxLrpError
from onnxlrp.printable import escaped, escaped_json, escaped_lines, listed
from onnxlrp.view import tables, terminal
from onnxlrp.view.page import page
from onnxlrp.view.summary import Sample
from onnxlrp.view.tokens import Piece

ODD = "\x00\x07\x08\x0b\r\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ud800"
RAW = re.compile("(?![\n\t])[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
EVIL = "\x1b[31m\u202e\x9b2K\r\nFORGED: "
"""Red, backwards, a line deleted, its beginning again, and a line of its own."""


def test_each_kind_is_escaped():
    assert not RAW.search(escaped(ODD)) and "\n" not in escaped("\n")
    assert escaped("a\x1b[2J\u202eb\n\t") == r"a\x1b[2J\u202eb\n\t"
    assert escaped("Größe 层 🙂 a\u200db") == "Größe 层 🙂 a\u200db"
    assert escaped(escaped(ODD)) == escaped(ODD)
    assert listed(["a\n", 1]) == r"a\n, 1"


def test_names_that_are_no_text_are_refused():
    """Protocol buffers read them all the same; here each letter of a model's names in turn is broken."""
    raw = evil_model("Dense", "my.own").SerializeToString()
    for index in range(len(raw)):
        if raw[index : index + 1].isalpha():
            with pytest.raises(OnnxLrpError):
                onnxlrp.convert(raw[:index] + b"\x91" + raw[index + 1 :])


def test_lines_keep_their_layout():
    assert escaped_lines("a\n\tb\r\x1b") == "a\n\tb\\r\\x1b"


def test_json_stays_what_it_says():
    content = {ODD.replace("\ud800", ""): ["\n\x7f\x9b\u202e"]}
    text = escaped_json(json.dumps(content, ensure_ascii=False, indent=2))
    assert json.loads(text) == content and not RAW.search(text)


@pytest.mark.parametrize("kind", [OnnxLrpError, InputError, InvalidModelError, ExplanationWarning])
def test_errors_escape_what_they_quote(kind):
    assert str(kind("from a library: \x1b[2J\nand on")) == "from a library: \\x1b[2J\nand on"


# --------------------------------------------------------------------------------------------- a model that forges


def evil_model(operator: str = "Relu", domain: str = "", evil: str = EVIL) -> onnx.ModelProto:
    """Two layers, every name of which forges a line, or begins with other characters."""
    x, w, h, a, y, batch = (f"{evil}{name}" for name in ("x", "w", "h", "a", "y", "N"))
    nodes = [
        helper.make_node("MatMul", [x, w], [h], f"{evil}layer"),
        helper.make_node(operator, [h], [a], f"{evil}middle", domain=domain),
        helper.make_node("Softmax", [a], [y], f"{evil}last"),
    ]
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        f"{evil}graph",
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, 4])],
        [
            helper.make_tensor_value_info(y, TensorProto.FLOAT, [batch, 3]),
            helper.make_tensor_value_info(h, TensorProto.FLOAT, [batch, 3]),
        ],
        [numpy_helper.from_array(weight, w)],
        doc_string=evil,
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name=evil)
    model.metadata_props.add(key=evil, value=evil)
    return model


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    path = tmp_path / "evil.onnx"
    path.write_bytes(evil_model().SerializeToString())
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32))
    (tmp_path / "x.csv").write_text('"\x1b[31mq\nFORGED: r",b,c,d\n1,2,3,4\n')
    (tmp_path / "labels.txt").write_text("\x1b[31mone\nt\u202ewo\nth\x9bree\n")
    return path


def shown(*words: object) -> str:
    """All that a command writes, after a check that nothing of it comes from a name as it is."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    for stream in (result.stdout, result.stderr):
        assert not RAW.search(stream), (words, stream)
        assert not any(line.lstrip(" │").startswith("FORGED") for line in stream.splitlines()), (words, stream)
    return result.stdout + result.stderr


X = f"{EVIL}x"


@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)], ids=["plain", "json", "debug"])
def test_nothing_comes_through(evil, more, tmp_path):
    """Whatever command, whether it does its work or refuses."""
    given = ("--input", f"{X}={tmp_path / 'x.npy'}", "--labels", tmp_path / "labels.txt")
    out = tmp_path / "out.onnx"
    assert "1b[31m" in shown("convert", evil, "-o", out, "--ledger", *more)
    assert "1b[31m" in shown("inspect", evil, *more)
    for model in (evil, out):
        assert "1b[31m" in shown("explain", model, *given, *more)
        shown("explain", model, "--input", f"{X}={tmp_path / 'x.csv'}", *more)
        shown("explain", model, *given, "-o", tmp_path / "out.html", *more)
        shown("explain", model, *given, "-o", tmp_path / "folder", *more)
        shown("explain", model, *given, "--target", 7, *more)
        shown("explain", model, "--input", f"y={tmp_path / 'x.npy'}", *more)
        shown("explain", model, "--input", f"{X}y={tmp_path / 'x.npy'}", *more)
        shown("explain", model, "--input", f"{X}={tmp_path / 'labels.txt'}", *more)
        shown("explain", model, "--text", f"{X}=text", *more)
        shown("check", model, *more)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "1\nFORGED: \x1b.csv").write_text("1,2\n")
    shown("explain", out, "--input", f"{X}={tmp_path / 'rows'}", *more)
    shown("convert", evil, "-o", tmp_path / "o.onnx", "--output", "nonsense", *more)
    shown("convert", evil, "-o", tmp_path / "o.onnx", "--input", "nonsense", *more)
    shown("convert", evil, "-o", tmp_path / "o.onnx", "--relevance-at", EVIL, *more)
    shown("convert", evil, "-o", tmp_path / "o.onnx", "--rule", f"{EVIL}=Gamma(0.1)", *more)
    shown("convert", evil, "-o", tmp_path / "no\x1bfolder" / "o.onnx", *more)


@pytest.mark.parametrize("command", ["convert", "inspect", "explain", "check"])
def test_nothing_comes_through_where_a_model_is_refused(command, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    rest = {"convert": ["-o", tmp_path / "o.onnx"], "explain": ["--input", f"{X}={tmp_path / 'x.npy'}"]}.get(
        command, []
    )
    broken = evil_model()
    broken.graph.node[1].input[0] = f"{EVIL}nothing"
    circle = evil_model()
    circle.graph.node[0].input[0] = circle.graph.node[1].output[0]
    far = evil_model()
    far.graph.initializer[0].data_location = TensorProto.EXTERNAL
    far.graph.initializer[0].external_data.add(key="location", value=EVIL)
    whole = evil_model("Cast")
    whole.graph.node[1].attribute.append(helper.make_attribute("to", TensorProto.INT64))
    for model in (evil_model(f"Odd{EVIL}", f"domain{EVIL}"), evil_model(f"Odd{EVIL}"), broken, circle, far, whole):
        path = tmp_path / "m\x1bodel.onnx"
        path.write_bytes(model.SerializeToString())
        for debug in ((), ("--debug",)):
            assert "1b" in shown(command, path, *rest, *debug)


def test_a_plan_and_a_ledger_in_python(capsys):
    explained = onnxlrp.convert(evil_model(), "epsilon", ledger=True)
    inputs = {X: np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)}
    explanation = onnxlrp.Explainer(explained, providers=["CPUExecutionProvider"])(inputs)
    print(explained.plan, explanation.ledger)
    text = capsys.readouterr().out
    assert r"\x1b[31m" in text and not RAW.search(text) and "\nFORGED" not in text


def test_texts_in_a_table_and_on_a_page():
    piece = Piece("<b>\x1b[31m\n", 1.0)
    sample = Sample(0, None, "<i>\x1b", 1.0, {"<u>": 1.0}, (), texts={"<u>": (piece,)})
    console = Console(width=200)
    with console.capture() as capture:
        console.print(tables.texts_table(sample))
    assert r"<b>\x1b[31m\n" in capture.get() and not RAW.search(capture.get())
    html = page([sample], "<title>\x1b")
    assert not re.search("<(b|i|u|title>\x1b)>", html) and "&lt;b&gt;" in html and "&lt;u&gt;" in html


def test_the_title_of_a_progress_bar(monkeypatch):
    """On a terminal, where rich writes colours of its own."""
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "console", lambda stream: Console(file=screen, force_terminal=True, width=200))
    with terminal.progress("reading \x1b]0;title\x07", total=1) as step:
        step("then \x9b2K")
    assert r"\x1b]0;title\x07" in screen.getvalue()
    assert not re.search("\x1b\\]|\x07|\x9b", screen.getvalue())
