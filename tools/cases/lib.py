"""Helpers for all cases: export through torch, explain, and measure an explanation."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

import onnxlrp

Array = np.ndarray
Score = Callable[[Array], Array]


# ---------------------------------------------------------------------------------------------------------- a verdict


class Table:
    """Rows of a case, printed as they come; a row that does not hold is marked."""

    def __init__(self, title: str) -> None:
        self.wrong = 0
        print(title)

    def row(self, name: str, holds: Any, text: str) -> None:
        """Print one row and remember whether its figure holds."""
        self.wrong += not bool(holds)
        print(f"  {name:<44} {text}{'' if holds else '   <<< WRONG'}", flush=True)

    def attempt(self, name: str, figure: Callable[[], tuple[Any, str]]) -> None:
        """Print the row that a function computes; an error is a row that does not hold."""
        try:
            holds, text = figure()
        except Exception as error:
            holds, text = False, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        self.row(name, holds, text)

    def status(self) -> int:
        """Return the exit status: 0 only if every row holds."""
        return int(self.wrong > 0)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence everything that libraries print, log and warn about."""
    logging.disable(logging.WARNING)
    hidden = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


# ------------------------------------------------------------------------------------------------------ models to try


def export(module: Any, example: Any, *, dynamo: bool = False, batch: bool = True) -> bytes:
    """Export a torch module of one input `x` and one output `y` as ONNX, through either of torch's exporters."""
    # The registrations of torchvision's operators cost seconds and are not needed.
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
    import torch

    options: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamo": dynamo}
    if dynamo:
        options["external_data"] = False
    if batch and dynamo:
        options["dynamic_shapes"] = ({0: torch.export.Dim.DYNAMIC},)
    elif batch:
        options["dynamic_axes"] = {"x": {0: "N"}, "y": {0: "N"}}
    buffer = io.BytesIO()
    with quietly():
        torch.onnx.export(module.eval(), (example,), buffer, **options)
    return buffer.getvalue()


def sketch(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Any],
    x: Sequence[int | str],
    y: Sequence[int | str] | None,
    types: tuple[type, type] = (np.float32, np.float32),
) -> onnx.ModelProto:
    """Make a model of these nodes between `x` and `y`."""
    kinds = [onnx.helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in types]
    graph = onnx.helper.make_graph(
        list(nodes),
        "case",
        [onnx.helper.make_tensor_value_info("x", kinds[0], x)],
        [onnx.helper.make_tensor_value_info("y", kinds[1], y)],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


def runner(model: bytes | onnx.ModelProto, output: str | None = None, feed: str = "x") -> Score:
    """Make a function of one array that runs the model; `output` defaults to the model's first."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    name = output or session.get_outputs()[0].name
    return lambda x: session.run([name], {feed: x.astype(np.float32)})[0]


def explain(
    model: Any,
    x: Array,
    composite: Any = "auto",
    *,
    feed: str = "x",
    target: Any = None,
    kind: str = "class",
    **options: Any,
) -> onnxlrp.Explanation:
    """Convert and explain at once; `kind` is the kind of target ("class", "weights")."""
    with quietly():
        explainer = onnxlrp.Explainer(onnxlrp.convert(model, composite, target=kind, **options))
        return explainer({feed: x}, target=target)


# ----------------------------------------------------------------------------------------------- measures of a map


def correlation(a: Array, b: Array) -> Array:
    """Compute Pearson's correlation of each row of `a` with that of `b`; 0 if either is constant."""
    a, b = (v.reshape(len(v), -1).astype(float) for v in (a, b))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return (a * b).sum(1) / np.where(size > 0, size, np.inf)


def effects(score: Score, x: Array, reference: Array | float = 0.0) -> Array:
    """Compute the change of the score, a row each, when one column after another is set to its reference."""
    reference = np.broadcast_to(reference, x.shape[1:])
    columns = range(x.shape[1])
    without = [score(np.where(np.arange(x.shape[1]) == k, reference, x).astype(x.dtype)) for k in columns]
    return score(x)[:, None].astype(float) - np.stack(without, 1)


def deletion(score: Score, x: Array, relevance: Array, steps: int = 20) -> float:
    """Measure how much sooner the score of one input falls when its most relevant entries go to 0 first than its least.

    It is the difference of the two curves' means; higher is better.
    """
    order = np.argsort(-relevance.reshape(-1), kind="stable")
    counts = np.linspace(0, order.size, min(steps, order.size) + 1).astype(int)
    curves = []
    for ranking in (order[::-1], order):
        rows = np.repeat(x.reshape(1, -1), len(counts), axis=0)
        for row, count in zip(rows, counts, strict=True):
            row[ranking[:count]] = 0
        curves.append(np.asarray(score(rows.reshape(-1, *x.shape)), float).reshape(-1))
    return float(curves[0].mean() - curves[1].mean())
