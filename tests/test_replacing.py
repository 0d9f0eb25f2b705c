"""Files that are never replaced, from Python and from the command line, also with --force."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import app
from onnxlrp.errors import InputError
from tests.weight_files import (
    SIZE,
    W,
    X,
    branch_initializer,
    cache,
    check,
    external,
    folder,
    initializer,
    written,
)

__all__ = ["cache", "folder"]

LEADS: dict[str, Callable[[Path, Path], object]] = {
    "itself": lambda name, file: None,
    "link": lambda name, file: name.symlink_to(file),
    "hard link": lambda name, file: os.link(file, name),
}
"""Ways in which a name can lead to a file."""


@pytest.fixture
def source(folder: Path) -> Path:
    return written(folder, branch_initializer(external()))


def refused(*words: object, status: int = 2) -> str:
    """What a command says that writes nothing."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == status, result.output
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("which", ["m.onnx", "w.bin"])
@pytest.mark.parametrize("lead", LEADS)
def test_the_source_and_its_weights_stay(lead, which, source, tmp_path):
    """By whatever name; a hard link is another name of the very file."""
    explained = onnxlrp.convert(source, "epsilon")
    file = source.with_name(which)
    before = file.read_bytes()
    name = file if lead == "itself" else tmp_path / "other.onnx"
    LEADS[lead](name, file)
    with pytest.raises(InputError, match="is the source itself, or holds its weights"):
        explained.save(name)
    if lead != "hard link" or which == "m.onnx":  # a source with hard links is refused before
        assert "source itself" in refused("convert", source, "-o", name, "--force")
    assert "source itself" in refused("explain", source, "--input", "x=x.npy", "-o", name, "--force")
    assert file.read_bytes() == before


def test_a_relative_name_and_another_folder(source, monkeypatch, tmp_path):
    monkeypatch.chdir(source.parent)
    explained = onnxlrp.convert("m.onnx", "epsilon")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="source itself"):
        explained.save("inside/m.onnx")


def test_what_a_cache_links_to_stays(cache):
    explained = onnxlrp.convert(cache, "epsilon")
    for name in (cache, cache.with_name("model.onnx_data"), cache.parents[2] / "blobs" / "bbbb"):
        with pytest.raises(InputError, match="source itself"):
            explained.save(name)


def test_inputs_of_the_command_line_stay(source, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "x.npy", X)
    (data / "labels.txt").write_text("a\nb\nc\n")
    for given in ("x.npy", "*.npy", "."):
        words = ["explain", source, "--input", f"x={data / given}", "--labels", data / "labels.txt", "--force", "-o"]
        assert "source itself" in refused(*words, data / "x.npy")
    assert "source itself" in refused(*words, data / "labels.txt")
    np.testing.assert_array_equal(np.load(data / "x.npy"), X)


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "link to nothing"])
def test_only_regular_files_are_replaced(kind, source, tmp_path):
    name, kept = tmp_path / "out.onnx", tmp_path / "kept.onnx"
    kept.write_text("precious")
    {
        "folder": name.mkdir,
        "pipe": lambda: os.mkfifo(name),
        "link": lambda: name.symlink_to(kept),
        "link to nothing": lambda: name.symlink_to("nothing"),
    }[kind]()
    state = name.lstat().st_ino
    words = {"folder": "a folder", "pipe": "no regular file"}.get(kind, "a link to")
    with pytest.raises(InputError, match=words):
        onnxlrp.convert(source, "epsilon").save(name)
    assert words in refused("convert", source, "-o", name, "--force")
    assert name.lstat().st_ino == state and kept.read_text() == "precious"


def test_results_go_to_regular_files_only(source, tmp_path):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out.npz").symlink_to("precious")
    assert "a link to" in refused(
        "explain", source, "--input", f"x={tmp_path / 'x.npy'}", "-o", tmp_path / "out.npz", "--force"
    )
    assert (tmp_path / "precious").read_text() == "precious"


# ------------------------------------------------------------------------------------------------------- data files


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights go to a file of their own, as past two gigabytes."""
    monkeypatch.setattr("onnxlrp.finish.save._LIMIT", SIZE - 1)


def test_a_data_file_of_somebody_else_stays(large, source, tmp_path):
    """Unless the explained model that is replaced wrote it."""
    out, data = tmp_path / "out.onnx", tmp_path / "out.onnx.data"
    explained = onnxlrp.convert(source, "epsilon")
    data.write_text("precious")
    with pytest.raises(InputError, match=r"out\.onnx\.data' exists already, and was not written with"):
        explained.save(out)
    assert "exists already" in refused("convert", source, "-o", out, "--force")
    assert data.read_text() == "precious" and not out.exists()
    data.unlink()
    explained.save(out)
    onnxlrp.convert(source, "gradient").save(out)
    assert "gradient" in {entry.value for entry in onnx.load(out, load_external_data=False).metadata_props}
    explained.save(out)
    check(out)


def test_the_data_file_of_a_plain_model_stays(large, source, tmp_path):
    """It refers to the data file, but is no explained model."""
    out, data = tmp_path / "out.onnx", tmp_path / "out.onnx.data"
    out.write_bytes(initializer(external(data.name)).SerializeToString())
    data.write_bytes(W.tobytes())
    with pytest.raises(InputError, match="exists already"):
        onnxlrp.convert(source, "epsilon").save(out)
    assert data.read_bytes() == W.tobytes()


def test_a_source_whose_weights_have_that_name(large, folder):
    (folder / "w.bin").rename(folder / "out.onnx.data")
    source = written(folder, initializer(external("out.onnx.data")))
    with pytest.raises(InputError, match="holds its weights"):
        onnxlrp.convert(source, "epsilon").save(folder / "out.onnx")


def test_a_data_file_that_is_no_file(large, source, tmp_path):
    (tmp_path / "out.onnx.data").symlink_to("nothing")
    with pytest.raises(InputError, match="a link"):
        onnxlrp.convert(source, "epsilon").save(tmp_path / "out.onnx")


def test_both_files_or_none(large, source, tmp_path, monkeypatch):
    explained = onnxlrp.convert(source, "epsilon")
    explained.save(tmp_path / "out.onnx")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    monkeypatch.setattr("onnxlrp.finish.save._SMALL", 1)
    monkeypatch.setattr("onnxlrp.external_data.point", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explained.save(tmp_path / "out.onnx")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
