"""Models written as text, and one run of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

ort = pytest.importorskip("onnxruntime")


def parsed(text: str) -> onnx.ModelProto:
    """A model with random numbers for the constants that its text does not fill."""
    model, rng = onnx.parser.parse_model(text), np.random.default_rng(0)
    for value in model.graph.value_info:
        array = rng.normal(size=[d.dim_value for d in value.type.tensor_type.shape.dim]).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
    del model.graph.value_info[:]
    return model


def run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))
