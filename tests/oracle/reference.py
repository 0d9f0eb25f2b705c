"""The float64 runner: onnx's reference evaluator, with those operators replaced that it gets wrong.

Convolutions, pools and their transposes are written here as one loop over the positions of the kernel, so that the
1-, 2- and 3-dimensional forms are the same few lines. `tests/peers/test_reference.py` holds them (and the evaluator's
other operators that the exactness tests lean on) against torch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = np.ndarray


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or "NOTSET"


class Window:
    """A kernel that slides over the spatial axes: which cell of a larger array each of its positions reads."""

    def __init__(self, sizes: Sequence[int], kernel: Sequence[int], strides, dilations, pads, auto_pad, ceil=0):
        rank = len(kernel)
        self.sizes, self.kernel = tuple(sizes), tuple(kernel)
        self.strides = list(strides or [1] * rank)
        self.dilations = list(dilations or [1] * rank)
        reach = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        mode = _text(auto_pad)
        if mode.startswith("SAME"):
            self.out = [-(-n // s) for n, s in zip(self.sizes, self.strides, strict=True)]
            total = [
                max((o - 1) * s + r - n, 0)
                for o, s, r, n in zip(self.out, self.strides, reach, self.sizes, strict=True)
            ]
            self.begin = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total]
            self.end = [t - b for t, b in zip(total, self.begin, strict=True)]
            return
        pads = [0] * 2 * rank if pads is None or mode == "VALID" else list(pads)
        self.begin, self.end = pads[:rank], pads[rank:]
        self.out = []
        for n, s, r, b, e in zip(self.sizes, self.strides, reach, self.begin, self.end, strict=True):
            room = n + b + e - r
            out = (-(-room // s) if ceil else room // s) + 1
            # a window that would start behind the data, in the trailing padding, does not exist
            self.out.append(out - 1 if ceil and (out - 1) * s >= n + b else out)

    def positions(self) -> Iterator[tuple[tuple[int, ...], list[Array]]]:
        """Each position of the kernel in row-major order, and the cells it reads along each axis, padding included."""
        for offset in itertools.product(*map(range, self.kernel)):
            yield (
                offset,
                [
                    np.arange(o) * s + k * d - b
                    for o, s, k, d, b in zip(self.out, self.strides, offset, self.dilations, self.begin, strict=True)
                ],
            )

    def inside(self, cells: list[Array], margin: bool = False) -> Array:
        """Which of these cells exist; with `margin` the declared padding counts as existing."""
        masks = []
        for at, n, b, e in zip(cells, self.sizes, self.begin, self.end, strict=True):
            low, high = (-b, n + e) if margin else (0, n)
            masks.append((at >= low) & (at < high))
        return _outer(masks, np.logical_and)

    def clipped(self, cells: list[Array]) -> tuple:
        return np.ix_(*[np.clip(at, 0, n - 1) for at, n in zip(cells, self.sizes, strict=True)])


def _outer(vectors: list[Array], join) -> Array:
    total = vectors[0]
    for vector in vectors[1:]:
        total = join(total[..., None], vector)
    return total


class MaxPool(OpRun):
    """The winner is the first of the largest in row-major order; its index counts over the whole tensor."""

    def _run(
        self,
        x,
        auto_pad=None,
        ceil_mode=None,
        dilations=None,
        kernel_shape=None,
        pads=None,
        storage_order=None,
        strides=None,
    ):
        assert not storage_order, "column-major indices are not implemented"
        window = Window(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
        flat = np.arange(x.size, dtype=np.int64).reshape(x.shape)
        shape = (*x.shape[:2], *window.out)
        least = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
        best, index = np.full(shape, least, x.dtype), np.full(shape, -1, np.int64)
        for _, cells in window.positions():
            at = (slice(None), slice(None), *window.clipped(cells))
            better = window.inside(cells) & ((index < 0) | (x[at] > best))
            best, index = np.where(better, x[at], best), np.where(better, flat[at], index)
        return (best, index) if len(self.onnx_node.output) > 1 else (best,)


class AveragePool(OpRun):
    """Padding counts if `count_include_pad`; what `ceil_mode` adds behind the padding never does."""

    def _run(
        self,
        x,
        auto_pad=None,
        ceil_mode=None,
        count_include_pad=None,
        dilations=None,
        kernel_shape=None,
        pads=None,
        strides=None,
    ):
        window = Window(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)
        total, count = np.zeros((*x.shape[:2], *window.out), x.dtype), np.zeros(window.out, x.dtype)
        for _, cells in window.positions():
            total += np.where(window.inside(cells), x[(slice(None), slice(None), *window.clipped(cells))], 0)
            count += window.inside(cells, margin=bool(count_include_pad))
        return (total / count,)


class Conv(OpRun):
    def _run(
        self,
        x,
        w,
        b=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        pads=None,
        strides=None,
    ):
        group = group or 1
        window = Window(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
        grouped = x.reshape(x.shape[0], group, -1, *x.shape[2:])
        weights = w.reshape(group, -1, *w.shape[1:])
        y = np.zeros((x.shape[0], group, weights.shape[1], *window.out), x.dtype)
        for offset, cells in window.positions():
            here = np.where(window.inside(cells), grouped[(slice(None),) * 3 + window.clipped(cells)], 0)
            y += np.einsum("ngi...,goi->ngo...", here, weights[(..., *offset)])
        y = y.reshape(x.shape[0], w.shape[0], *window.out)
        return (y if b is None else y + b.reshape(-1, *[1] * len(window.out)),)


class ConvTranspose(OpRun):
    def _run(
        self,
        x,
        w,
        b=None,
        auto_pad=None,
        dilations=None,
        group=None,
        kernel_shape=None,
        output_padding=None,
        output_shape=None,
        pads=None,
        strides=None,
    ):
        group, kernel, sizes = group or 1, w.shape[2:], x.shape[2:]
        rank = len(kernel)
        strides, dilations = strides or [1] * rank, dilations or [1] * rank
        extra, mode = output_padding or [0] * rank, _text(auto_pad)
        full = [
            (n - 1) * s + (k - 1) * d + 1 + e
            for n, s, k, d, e in zip(sizes, strides, kernel, dilations, extra, strict=True)
        ]
        if output_shape is None and mode.startswith("SAME"):
            output_shape = [n * s for n, s in zip(sizes, strides, strict=True)]
        if output_shape is not None:
            total = [max(f - o, 0) for f, o in zip(full, output_shape, strict=True)]
            # ONNX: the larger half in front, unless SAME_UPPER asks for it behind.
            begin = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total]
            end = [t - a for t, a in zip(total, begin, strict=True)]
        else:
            pads = pads or [0] * 2 * rank
            begin, end = list(pads[:rank]), list(pads[rank:])
        grouped = x.reshape(x.shape[0], group, -1, *sizes)
        weights = w.reshape(group, -1, *w.shape[1:])
        canvas = np.zeros((x.shape[0], group, w.shape[1], *full), x.dtype)
        for offset in itertools.product(*map(range, kernel)):
            at = tuple(
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, d, n, s in zip(offset, dilations, sizes, strides, strict=True)
            )
            canvas[(..., *at)] += np.einsum("ngi...,gio->ngo...", grouped, weights[(..., *offset)])
        kept = tuple(slice(a, f - e) for a, f, e in zip(begin, full, end, strict=True))
        y = canvas[(..., *kept)].reshape(x.shape[0], group * w.shape[1], *[k.stop - k.start for k in kept])
        return (y if b is None else y + b.reshape(-1, *[1] * rank),)


class Erf(OpRun):
    """The evaluator's own rounds to float32."""

    def _run(self, x):
        return (np.vectorize(math.erf, otypes=[x.dtype])(x),)


