"""Runs with inputs and outputs at fixed addresses on the device, as CUDA graphs require."""

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
"""numpy's type for each type name that a session gives its inputs and outputs."""


def open_outputs(session: Any) -> list[str]:
    """List the outputs whose shapes are not static: CUDA graphs need the address of each before the first run."""
    return [spec.name for spec in session.get_outputs() if not all(isinstance(size, int) for size in spec.shape)]


class Bound:
    """A session bound to inputs and outputs whose addresses on the device never change."""

    def __init__(self, session: Any, feeds: Mapping[str, np.ndarray], device: str) -> None:
        import onnxruntime

        values = onnxruntime.OrtValue
        self._session, self._binding = session, session.io_binding()
        # Inputs are copied: on the CPU an OrtValue shares the memory of its array, and `update` would write there.
        self._inputs = {n: values.ortvalue_from_numpy(np.array(v, order="C"), device, 0) for n, v in feeds.items()}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._names = [spec.name for spec in session.get_outputs()]
        unplaced = open_outputs(session)
        for spec in session.get_outputs():
            if spec.name in unplaced:
                self._binding.bind_output(spec.name, device, 0)
            else:
                room = values.ortvalue_from_shape_and_type(spec.shape, TYPES[spec.type], device, 0)
                self._binding.bind_ortvalue_output(spec.name, room)

    def __call__(self, options: Any = None) -> None:
        self._session.run_with_iobinding(self._binding, options)
        self._binding.synchronize_outputs()

    def update(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Overwrite the inputs in place with values of the same shapes and types."""
        for name, value in feeds.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(value))

    def read(self, options: Any = None) -> dict[str, np.ndarray]:
        """Run once and return copies of the outputs by name."""
        self(options)
        return {n: np.array(v.numpy()) for n, v in zip(self._names, self._binding.get_outputs(), strict=True)}


class GraphRuns:
    """A bound run, and with it a CUDA graph, for each set of input shapes.

    A session that records CUDA graphs repeats the reads and writes of its first run at the same addresses: a plain run,
    which passes arrays at other addresses, would return the first run's outputs again. Raises InputError if the shape
    of an output is not static.
    """

    def __init__(self, session: Any, device: str = "cuda") -> None:
        if unplaced := open_outputs(session):
            raise InputError(
                f"a CUDA graph needs outputs of static shape, but {listed(unplaced)} has none: declare the sizes "
                "of the model's inputs, convert without on_demand, or leave enable_cuda_graph out"
            )
        self._session, self._device = session, device
        self._bound: dict[tuple, Bound] = {}

    def __call__(self, feeds: Mapping[str, np.ndarray], options: Any) -> dict[str, np.ndarray]:
        """Run on these inputs and return the outputs by name."""
        key = tuple((name, value.shape, value.dtype.str) for name, value in sorted(feeds.items()))
        if key in self._bound:
            self._bound[key].update(feeds)
        else:
            self._bound[key] = Bound(self._session, feeds, self._device)
        # Each set of shapes has a graph of its own; its number is from 1 on, because onnxruntime uses 0 itself.
        options.add_run_config_entry("gpu_graph_id", str(1 + list(self._bound).index(key)))
        return self._bound[key].read(options)
