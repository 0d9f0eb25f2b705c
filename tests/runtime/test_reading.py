"""Files of models: their hashes."""

from __future__ import annotations

import hashlib

import pytest

from onnxlrp.errors import InvalidModelError
from onnxlrp.runtime import reading
from tests.runtime.recorded import folder_of


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_model_is_hashed_once(tmp_path, monkeypatch):
    """Every folder of results asks for it, and large models take long to hash."""
    path = folder_of(tmp_path) / "tiny.lrp.onnx"
    opened = reading.open_model(path)
    assert opened.sha256() == sha256(path.read_bytes())
    monkeypatch.setattr("onnxlrp.file_hashes.sha256_of", lambda path: pytest.fail("hashed again"))
    assert opened.sha256() == opened.hashes[""]


def test_a_changed_model_is_hashed_as_it_is_now(tmp_path):
    path = folder_of(tmp_path) / "tiny.lrp.onnx"
    opened = reading.open_model(path)
    path.write_bytes(path.read_bytes() + b"\0")
    assert opened.sha256() == sha256(path.read_bytes())
    path.unlink()
    with pytest.raises(InvalidModelError, match="cannot be read"):
        opened.sha256()
