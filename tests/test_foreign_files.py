"""Files of other formats in place of a model: each is named, with the line that converts it."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import pytest

import onnxlrp
from onnxlrp.errors import InvalidModelError


def archive(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, "")
    return content.getvalue()


SAFETENSORS = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
FILES = {
    "model.pkl": (pickle.dumps({"a": 1}), "skl2onnx.to_onnx"),
    "model.joblib": (b"x\x9c\x01\x02", "skl2onnx.to_onnx"),
    "state.pt": (archive("state/data.pkl", "state/data/0"), "torch.save, which is a pickle"),
    "scripted.pt": (archive("s/data.pkl", "s/code/__torch__.py"), "torch.jit.load('scripted.pt')"),
    "program.pt2": (archive("p/archive_format", "p/models/model.json"), "torch.export.load('program.pt2')"),
    "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "--keras model.h5"),
    "model.keras": (archive("config.json", "model.weights.h5"), "format='onnx'"),
    "model.tflite": (b"\x1c\0\0\0TFL3" + bytes(20), "--tflite model.tflite"),
    "model.ort": (b"\x1c\0\0\0ORTM" + bytes(20), "made from"),
    "model.xml": (b'<?xml version="1.0"?>\n<net name="m" version="11">', "OpenVINO"),
    "model.pmml": (b'<?xml version="1.0"?>\n<PMML version="4.4">', "PMML"),
    "model.safetensors": (len(SAFETENSORS).to_bytes(8, "little") + SAFETENSORS + bytes(4), "optimum-cli"),
    "model.gguf": (b"GGUF\x03\0\0\0" + bytes(20), "llama.cpp"),
    "pointer.onnx": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "model.json": (b'{"learner":{"attributes":{}}}', "convert_xgboost(xgboost.Booster(model_file='model.json')"),
    "model.ubj": (b"{L\0\0\0\0\0\0\0\x07learner{", "convert_xgboost"),
    "model.txt": (b"tree\nversion=v4\nnum_class=1\n", "convert_lightgbm"),
    "model.cbm": (b"CBM1" + bytes(20), "format='onnx'"),
    "model.pb": (b"\x0a\x05node1", "--graphdef model.pb"),
    "page.onnx": (b"<!DOCTYPE html><html>", "web page"),
    "model.onnx.gz": (b"\x1f\x8b\x08" + bytes(20), "gunzip"),
    "model.zip": (archive("a/model.onnx"), "give a/model.onnx"),
    "model.onnx.data": (b"\0\0\0\0\0\0\x80?", "the .onnx beside"),
}


@pytest.mark.parametrize("name", FILES)
def test_each_is_recognised(tmp_path, name):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidModelError) as error:
        onnxlrp.convert(tmp_path / name)
    assert words in str(error.value) and "no ONNX model" in str(error.value)


@pytest.mark.parametrize("name", ["model.pkl", "state.pt", "model.h5", "model.cbm"])
def test_as_bytes_and_under_another_name(tmp_path, name):
    content, words = FILES[name]
    (tmp_path / "renamed.onnx").write_bytes(content)
    for given in (content, tmp_path / "renamed.onnx"):
        with pytest.raises(InvalidModelError, match=f"this is no ONNX model, this is .*{words.split()[0]}"):
            onnxlrp.Explainer(given)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["saved_model.pb", "variables"], "--saved-model"),
        (["config.json", "model.safetensors"], "optimum-cli export onnx"),
        (["model.onnx", "labels.txt"], "give model.onnx in it"),
        ([], "is a folder, not a model$"),
    ],
)
def test_folders(tmp_path, names, words):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InvalidModelError, match=words):
        onnxlrp.convert(tmp_path)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    opened = []
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: opened.append(1))
    (tmp_path / "model.pkl").write_bytes(FILES["model.pkl"][0])
    with pytest.raises(InvalidModelError, match="never opened"):
        onnxlrp.convert(tmp_path / "model.pkl")
    assert not opened


def test_a_damaged_onnx_file_is_still_one(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a\xff\xff\xff")
    with pytest.raises(InvalidModelError, match="or it was cut off"):
        onnxlrp.convert(tmp_path / "model.onnx")
