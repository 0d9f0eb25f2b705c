"""Opening a model: every form it may be given in, for conversion and for running alike."""

from __future__ import annotations

from pathlib import Path, PurePath

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.errors import InvalidModelError
from onnxlrp.opening import opened


class Place:
    """A path that is no `Path`, as other libraries have them."""

    def __init__(self, path: PurePath) -> None:
        self.path = str(path)

    def __fspath__(self) -> str:
        return self.path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    vector = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 2])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [vector], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, tmp_path / "one.onnx")
    return tmp_path / "one.onnx"


FORMS = {
    "path": lambda file: file,
    "text": str,
    "another path": Place,
    "bytes": lambda file: file.read_bytes(),
    "bytearray": lambda file: bytearray(file.read_bytes()),
    "proto": lambda file: onnx.load(file),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_converted_and_run(form, file, tmp_path):
    explained = onnxlrp.convert(FORMS[form](file), "epsilon")
    explained.save(tmp_path / "explained.onnx")
    given = FORMS[form](tmp_path / "explained.onnx")
    found = onnxlrp.Explainer(given)({"x": np.float32([[1, 2]])}).relevance["x"]
    np.testing.assert_allclose(found, [[0, 2]], rtol=1e-5)


def test_what_was_opened(file):
    found = opened(file)
    assert found is not None and found.file == file and found.content == file.read_bytes()
    assert opened(3) is None


@pytest.mark.parametrize("reads", [lambda p: onnxlrp.convert(p, "epsilon"), onnxlrp.Explainer])
def test_what_is_no_model_is_refused_alike(reads, file, tmp_path):
    with pytest.raises(InvalidModelError, match="is a folder"):
        reads(tmp_path)
    with pytest.raises(InvalidModelError, match="there is no file"):
        reads(tmp_path / "absent.onnx")
    with pytest.raises(InvalidModelError, match="holds no graph"):
        reads(b"")
    with pytest.raises(InvalidModelError, match="cut off"):
        reads(file.read_bytes()[:-3])
