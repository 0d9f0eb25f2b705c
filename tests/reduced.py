"""Models of every layout of inputs, and the reductions of their relevance done again in numpy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser


@dataclasses.dataclass(frozen=True)
class Layout:
    """A small network on one input x."""

    shape: str
    """Declared shape of x, in which N, H, W, D and T are sizes that a test chooses."""
    nodes: str
    weights: Mapping[str, tuple[int, ...]]
    channels: int | None
    """Axis of x that holds channels."""
    dtype: str = "float"


_HEAD = "r = Relu(h) p = GlobalAveragePool(r) y = Flatten(p)"
LAYOUTS = {
    "NCHW": Layout("N,3,H,W", f"h = Conv<pads=[1,1,1,1]>(x, w) {_HEAD}", {"w": (4, 3, 3, 3)}, 1),
    "NHWC": Layout(
        "N,H,W,3", f"t = Transpose<perm=[0,3,1,2]>(x) h = Conv<pads=[1,1,1,1]>(t, w) {_HEAD}", {"w": (4, 3, 3, 3)}, 3
    ),
    "NHW": Layout(
        "N,H,W", f"i = Constant<value_ints=[1]>() t = Unsqueeze(x, i) h = Conv(t, w) {_HEAD}", {"w": (4, 1, 1, 1)}, None
    ),
    "NCT": Layout("N,5,T", f"h = Conv<pads=[1,1]>(x, w) {_HEAD}", {"w": (4, 5, 3)}, 1),
    "NTC": Layout("N,T,5", f"t = Transpose<perm=[0,2,1]>(x) h = Conv(t, w) {_HEAD}", {"w": (4, 5, 1)}, 2),
    "NTF": Layout(
        "N,T,5",
        "h = MatMul(x, w) r = Relu(h) a = Constant<value_ints=[1]>() y = ReduceSum<keepdims=0>(r, a)",
        {"w": (5, 4)},
        2,
    ),
    "NCDHW": Layout("N,2,D,H,W", f"h = Conv(x, w) {_HEAD}", {"w": (4, 2, 1, 1, 1)}, 1),
    "columns": Layout("N,7", "y = MatMul(x, w)", {"w": (7, 4)}, None),
    "ids": Layout(
        "N,T",
        "e = Gather(table, x) a = Constant<value_ints=[1]>() s = ReduceSum<keepdims=0>(e, a) y = MatMul(s, w)",
        {"table": (9, 6), "w": (6, 4)},
        None,
        "int64",
    ),
}


def model(name: str, sizes: Mapping[str, int] | None = None) -> onnx.ModelProto:
    """Build the network of a layout; `sizes` fixes symbols of its shape."""
    layout = LAYOUTS[name]
    shape = ",".join(str((sizes or {}).get(size, size)) for size in layout.shape.split(","))
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 21]> {name} ({layout.dtype}[{shape}] x) => (float[N, 4] y) '
        f"{{ {layout.nodes} }}"
    )
    random = np.random.default_rng(0)
    for weight, size in layout.weights.items():
        array = random.standard_normal(size).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, weight))
    return proto


def sample(name: str, sizes: Mapping[str, int], seed: int = 0) -> np.ndarray:
    """Draw an input of a layout."""
    layout, random = LAYOUTS[name], np.random.default_rng(seed)
    shape = [sizes[size] if size in sizes else int(size) for size in layout.shape.split(",")]
    if layout.dtype == "int64":
        return random.integers(0, 9, shape)
    return random.standard_normal(shape).astype(np.float32)


def reduced(full: np.ndarray, how: str, channels: int | None, targets: int = 1) -> tuple[np.ndarray, np.ndarray | None]:
    """Reduce relevance [N, ...] or [N, K, ...] by loops over cells and samples; `channels` is the input's axis."""
    front = 1 if targets == 1 else 2
    places = None
    for part in how.split("+"):
        word, _, number = part.partition("=")
        if word in ("channels", "grid") and channels is not None:
            full, channels = full.sum(axis=channels + front - 1), None
        if word == "grid":
            for axis in range(front, full.ndim):
                size, count = full.shape[axis], int(number)
                cells = [range(i * size // count, (i + 1) * size // count) for i in range(count)]
                full = np.stack([full.take([*cell], axis).sum(axis) for cell in cells], axis)
        if word == "top":
            full, places = _largest(full.reshape(*full.shape[:front], math.prod(full.shape[front:])), int(number))
        if word == "float16":
            full = full.astype(np.float16)
    return full, places


def _largest(flat: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    places = np.argsort(-np.abs(flat), axis=-1, kind="stable")[..., :count]
    values = np.take_along_axis(flat, places, -1)
    missing = [(0, 0)] * (flat.ndim - 1) + [(0, count - places.shape[-1])]
    return np.pad(values, missing), np.pad(places, missing, constant_values=-1)
