"""One operator as a model, and the check that its gradient is a gradient.

With `composite="gradient"` and `target="weights"` the relevance of an operand is exactly Aᵀ·r, so that for every
direction v: ⟨Aᵀr, v⟩ = ⟨r, f(x + v) − f(x)⟩ where f is linear, and with small steps where it is not.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import onnxlrp
from onnxlrp.errors import NothingToExplainError
from tests.oracle import control, recurrent, sampling, tensors
from tests.oracle.reference import OPERATORS

Array = np.ndarray


@dataclasses.dataclass
class Case:
    """A node, its operands, and which of them are explained."""

    op: str
    operands: Sequence[Array | None]
    data: Sequence[int] = (0,)
    """Operands that are inputs of the model and explained."""
    feeds: Sequence[int] = ()
    """Operands that are inputs of the model too, but carry nothing: masks, indices, sizes."""
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outputs: int = 1
    static: Sequence[int] = ()
    """Operands whose shape stays declared in a dynamic model."""
    bodies: Sequence[onnx.NodeProto] = ()
    """Nodes behind the operator's, which make `y` of its outputs y0, y1, …"""
    opset: int = 21
    step: float = 1.0
    """Length of the step that the gradient is tried with: 1 where f is linear."""
    tolerance: float = 1e-9
    rounding: float = 1e-12
    """How far the outputs may move: a function body may hold constants of single precision."""
    deployed: bool = True
    """Whether onnxruntime has a kernel for it."""
    computes: type | None = None
    """The type that it computes in whatever it is given, and so that of its gradient."""

    def names(self) -> list[str]:
        """Of the operands; those left out at the end are not written."""
        names = [f"x{i}" if v is not None else "" for i, v in enumerate(self.operands)]
        while not names[-1]:
            names.pop()
        return names

    def inputs(self, floating: type = np.float64) -> dict[str, Array]:
        return {f"x{i}": _as(v, floating) for i, v in enumerate(self.operands) if i in {*self.data, *self.feeds}}  # type: ignore[arg-type]

    def model(self, dynamic: bool = False, floating: type = np.float64) -> onnx.ModelProto:
        """The node between its inputs and `y`; `dynamic`: all its inputs' dimensions are symbols."""
        inputs = []
        for name, value in self.inputs(floating).items():
            dims: Sequence[int | str] = value.shape
            if dynamic and int(name[1:]) not in self.static:
                dims = [f"{name}_{axis}" for axis in range(value.ndim)]
            inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), dims))
        constants = [
            onnx.numpy_helper.from_array(_as(v, floating), f"x{i}")
            for i, v in enumerate(self.operands)
            if v is not None and i not in {*self.data, *self.feeds}
        ]
        results = (
            [f"y{i}" for i in range(self.outputs)] if self.bodies else ["y", *(f"_{i}" for i in range(1, self.outputs))]
        )
        node = helper.make_node(self.op, self.names(), results, name="tested", **self.attributes)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(floating))
        out = helper.make_tensor_value_info("y", kind, None)
        graph = helper.make_graph([node, *self.bodies], "one", inputs, [out], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)


def _as(value: Array | None, floating: type) -> Array:
    assert value is not None
    return value.astype(floating) if np.issubdtype(value.dtype, np.floating) and value.dtype != np.float32 else value


class GatherElements(OpRun):
    """The evaluator's own wants indices of the data's shape but for the axis."""

    def _run(self, x, indices, axis=None):
        inside = x[tuple(slice(n) if a != axis % x.ndim else slice(None) for a, n in enumerate(indices.shape))]
        return (np.take_along_axis(inside, indices, axis),)


class GroupNormalization(OpRun):
    """The evaluator's own computes in float32."""

    def _run(self, x, scale, bias, epsilon=None, num_groups=None, stash_type=None):
        rows, channels = x.reshape(len(x), num_groups, -1), (1, -1, *[1] * (x.ndim - 2))
        normal = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + epsilon)
        return (normal.reshape(x.shape) * scale.reshape(channels) + bias.reshape(channels),)


class GlobalMaxPool(OpRun):
    """The evaluator's own gains axes."""

    def _run(self, x):
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


class Mean(OpRun):
    """The evaluator's own adds in place, into its first operand."""

    def _run(self, *operands):
        return (sum(operands) / np.asarray(len(operands), operands[0].dtype),)


class LpNormalization(OpRun):
    """The evaluator's own takes no magnitudes."""

    def _run(self, x, axis=None, p=None):
        norm = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
        return (x / norm,)


