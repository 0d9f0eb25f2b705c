"""Runs whose inputs and outputs keep their places on a device, as CUDA graphs need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import listed

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
"""Of what a session says of its inputs and outputs."""


def open_outputs(session: Any) -> list[str]:
    """Outputs that have no place before the first run, since their shapes are not static: CUDA graphs want none."""
    return [port.name for port in session.get_outputs() if not all(isinstance(size, int) for size in port.shape)]


class Bound:
    """Inputs and outputs that stay where they are on the device, at addresses that never change."""

    def __init__(self, session: Any, feeds: Mapping[str, np.ndarray], device: str) -> None:
        import onnxruntime

        values = onnxruntime.OrtValue
        self._session, self._binding = session, session.io_binding()
        # Copies: on the CPU a value lies in the very array that it was made from, and `update` writes there.
        self._inputs = {n: values.ortvalue_from_numpy(np.array(v, order="C"), device, 0) for n, v in feeds.items()}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._names = [port.name for port in session.get_outputs()]
        unplaced = open_outputs(session)
        for port in session.get_outputs():
            if port.name in unplaced:
                self._binding.bind_output(port.name, device, 0)
            else:
                room = values.ortvalue_from_shape_and_type(port.shape, TYPES[port.type], device, 0)
                self._binding.bind_ortvalue_output(port.name, room)

    def __call__(self, options: Any = None) -> None:
        self._session.run_with_iobinding(self._binding, options)
        self._binding.synchronize_outputs()

    def update(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Other values of the same shapes and types, at the same places."""
        for name, value in feeds.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(value))

    def read(self, options: Any = None) -> dict[str, np.ndarray]:
        """One run, and its outputs as arrays of their own."""
        self(options)
        return {n: np.array(v.numpy()) for n, v in zip(self._names, self._binding.get_outputs(), strict=True)}


class GraphRuns:
    """One bound run, and so one CUDA graph, for each set of shapes that comes along.

    A session that records CUDA graphs replays reads and writes at the places of the first run: given arrays at other
    places, as a plain run gives them, it would answer with the first run's outputs. Raises InputError where an output's
    shape is not static.
    """

    def __init__(self, session: Any, device: str = "cuda") -> None:
        if unplaced := open_outputs(session):
            raise InputError(
                f"a CUDA graph needs outputs of static shape, which {listed(unplaced)} has not: declare the sizes "
                "of the model's inputs, or leave enable_cuda_graph out"
            )
        self._session, self._device = session, device
        self._bound: dict[tuple, Bound] = {}

    def __call__(self, feeds: Mapping[str, np.ndarray], options: Any) -> dict[str, np.ndarray]:
        """Outputs by name."""
        key = tuple((name, value.shape, value.dtype.str) for name, value in sorted(feeds.items()))
        if key in self._bound:
            self._bound[key].update(feeds)
        else:
            self._bound[key] = Bound(self._session, feeds, self._device)
        # 0 is onnxruntime's own; each graph has a number.
        options.add_run_config_entry("gpu_graph_id", str(1 + list(self._bound).index(key)))
        return self._bound[key].read(options)
