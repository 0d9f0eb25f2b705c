"""Files are written whole or not at all, and what killed processes left of them is removed by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import app
from onnxlrp.drafts import atomic_write, draft, remove_abandoned
from tests.weight_files import X, folder, initializer, inside, written

__all__ = ["folder"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no locks of this kind, drafts stay there")

HOLD = """
import pathlib, sys, time
from onnxlrp.drafts import draft
with draft(pathlib.Path(sys.argv[1])) as name:
    name.write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def writing(path: Path) -> subprocess.Popen:
    """Start a process that is amid writing to `path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_draft_takes_the_place_at_the_end(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as name:
        name.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before" and names(tmp_path) == ["out.txt"]
    with atomic_write(path) as name:
        assert name.suffix == ".txt"
        name.write_text("after")
    assert path.read_text() == "after" and names(tmp_path) == ["out.txt"]


def test_the_umask_says_who_may_read_it(tmp_path):
    with draft(tmp_path / "out.txt"):
        pass
    (tmp_path / "plain.txt").touch()
    assert (tmp_path / "out.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_drafts_of_the_living_stay_and_those_of_the_dead_go(tmp_path):
    """Those of this process too, in whichever thread."""
    path = tmp_path / "out.png"
    with writing(path) as process, draft(path) as own:
        try:
            with atomic_write(path) as name:
                name.write_text("one")
            assert len(names(tmp_path)) == 3 and own.exists()
        finally:
            process.kill()
            process.wait()
        with atomic_write(path) as name:
            name.write_text("two")
        assert names(tmp_path) == sorted(["out.png", own.name])
    assert names(tmp_path) == ["out.png"]


def test_files_of_others_stay(tmp_path):
    """Names that are only like a draft's, drafts of other files, and what is no regular file."""
    kept = [".out.png", ".out.1-0011223.png", ".out.1-00112233.pngx", ".out.x-00112233.png", ".other.1-00112233.png"]
    for name in kept:
        (tmp_path / name).write_text("precious")
    (tmp_path / ".out.1-aaaaaaaa.png").symlink_to("nothing")
    os.mkfifo(tmp_path / ".out.1-bbbbbbbb.png")
    (tmp_path / ".out.1-cccccccc.png").mkdir()
    before = names(tmp_path)
    (tmp_path / ".out.1-00112233.png").write_text("half")
    remove_abandoned(tmp_path / "out.png")
    assert names(tmp_path) == before


def test_commands_remove_what_they_left_when_they_were_killed(folder):
    model, given = written(folder, initializer(inside())), folder / "x.npy"
    np.save(given, X)
    before = names(folder)
    commands = {
        folder / "out.onnx": ["convert", model, "--no-check"],
        folder / "out.csv": ["explain", folder / "out.onnx", "--input", f"x={given}"],
    }
    for out, words in commands.items():
        (folder / f".out.7-00112233{out.suffix}").write_text("half")
        result = CliRunner().invoke(app, [str(word) for word in (*words, "-o", out)])
        assert result.exit_code == 0, result.output
    assert names(folder) == sorted([*before, "out.csv", "out.csv.record.json", "out.onnx"])


def test_weights_in_a_file_of_their_own(folder, monkeypatch):
    """Both drafts of a killed run go."""
    monkeypatch.setattr("onnxlrp.finish.save._LIMIT", 1000)
    for name in (".out.onnx.7-00112233.data", ".out.7-00112233.onnx"):
        (folder / name).write_text("half")
    onnxlrp.convert(written(folder, initializer(inside())), "epsilon").save(folder / "out.onnx")
    assert names(folder) == ["m.onnx", "out.onnx", "out.onnx.data", "w.bin"]