class Gelu(OpRun):
    """The evaluator's own is a function of its own Erf, and of constants in float32."""

    def _run(self, x, approximate=None):
        if _text(approximate) == "tanh":
            return (x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
        return (x / 2 * (1 + np.vectorize(math.erf, otypes=[x.dtype])(x / math.sqrt(2))),)


class LRN(OpRun):
    """The evaluator's own fills as many channels as the batch has entries."""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        squares = np.zeros_like(x)
        for c in range(x.shape[1]):
            first, last = max(0, c - (size - 1) // 2), c + -(-(size - 1) // 2)
            squares[:, c] = (x[:, first : last + 1] ** 2).sum(1)
        return (x / (float(bias) + float(alpha) / size * squares) ** float(beta),)


class Pad(OpRun):
    """The evaluator's own refuses negative pads, which cut."""

    def _run(self, x, pads=None, constant=None, axes=None, mode=None, value=None):
        axes = range(x.ndim) if axes is None else [int(axis) for axis in axes]
        begin, end = np.zeros(x.ndim, int), np.zeros(x.ndim, int)
        for i, axis in enumerate(axes):
            begin[axis], end[axis] = pads[i], pads[len(axes) + i]
        x = x[tuple(slice(max(-b, 0), n - max(-e, 0)) for b, e, n in zip(begin, end, x.shape, strict=True))]
        widths = list(zip(np.maximum(begin, 0), np.maximum(end, 0), strict=True))
        mode = {"NOTSET": "constant"}.get(_text(mode), _text(mode))
        fill = value or 0 if constant is None else constant
        options = {"constant_values": np.asarray(fill).item()} if mode == "constant" else {}
        return (np.pad(x, widths, mode=mode, **options),)


OPERATORS: list[type[OpRun]] = [AveragePool, Conv, ConvTranspose, Erf, Gelu, LRN, MaxPool, Pad]


class Runner:
    """A model, ready to run in the type of its own weights and inputs."""

    def __init__(self, model: onnx.ModelProto):
        self.evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)
        self.outputs = [value.name for value in model.graph.output]
        # an initializer that is also an input is a default: the evaluator takes it where the caller gives nothing
        defaults = {value.name for value in model.graph.initializer}
        self.inputs = [value.name for value in model.graph.input if value.name not in defaults]

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        missing = set(self.inputs) - set(feeds)
        assert not missing, f"no value for {sorted(missing)}"
        return dict(zip(self.outputs, self.evaluator.run(None, dict(feeds)), strict=True))


def run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Every output of the model by name."""
    return Runner(model)(feeds)
