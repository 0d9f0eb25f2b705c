"""Programs in every language: the Python ones are run here, those in JavaScript by `python -m tools.runtimes`."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import json
import shutil
import subprocess

import numpy as np
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime.fed_inputs import FedInput, Program, program_of
from onnxlrp.runtime.reading import open_model
from onnxlrp.view.snippets import code_words, javascript_snippet, python_snippet
from onnxlrp.view.snippets.languages import LANGUAGES, written_in

TEXT = """
<ir_version: 10, opset_import: ["": 21, "ai.onnx.ml": 3]> tiny (string[N, 1] word, float[N, 2] x) => (float[N, 2] y)
<float[3, 2] w = {1, 0.5, -1, 1, 2, 1}, int64[1] one = {1}>
{
  code = ai.onnx.ml.OneHotEncoder <cats_strings = ["month"], zeros = 1> (word)
  flat = Squeeze(code, one)
  both = Concat <axis = 1> (flat, x)
  y = MatMul(both, w)
}
"""
DIGITS = "models/digits_cnn/digits_cnn.torchscript.onnx"
ODD = "a\"b\\u000ac\n\t'é\U0001f600??/"
"""Name that ends a string, a comment or a line in some language."""


def made(kind: str):
    if kind == "words":
        return onnxlrp.convert(onnx.parser.parse_model(TEXT), "epsilon")
    return onnxlrp.convert(DIGITS, "epsilon", target_input=kind)


@pytest.fixture(params=["optional", "required", "none", "words"])
def file(request, tmp_path, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    explained = made(request.param)
    monkeypatch.chdir(tmp_path)
    explained.save("model.lrp.onnx")
    return program_of(open_model("model.lrp.onnx"), "model.lrp.onnx")


def test_the_python_program_prints_what_it_says(file):
    code = written_in(file, "python")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "snippet", "exec"), {})
    assert printed.getvalue().strip() == code.rpartition("  # ")[2]


def test_the_short_lines_in_python_run(file):
    room = {variable: _array(one) for variable, one in zip(python_snippet.variables(file).values(), file.inputs)}
    exec(f"import onnxruntime\n{python_snippet.short(file)}", room)
    assert room[code_words.identifier(file.relevance, set())].shape == file.relevance_sizes


def _array(one: FedInput) -> np.ndarray:
    return np.full(one.sizes, "" if one.type == "string" else one.fill, object if one.type == "string" else one.type)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_input_and_output_is_in_the_program(file, language):
    code = written_in(file, language)
    for one in file.inputs if language in ("python", "cpp", "csharp") else file.required:
        assert f'"{one.name}"' in code
    assert all(f'"{name}"' in code for name in file.outputs)
    assert code.startswith(("//", "#")) != LANGUAGES[language].is_run
    for one in file.hidden:
        assert one.name in code
        assert f'"{one.name}"' not in javascript_snippet.short(file)


def _odd(kind: str = "float32") -> Program:
    given = FedInput(ODD, kind, "[N, 2]", (1, 2), 0, ODD, False)
    return Program(ODD, (given, FedInput("target", "int64", "[N]", (1,), -1, "", True)), (ODD,), ODD, (1, 2), "float32")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_odd_name_ends_no_string_and_no_comment(language):
    """Names come from files of strangers: none may become code."""
    lines, plain = (written_in(program, language).splitlines() for program in (_odd(), _plain()))
    assert len(lines) == len(plain)
    for line in lines:
        mark = "  # " if language == "python" else " // "
        assert "\\" not in line.partition(mark)[2], line


def _plain() -> Program:
    given = FedInput("x", "float32", "[N, 2]", (1, 2), 0, "your data", False)
    return Program(
        "m.onnx", (given, FedInput("target", "int64", "[N]", (1,), -1, "", True)), ("y",), "y", (1, 2), "float64"
    )


def test_literals_are_read_back():
    assert ast.literal_eval(code_words.python_literal(ODD)) == ODD
    assert ast.literal_eval(code_words.python_literal("it's")) == "it's"
    assert code_words.python_literal("image") == '"image"'
    assert json.loads(code_words.literal(ODD)) == ODD
    assert ast.literal_eval("b" + code_words.c_literal(ODD)).decode() == ODD
    ast.parse(written_in(_odd(), "python"))


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
@pytest.mark.parametrize("language", ["node", "web"])
@pytest.mark.parametrize("program", [_odd(), _plain()], ids=["odd", "plain"])
def test_javascript_is_javascript(language, program, tmp_path):
    file = tmp_path / f"program.{'cjs' if language == 'node' else 'mjs'}"
    file.write_text(written_in(program, language), encoding="utf-8")
    subprocess.run(["node", "--check", file], check=True)
    assert javascript_snippet.short(program).count("\n") == 1


def test_variables_are_words_and_differ():
    taken: set[str] = set()
    words = [code_words.identifier(name, taken) for name in ("a.b", "a/b", "1", "class", "ü", "", "a_b", "target")]
    assert words == ["a_b", "a_b_2", "x_1", "x_class", "value", "value_2", "a_b_3", "target"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "kind", ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "uint16", "bool", "string"]
)
def test_every_type_has_its_word_or_a_message(language, kind):
    if language == "java" and kind == "uint16":
        with pytest.raises(InputError, match="Java"):
            written_in(_odd(kind), language)
    else:
        assert written_in(_odd(kind), language)


def test_a_float64_relevance_is_read_as_such():
    assert "GetTensorData<double>" in written_in(_plain(), "cpp") and "AsTensor<double>" in written_in(
        _plain(), "csharp"
    )


def test_a_flag_that_is_true_by_default_is_fed_as_true():
    flag = FedInput("explain", "bool", "[1]", (1,), 1, "may be left out", False)
    program = dataclasses.replace(_plain(), inputs=(*_plain().inputs, flag))
    words = {"python": "np.full((1,), 1, bool)", "node": "new Uint8Array(1).fill(1)", "cpp": "explain(1, 1)"}
    words |= {"csharp": "Repeat<bool>(true, 1)", "java": "new boolean[] {true}"}
    for language, word in words.items():
        assert word in written_in(program, language)


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="needs pkg-config, which finds ONNX Runtime's header")
def test_cpp_compiles_and_runs_where_the_library_is(file, tmp_path):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libonnxruntime"], capture_output=True, text=True)
    if flags.returncode or not shutil.which("g++"):
        pytest.skip("needs g++ and the header and library of ONNX Runtime, such as Debian 13's libonnxruntime-dev")
    (tmp_path / "snippet.cpp").write_text(written_in(file, "cpp"), encoding="utf-8")
    subprocess.run(["g++", "-std=c++17", "snippet.cpp", "-o", "snippet", *flags.stdout.split()], check=True)
    done = subprocess.run(["./snippet"], check=True, capture_output=True, text=True)
    assert done.stdout.split(" :")[0].split() == [str(size) for size in file.relevance_sizes]
