"""A server's part in tests: runs a model with what its configuration says, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

NUMPY = {"TYPE_FP32": np.float32, "TYPE_FP64": np.float64, "TYPE_INT64": np.int64, "TYPE_BOOL": np.bool_}
SIZE = 3
"""Size of open axes."""


def answer(folder: Path, config: Any, batch: int = 2, optional: bool = False) -> dict[str, np.ndarray]:
    """Run the model of a folder as Triton does with this configuration, and check what comes back against it.

    `config` is a ModelConfig, or anything with its fields. Requests hold `batch` samples where the server joins them;
    optional inputs are fed if `optional` says so. Sizes, types and names must be those of the configuration.
    """
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feeds = {one.name: _value(one, config, batch, random) for one in config.input if optional or not one.optional}
    assert {one.name for one in session.get_inputs()} == {one.name for one in config.input if not one.optional}
    names = [one.name for one in config.output]
    assert names == [one.name for one in session.get_outputs()]
    found = dict(zip(names, session.run(names, feeds), strict=True))
    for one in config.output:
        value = found[one.name]
        assert value.dtype == NUMPY[_type(one)]
        for size, have in zip(_shape(one, config, batch), value.shape, strict=True):
            assert size in (-1, have)
    return found


def _shape(one: Any, config: Any, batch: int) -> list[int]:
    """Shape that the model gets: the server puts the batch axis before what the configuration says."""
    inner = list(one.reshape.shape if one.HasField("reshape") else one.dims)
    return [batch, *inner] if config.max_batch_size else inner


def _value(one: Any, config: Any, batch: int, random: np.random.Generator) -> np.ndarray:
    shape = [SIZE if size == -1 else size for size in _shape(one, config, batch)]
    return random.integers(0, 2, shape).astype(NUMPY[_type(one)])


def _type(one: Any) -> str:
    from tritonclient.grpc import model_config_pb2

    return str(model_config_pb2.DataType.Name(one.data_type))
