"""ONNX's own node cases as a corpus: what becomes of each when it is converted, and whether its gradient is one.

A gradient is right where it agrees with central differences along random directions. A difference is trusted where two
step lengths agree on it, and the step forwards with the step backwards; where they do not (a kink, a jump) the inputs
are drawn anew around the case's own.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

import onnxlrp
from onnxlrp.errors import InvalidModelError, NothingToExplainError, UnsupportedOperatorError
from tests.operators.case import Run, onnxruntime, reference

TRIES = 6
"""Inputs drawn before a case is given up."""
_WIDENED = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}
SETTINGS = {
    ("Dropout", "ratio"): "random numbers are drawn against it",
    ("Resize", "scales"): "a position jumps",
    ("Upsample", "scales"): "a position jumps",
    ("OneHot", "indices"): "positions",
    ("OneHot", "depth"): "a size",
}
"""Floating-point operands that only set an operator up: they have no derivative."""


PRECISIONS = (("float64", True, (1e-3, 1e-5), 1e-3, 1e-2), ("float32", False, (2e-2,), 2e-2, 0.3))
"""In turn: name, whether widened, step lengths (some of the evaluator's operators compute in float32 inside, and small
steps drown), tolerance, and how far the steps forwards and backwards may differ."""


class NotRunnable(Exception):
    """Neither runtime can run a model; the message says why."""


class Unverified(Exception):
    """A model ran, but differences never agreed with each other."""


@dataclasses.dataclass
class Outcome:
    """What became of a case."""

    converted: bool = False
    verified: int = 0
    """Outputs whose gradient agreed with differences."""
    stopped: str | None = None
    refused: str | None = None
    not_runnable: str | None = None
    unverified: str | None = None
    """It ran, but no difference could be trusted."""


@functools.cache
def collect() -> list[TestCase]:
    """All node cases of the installed onnx; making them takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return collect_testcases(None)


def floating(value: onnx.ValueInfoProto) -> bool:
    """Whether a value is a tensor of floating-point numbers."""
    return value.type.HasField("tensor_type") and value.type.tensor_type.elem_type in {*_WIDENED, TensorProto.DOUBLE}


def attempt(case: TestCase) -> Outcome:
    """Convert a case for each of its floating-point outputs, run it, and try its gradients.

    Raises AssertionError where outputs change or a gradient is wrong.
    """
    model, outcome = case.model, Outcome()
    outputs = [o.name for o in model.graph.output if floating(o)]
    if not outputs:
        outcome.stopped = "no floating-point output"
        _must_refuse(model)
        return outcome
    feeds, expected = _data(case)
    settings = _settings(model)
    inputs = [
        i.name
        for i in model.graph.input
        if floating(i) and i.name in feeds and np.size(feeds[i.name]) and i.name not in settings
    ]
    for output in outputs:
        try:
            explained = onnxlrp.convert(model, "gradient", target="weights", output=output)
        except NothingToExplainError as e:
            outcome.stopped = str(e)
            _has_no_gradient(model, feeds, inputs, output)
            continue
        except UnsupportedOperatorError as e:
            outcome.refused = str(e).splitlines()[1].strip()
            continue
        except InvalidModelError as e:
            outcome.refused = str(e)
            continue
        outcome.converted = True
        try:
            outcome.verified += _verify(model, explained, feeds, expected, inputs, output)
        except NotRunnable as e:
            outcome.not_runnable = str(e)
        except Unverified as e:
            outcome.unverified = str(e)
    return outcome


def _settings(model: onnx.ModelProto) -> set[str]:
    """Graph inputs that go to operands which only set an operator up."""
    opsets = {o.domain: o.version for o in model.opset_import}
    found = set()
    for node in model.graph.node:
        if not onnx.defs.has(node.op_type, opsets[node.domain], node.domain):
            continue
        formals = onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain).inputs
        found |= {n for n, f in zip(node.input, formals, strict=False) if (node.op_type, f.name) in SETTINGS}
    return found


def _must_refuse(model: onnx.ModelProto) -> None:
    try:
        onnxlrp.convert(model, "gradient", target="weights")
    except (InvalidModelError, NothingToExplainError):
        return
    raise AssertionError("a model without a floating-point output was converted")


def _data(case: TestCase) -> tuple[dict[str, Any], dict[str, Any]]:
    """The case's own inputs and outputs by name."""
    inputs, outputs = (
        [numpy_helper.to_array(v) if isinstance(v, TensorProto) else v for v in values] for values in case.data_sets[0]
    )
    graph = case.model.graph
    return (
        dict(zip([i.name for i in graph.input], inputs, strict=False)),
        dict(zip([o.name for o in graph.output], outputs, strict=False)),
    )


# ------------------------------------------------------------------------------------------------------- in float64


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every floating-point type made double."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    settings = _settings(model)
    _widen_graph(wide.graph, settings)
    return wide


