"""`onnxlrp snippet`, and what `onnxlrp convert` says about running the file that it wrote."""

from __future__ import annotations

import ast

import pytest

from tests.cli.test_commands import DIGITS, call, refused


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("snippets")
    return {how: _converted(folder / f"{how}.onnx", how) for how in ("optional", "required")}


def _converted(out, how):
    return out, call("convert", DIGITS, "-o", out, "--target-input", how, "--no-check")


@pytest.mark.parametrize("language", ["python", "node", "web", "cpp", "csharp", "java"])
def test_it_prints_a_program(files, language):
    out, _ = files["required"]
    printed = call("snippet", out, "--language", language).stdout
    assert all(word in printed for word in ("image", "target", "logits", "image_relevance", out.name))


def test_python_is_the_default_and_can_be_saved(files):
    ast.parse(call("snippet", files["optional"][0]).stdout)


def test_a_source_is_refused_with_the_way_out():
    assert "onnxlrp convert" in refused("snippet", DIGITS)


def test_an_unknown_language_is_wrong_usage(files):
    assert "python" in call("snippet", files["optional"][0], "--language", "cobol", status=2).stderr


def test_convert_says_how_to_run_the_file(files):
    out, result = files["optional"]
    for words in ("target  int64", "Python:", "JavaScript:", f"onnxlrp snippet {out}"):
        assert words in result.stdout
    assert len(result.stdout.splitlines()) <= 14
    assert "--target-input required" in result.stderr and "'target'" not in result.stdout
    assert "--target-input" not in files["required"][1].stderr
    assert "the optional input target:" in result.stderr


def test_convert_names_several_optional_inputs(tmp_path):
    result = call("convert", DIGITS, "-o", tmp_path / "d.onnx", "--on-demand", "--no-check")
    assert "the optional inputs target, explain:" in result.stderr