OURS: list[type[OpRun]] = [
    *OPERATORS,
    *tensors.OPERATORS,
    *recurrent.OPERATORS,
    *sampling.OPERATORS,
    GatherElements,
    GlobalMaxPool,
    GroupNormalization,
    LpNormalization,
    Mean,
    control.Loop,
    control.Scan,
]
"""What the evaluator gets wrong or does not know."""

Run = Callable[[Mapping[str, Array]], dict[str, Array]]


def reference(model: onnx.ModelProto) -> Run:
    """Run a model in the reference evaluator, in its own types."""
    evaluator = ReferenceEvaluator(model, new_ops=OURS)
    names = [o.name for o in model.graph.output]
    return lambda feeds: dict(zip(names, map(np.asarray, evaluator.run(None, dict(feeds))), strict=True))


def onnxruntime(model: onnx.ModelProto) -> Run:
    """Run a model in onnxruntime on the CPU."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(None, {k: np.asarray(v) for k, v in feeds.items()}), strict=True))


def explain(case: Case, *, dynamic: bool, floating: type = np.float64, **options: Any) -> onnx.ModelProto:
    """The operator with its gradient, for any weights."""
    options = {"composite": "gradient", "target": "weights", **options}
    return onnxlrp.convert(case.model(dynamic, floating), **options).to_proto()


def check(case: Case, *, dynamic: bool) -> None:
    """The gradient of every explained operand against differences of the operator itself: in float64 in the reference
    evaluator, and in float32 in onnxruntime."""
    if any(np.size(case.operands[i]) == 0 for i in case.data) and not _has_relevance(case, dynamic):
        return
    exact = _compare(case, dynamic, reference, np.float64)
    if case.deployed:
        single = _compare(case, dynamic, onnxruntime, np.float32)
        if case.step != 1:
            # Differences say little in single precision.
            for name, value in single.items():
                largest = np.abs(exact[name]).max(initial=0)
                np.testing.assert_allclose(value, exact[name], rtol=1e-4, atol=1e-4 * max(1, largest))


def _has_relevance(case: Case, dynamic: bool) -> bool:
    """Decide whether there is anything to explain: not where shapes say that there are no elements."""
    try:
        explain(case, dynamic=dynamic)
    except NothingToExplainError:
        return False
    return True


def _compare(case: Case, dynamic: bool, runner: Callable[[onnx.ModelProto], Run], floating: type) -> dict[str, Array]:
    """All outputs of the explained model, its gradients compared."""
    rng = np.random.default_rng(5)
    source = runner(case.model(dynamic, floating))
    explained = runner(explain(case, dynamic=dynamic, floating=floating))
    feeds = case.inputs(floating)
    y = source(feeds)["y"]
    weights = rng.normal(size=y.shape).astype(case.computes or floating)
    outputs = explained({**feeds, "y_weights": weights})
    rtol, atol = (case.rounding, case.rounding) if floating is np.float64 else (1e-5, 1e-6)
    np.testing.assert_allclose(outputs["y"], y, rtol=rtol, atol=atol)
    for index in case.data:
        name = f"x{index}"
        gradient = outputs[f"{name}_relevance"]
        assert gradient.dtype == (case.computes or floating)
        assert gradient.shape == feeds[name].shape
        if floating is np.float64 or case.step == 1:
            direction = rng.normal(size=gradient.shape).astype(floating)
            theirs = _difference(source, feeds, name, direction, weights, case.step)
            ours, size = float((gradient * direction).sum()), float(np.abs(gradient * direction).sum())
            allowed = case.tolerance if floating is np.float64 else 1e-4
            assert abs(ours - theirs) <= allowed * max(size, 1), f"{runner.__name__}, {name}: {ours} is not {theirs}"
    return outputs


def _difference(
    source: Run, feeds: Mapping[str, Array], name: str, direction: Array, weights: Array, step: float
) -> float:
    """The central difference of ⟨weights, y⟩ along a direction."""
    ends = [source({**feeds, name: feeds[name] + sign * step * direction})["y"] for sign in (1, -1)]
    return float(((ends[0] - ends[1]) * weights).sum() / (2 * step))


def distinct(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Numbers no two of which are close: no small step changes a winner."""
    size = int(np.prod(shape))
    return (rng.permutation(size) - size / 2 + 0.25).reshape(shape).astype(np.float64)


def broadcasts(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes that broadcast to `shape`: some axes are 1, leading ones perhaps missing."""
    found = [
        tuple(1 if one else n for n, one in zip(shape, ones, strict=True))
        for ones in itertools.product((False, True), repeat=len(shape))
    ]
    return [*found, *(tuple(shape[k:]) for k in range(1, len(shape) + 1))]
