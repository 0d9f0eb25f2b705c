"""`onnxlrp demo` as users start it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

from onnxlrp import demo
from onnxlrp.cli import app
from onnxlrp.file_hashes import sha256_of
from onnxlrp.records import read_record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "onnxlrp", "demo", str(folder), "--json"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return folder, json.loads(process.stdout)


def test_it_writes_the_model_and_the_sheet_in_time(done):
    folder, content = done
    assert sorted(path.name for path in folder.iterdir()) == sorted(demo.FILES)
    assert "image_relevance" in [value.name for value in onnx.load(folder / demo.MODEL).graph.output]
    sheet = np.asarray(Image.open(folder / demo.SHEET).convert("RGB")).astype(int)
    assert sheet.shape[0] > 900 and sheet.shape[1] > 900
    assert content["seconds"] < 60


def test_the_sheet_has_a_record_of_every_composite(done):
    """The model that is beside it is the one that the record names, and the pictures are named by their hashes."""
    record = read_record(done[0] / demo.SHEET)
    assert [record.composite.partition("(")[0], *(one.composite.partition("(")[0] for one in record.further)] == [
        name.partition("(")[0] for name in demo.COMPOSITES
    ]
    assert record.explained.sha256 == sha256_of(done[0] / demo.MODEL)
    assert len(record.inputs["image"].files) == 4 and all(sha256 for _, sha256 in record.inputs["image"].files)


def test_it_recognises_the_pictures(done):
    labels = {one["name"]: one["label"] for one in done[1]["pictures"]}
    assert "espresso" in labels["coffee"] and "tripod" in labels["camera"]
    assert any(word in labels["cat"] for word in ("Egyptian", "tabby", "tiger"))
    assert len(labels) == 4


def test_it_refuses_to_overwrite(done):
    folder, _ = done
    result = CliRunner().invoke(app, ["demo", str(folder)])
    assert result.exit_code == 2 and "--force" in result.stderr


def test_it_prints_what_it_did(done, capsys):
    content = dict(done[1])
    content["pictures"] = [demo.Picture(**one) for one in content["pictures"]]
    demo.show(demo.Demo(**content))
    shown = capsys.readouterr().out
    assert "espresso" in shown and demo.SHEET in shown


def test_without_a_folder_a_new_one_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []

    def run(folder, step):
        folder.mkdir()
        seen.append(folder.name)

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(demo, "show", lambda done: None)
    for _ in range(3):
        assert CliRunner().invoke(app, ["demo"]).exit_code == 0
    assert seen == ["onnxlrp-demo", "onnxlrp-demo-2", "onnxlrp-demo-3"]
