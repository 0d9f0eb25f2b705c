"""Arrays as JSON, which Python, Node.js and a browser read alike: type, sizes, and the bytes as base64 (or strings)."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def to_json(array: np.ndarray) -> dict[str, Any]:
    """Write an array; the type is onnxruntime's name for it in JavaScript."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        return {"type": "string", "dims": list(array.shape), "data": [str(one) for one in array.ravel()]}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"type": array.dtype.name, "dims": list(array.shape), "data": data}


def from_json(tensor: dict[str, Any]) -> np.ndarray:
    """Read what `to_json` or a program in JavaScript wrote."""
    if tensor["type"] == "string":
        return np.array(tensor["data"], object).reshape(tensor["dims"])
    return np.frombuffer(base64.b64decode(tensor["data"]), tensor["type"]).reshape(tensor["dims"])
