"""Plain runs of the exported model in onnxruntime, for scores without relevance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime


class Scorer:
    """A session on one thread: called with the only input, it gives the first output."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._name = self._session.get_inputs()[0].name

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._name: values})[0]

    def classes(self, values: np.ndarray) -> np.ndarray:
        """Give the class with the largest score of each row."""
        return self(values).argmax(axis=1)