def _widen_graph(graph: onnx.GraphProto, settings: set[str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name not in settings:
            _widen_type(value.type)
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    for node in graph.node:
        if node.op_type == "ConstantOfShape" and not node.attribute:
            zero = numpy_helper.from_array(np.zeros(1))
            node.attribute.append(helper.make_attribute("value", zero))
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "output_datatype", "stash_type") and attribute.i in _WIDENED:
                attribute.i = TensorProto.DOUBLE
            elif attribute.type == onnx.AttributeProto.TENSOR:
                _widen_tensor(attribute.t)
            elif attribute.name in ("value_float", "value_floats") and node.op_type == "Constant":
                value = np.float64(attribute.f if attribute.name == "value_float" else list(attribute.floats))
                attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(np.asarray(value))))
            elif attribute.type == onnx.AttributeProto.GRAPH:
                _widen_graph(attribute.g, settings)


def _widen_type(kind: onnx.TypeProto) -> None:
    if kind.HasField("tensor_type") and kind.tensor_type.elem_type in _WIDENED:
        kind.tensor_type.elem_type = TensorProto.DOUBLE
    elif kind.HasField("sequence_type"):
        _widen_type(kind.sequence_type.elem_type)
    elif kind.HasField("optional_type"):
        _widen_type(kind.optional_type.elem_type)


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _WIDENED:
        wide = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
        tensor.CopyFrom(wide)


def _as_double(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_double(v) for v in value]
    narrow = isinstance(value, np.ndarray | np.generic) and value.dtype.name in ("float32", "float16", "bfloat16")
    return np.asarray(value, np.float64) if narrow else value


# ------------------------------------------------------------------------------------------------------ verification


def _verify(
    model: onnx.ModelProto,
    explained: onnxlrp.Explained,
    feeds: Mapping[str, Any],
    expected: Mapping[str, Any],
    inputs: list[str],
    output: str,
) -> int:
    """Outputs as they were; gradients as differences say. 1 where there was a gradient to try."""
    ours = explained.to_proto()
    reasons = []
    ran = False
    if (deployed := _runner(onnxruntime, ours, feeds, reasons)) is not None:
        ran = True
        # onnxruntime itself may give other values than a case expects: then its own are what must stay.
        try:
            _same(deployed(feeds), expected, 1e-3)
        except AssertionError:
            theirs = _runner(onnxruntime, model, feeds, [])
            if theirs is None:
                raise
            before = {k: v for k, v in theirs(feeds).items() if k in expected}
            if _repeats(theirs, feeds, before):
                _same(deployed(feeds), before, 1e-3)
    tried = [n for n in inputs if n in explained.interface.relevance]
    missing = [n for n in inputs if n not in tried]
    for name, wide, steps, tolerance, kink in PRECISIONS:
        source = widened(model) if wide else model
        settings = _settings(model)
        given = {k: _as_double(v) if wide and k not in settings else v for k, v in feeds.items()}
        make = reference if wide else onnxruntime
        f = _runner(make, source, given, reasons, expected)
        if f is None:
            continue
        try:
            converted = (
                onnxlrp.convert(source, "gradient", target="weights", output=output).to_proto() if wide else ours
            )
        except InvalidModelError as e:
            reasons.append(f"{name}: {e}")
            continue
        g = _runner(make, converted, given, reasons)
        if g is None:
            continue
        ran = True
        if not tried and not missing:
            return 0
        g = _in_declared_types(g, converted)
        if any(_agree(f, g, given, tried, missing, output, explained, step, tolerance, kink) for step in steps):
            return 1
        reasons.append(f"{name}: differences at two step lengths never agree")
    if not ran:
        raise NotRunnable("; ".join(dict.fromkeys(reasons)))
    raise Unverified("; ".join(dict.fromkeys(reasons)))


def _runner(make: Any, model: onnx.ModelProto, feeds: Mapping[str, Any], reasons: list[str], expected=None):
    """A function that runs a model, None (and the reason) where the runtime cannot, or gives other values."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run: Run = make(model)
            found = run(feeds)
    except Exception as e:  # a runtime raises what it likes
        reasons.append(f"{make.__name__}: {type(e).__name__}: {str(e).splitlines()[0][:160] if str(e) else ''}")
        return None
    if expected is not None:
        try:
            _same(found, expected, 2e-2)
        except AssertionError:
            reasons.append(f"{make.__name__}: gives other values than the case expects")
            return None
    return run


def _in_declared_types(run: Run, model: onnx.ModelProto) -> Run:
    """Feed floating-point arrays in the types that a model declares: relevance need not have the output's type."""
    kinds = {i.name: helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type) for i in model.graph.input}

    def cast(name: str, value: Any) -> Any:
        floats = isinstance(value, np.ndarray) and value.dtype.kind == "f" and kinds[name].kind == "f"
        return value.astype(kinds[name]) if floats else value

    return lambda feeds: run({name: cast(name, value) for name, value in feeds.items()})


