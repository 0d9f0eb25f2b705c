"""Small models from a few lines of text in ONNX's own syntax, with weights of given shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper


def model(text: str, weights: Mapping[str, tuple[int, ...]] | None = None, seed: int = 0) -> onnx.ModelProto:
    """The graph `text` holds; `weights`: names and shapes of random float weights."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    rng = np.random.default_rng(seed)
    for name, shape in (weights or {}).items():
        values = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        proto.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    return proto
