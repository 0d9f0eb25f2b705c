"""Files of other formats that are given in place of an ONNX model: told by their first bytes, each with the line that
converts it.

Nothing is unpickled or unpacked: of an archive only the names in it are read.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

_HEAD = 4096
_SKLEARN = "skl2onnx.to_onnx(estimator, X[:1]) converts a fitted scikit-learn model, where it was trained"
_TORCH = "torch.onnx.export(model, args, 'model.onnx') converts it, where the model's class is"
_TF = "python -m tf2onnx.convert"
_TYPES = "initial_types=[('x', onnxmltools.convert.common.data_types.FloatTensorType([None, columns]))]"
_XGBOOST = f"an XGBoost model: onnxmltools.convert_xgboost(xgboost.Booster(model_file='{{name}}'), {_TYPES})"
_LIGHTGBM = f"a LightGBM model: onnxmltools.convert_lightgbm(lightgbm.Booster(model_file='{{name}}'), {_TYPES})"
_OPTIMUM = "optimum-cli export onnx --model"


def in_words(path: Path) -> str:
    """Say what a file or folder that is no ONNX file holds, and how to convert it; empty if it is not known."""
    if path.is_dir():
        return _of_folder(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return ""
    return _of_bytes(head, path.name, lambda: _members(path)) or _of_suffix(path.name)


def bytes_in_words(content: bytes, name: str = "") -> str:
    """Say what bytes that are no ONNX model hold, and how to convert them; empty if they are not known."""
    return _of_bytes(content[:_HEAD], name, lambda: _members(io.BytesIO(content))) or _of_suffix(name)


def is_certain(path: Path) -> bool:
    """Decide whether a file cannot be meant as ONNX, so that it need not be read as a whole: another suffix, and first
    bytes that are known."""
    return path.suffix.lower() != ".onnx" and path.is_file() and in_words(path) != ""


def _of_bytes(head: bytes, name: str, members: Callable[[], list[str]]) -> str:
    """Look the first bytes up; `members` lists the names in an archive."""
    given = name or "model"
    if head[4:8] == b"TFL3":
        return f"this is a TensorFlow Lite model: {_TF} --tflite {given} --output model.onnx"
    if head[4:8] == b"ORTM":
        return "this is onnxruntime's own .ort format: give the .onnx that it was made from"
    if head.startswith(b"PK\x03\x04"):
        return _of_archive(members(), given)
    for start, words in _STARTS.items():
        if head.startswith(start):
            return words.format(name=given)
    if re.match(rb"\x80[\x02-\x05]", head):
        return f"this is a Python pickle, which is never opened: {_SKLEARN}; for PyTorch {_TORCH}"
    if len(head) > 10 and int.from_bytes(head[:8], "little") < 1 << 32 and head[8:9] == b"{" and b'"' in head[9:12]:
        return f"these are weights without a model (safetensors): {_OPTIMUM} FOLDER OUT, for a folder of transformers"
    return _of_text(head.lstrip(b"\xef\xbb\xbf \t\r\n"), given)


_STARTS = {
    b"version https://git-lfs": "this is a Git LFS pointer, not the file itself: git lfs pull fetches {name}",
    b"\x89HDF\r\n\x1a\n": f"this is an HDF5 file, such as Keras writes: {_TF} --keras {{name}} --output model.onnx",
    b"GGUF": f"this is a model of llama.cpp: {_OPTIMUM} FOLDER OUT, for the folder that it was made from",
    b"CBM1": "this is a CatBoost model: model.save_model('model.onnx', format='onnx'), after CatBoost has loaded it",
    b"tree\nversion=": f"this is {_LIGHTGBM}",
    b"{L\0\0\0\0\0\0\0\x07learner": f"this is {_XGBOOST}",
    b"binf": "this is a model of an old XGBoost: load it there, and save it as .json",
    b"\x1f\x8b": "this file is compressed (gzip): gunzip {name}",
    b"\x28\xb5\x2f\xfd": "this file is compressed (zstd): unzstd {name}",
    b"BZh": "this file is compressed (bzip2): bunzip2 {name}",
    b"7z\xbc\xaf\x27\x1c": "this is a 7z archive: unpack it",
    b"\x93NUMPY": "this is an array of numpy, not a model",
    b"ftrt": "this is an engine of TensorRT: give the .onnx that it was built from",
    b"ptrt": "this is an engine of TensorRT: give the .onnx that it was built from",
}
"""First bytes of formats, and what to say of each."""


def _of_archive(members: list[str], name: str) -> str:
    """Tell the kinds of zip archives by the names in them."""
    ends = {member.rsplit("/", 1)[-1] for member in members}
    if "data.pkl" in ends:
        if any("/code/" in member for member in members):
            exported = f"torch.onnx.export(torch.jit.load('{name}'), args, 'model.onnx', dynamo=False)"
            return f"this is a TorchScript model: {exported}"
        return f"this is a file of torch.save, which is a pickle and never opened: {_TORCH}"
    if any(end.startswith(("serialized_exported_program", "archive_format")) for end in ends):
        return f"this is a program of torch.export: torch.onnx.export(torch.export.load('{name}'), f='model.onnx')"
    if "model.weights.h5" in ends:
        return f"this is a Keras model: keras.models.load_model('{name}').export('model.onnx', format='onnx')"
    if members and all(member.endswith(".npy") for member in members):
        return "this is an archive of numpy arrays, not a model"
    models = [member for member in members if member.endswith(".onnx")]
    return "this is a zip archive: unpack it" + (f" and give {models[0]:.80}" if models else "")


def _of_text(head: bytes, name: str) -> str:
    """Tell formats that are text."""
    start = head[:400].lower()
    if b"<pmml" in start:
        return f"this is a PMML model, which nothing converts to ONNX: {_SKLEARN}"
    if start.startswith((b"<?xml", b"<net")) and b"<net" in head[:_HEAD].lower():
        return "this is OpenVINO's IR, which nothing converts back: give the .onnx that it was made from"
    if start.startswith((b"<!doctype html", b"<html")):
        return "this is a web page: the download went wrong, or needs a login"
    if re.match(rb'\{\s*"(learner|version)"\s*:', head) and b'"learner"' in head[:_HEAD]:
        return "this is " + _XGBOOST.format(name=name)
    return ""


def _of_suffix(name: str) -> str:
    """Tell formats whose first bytes say nothing by the name of the file."""
    suffix = Path(name).suffix.lower()
    if suffix in (".joblib", ".pkl", ".pickle"):
        return f"this is a Python pickle, which is never opened: {_SKLEARN}"
    if suffix == ".pb":
        return f"this is a graph of TensorFlow: {_TF} --saved-model FOLDER --output model.onnx, or --graphdef {name}"
    if suffix == ".pdmodel":
        return f"this is a PaddlePaddle model: paddle2onnx --model_filename {name} --model_dir . --save_file model.onnx"
    if suffix in (".mlmodel", ".mlpackage"):
        return "this is a Core ML model, which is made from others: convert the one that it was made from"
    return "these are weights of an ONNX model: give the .onnx beside them" if suffix == ".data" else ""


def _of_folder(path: Path) -> str:
    """Tell folders that hold a model."""
    try:
        names = sorted(one.name for one in path.iterdir())
    except OSError:
        return ""
    models = [name for name in names if name.lower().endswith(".onnx")]
    if models:
        return f"it is a folder: give {', '.join(models[:3])} in it"
    if "saved_model.pb" in names:
        return f"it is a SavedModel of TensorFlow: {_TF} --saved-model {path} --output model.onnx"
    if any(name.endswith((".safetensors", ".bin")) for name in names) and "config.json" in names:
        return f"it is a checkpoint of transformers: {_OPTIMUM} {path} OUT"
    return ""


def _members(file: Path | io.BytesIO) -> list[str]:
    """List the names in a zip archive; empty if it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except Exception:  # zipfile raises errors of many kinds for damaged archives
        return []