def _repeats(run: Run, feeds: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a model gives the same once more: dropout in training mode does not."""
    try:
        _same(run(feeds), before, 1e-3)
    except AssertionError:
        return False
    return True


def _same(found: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> None:
    for name, value in expected.items():
        if isinstance(value, np.ndarray) and value.dtype.kind not in "OSU":
            wide = value.astype(np.float64)
            loose = max(tolerance, 2e-2 if value.dtype.name in ("bfloat16", "float16") else 0)
            np.testing.assert_allclose(np.asarray(found[name], np.float64), wide, rtol=loose, atol=loose, err_msg=name)


def _agree(f, g, feeds, tried, missing, output, explained, step, tolerance, kink) -> bool:
    """Whether differences could be trusted; raises where they could and the gradient says otherwise."""
    rng = np.random.default_rng(7)
    weights_name, relevance = explained.interface.weights_input, explained.interface.relevance
    for attempt_ in range(TRIES):
        at = dict(feeds)
        for name in (*tried, *missing):
            x = np.asarray(feeds[name], np.float64)
            size = np.where(np.isfinite(x), np.maximum(np.abs(x), 0.2), 0)
            noise = 0.0 if attempt_ == 0 else 0.05 * rng.uniform(-1, 1, size=x.shape) * size
            # A mask's −inf stays what it is.
            at[name] = np.where(np.isfinite(x), x + noise, x).astype(np.asarray(feeds[name]).dtype)
        try:
            y = np.asarray(f(at)[output])
        except Exception:  # drawn out of what the operator takes
            continue
        # What is masked out of scores is −inf: nothing is asked of it.
        weights = np.where(np.isfinite(np.asarray(y, np.float64)), rng.normal(size=y.shape), 0)
        weights = weights.astype(np.float64 if y.dtype == np.float64 else np.float32)
        direction = {n: rng.normal(size=np.shape(at[n])) for n in (*tried, *missing)}
        differences = [_differences(f, at, y, direction, output, weights, h) for h in (step, step / 2)]
        if None in differences:
            continue
        (far, _, _), (near, forwards, backwards) = differences
        gradients = {n: np.asarray(g({**at, weights_name: weights})[relevance[n]], np.float64) for n in tried}
        products = [gradients[n] * direction[n] for n in tried]
        ours = float(sum(p.sum() for p in products))
        scale = max(float(np.sqrt(sum((p**2).sum() for p in products))), abs(near), 1e-6)
        if not abs(far - near) <= 0.3 * tolerance * scale or abs(forwards - backwards) > kink * scale:
            continue
        assert abs(ours - near) <= tolerance * scale, (
            f"{output}: the gradient along a direction is {ours}, differences say {near}"
            + (f"; nothing arrives at {', '.join(missing)}" if missing else "")
        )
        return True
    return False


def _differences(f, at, y, direction, output, weights, step) -> tuple[float, float, float] | None:
    """The central difference of ⟨weights, y⟩, the one forwards and the one backwards; None past an operator's edge."""
    ends = []
    for sign in (1, -1):
        moved = {
            n: (np.asarray(at[n], np.float64) + sign * step * v).astype(np.asarray(at[n]).dtype)
            for n, v in direction.items()
        }
        try:
            end = np.asarray(f({**at, **moved})[output], np.float64)
        except Exception:  # past the edge of what the operator takes
            return None
        if end.shape != weights.shape:
            return None
        counts = np.asarray(weights) != 0
        ends.append(float((end - np.asarray(y, np.float64))[counts] @ np.asarray(weights, np.float64)[counts]))
        if not np.isfinite(ends[-1]):
            return None
    return (ends[0] - ends[1]) / (2 * step), ends[0] / step, -ends[1] / step


def _seed(graph: onnx.GraphProto) -> None:
    """Every run draws the same random numbers: two draws of their own differ by no slope."""
    for node in graph.node:
        known = (
            onnx.defs.has(node.op_type, node.domain)
            and "seed" in onnx.defs.get_schema(node.op_type, node.domain).attributes
        )
        if known and all(a.name != "seed" for a in node.attribute):
            node.attribute.append(helper.make_attribute("seed", 1.0))


def _has_no_gradient(model, feeds, inputs, output) -> None:
    """Where relevance is said to stop, differences are 0."""
    settings = _settings(model)
    source, reasons = widened(model), []
    _seed(source.graph)
    given = {k: v if k in settings else _as_double(v) for k, v in feeds.items()}
    f = _runner(reference, source, given, reasons)
    if f is None or not inputs:
        return
    rng = np.random.default_rng(3)
    y = np.asarray(f(given)[output])
    if not np.isfinite(y).all():
        return
    # Bounded away from 0, so that what jumps does not look like a slope.
    weights = rng.choice([-1, 1], y.shape) * rng.uniform(1, 2, y.shape)
    for _ in range(3):
        direction = {n: rng.normal(size=np.shape(given[n])) for n in inputs}
        found = _differences(f, given, y, direction, output, weights, 1e-7)
        # A jump is no slope.
        assert found is None or abs(found[0]) < 1e-6 or abs(found[0]) > 1e5, (
            f"{output}: relevance stops, but differences say {found[0]}"
        )
