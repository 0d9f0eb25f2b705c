"""Checks of an explained model: that it keeps its source's outputs, and that it conserves relevance."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError, OutputsChangedError
from onnxlrp.reprs import Brief, cut
from onnxlrp.runtime import providers
from onnxlrp.runtime.end_values import relevance_at_ends
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.reading import ModelFile, open_model
from onnxlrp.runtime.reduced_inputs import is_cut

# Largest difference that the emitted model promises, relative to the largest value of the output.
_TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-5}
_CLOSES = 1e-3
_ROUNDING = 1e-3
# Sizes of open axes and sides of pictures, in the order in which random inputs try them: convolutional networks need
# sides that they can halve five times, and spectrograms need longer signals than texts are.
_SIZES = ((8, 224), (32, 32), (96, 320), (512, 640), (1, 64), (16000, 96))
_MOST_ELEMENTS = 1 << 26


@dataclasses.dataclass(frozen=True)
class OutputCheck(Brief):
    """Difference of one output between a source and its explained model."""

    name: str
    difference: float
    """Largest difference relative to the largest value: 0 means bit-equal, infinity that shapes or NaN differ."""
    tolerance: float

    @property
    def ok(self) -> bool:
        """True if the difference is within the tolerance."""
        return self.difference <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Outputs of a source and of its explained model on the same random inputs."""

    outputs: tuple[OutputCheck, ...] = ()
    skipped: str = ""
    """Reason why nothing was compared; empty if all outputs were."""

    @property
    def text(self) -> str:
        """Result in one sentence."""
        if self.skipped:
            return f"outputs were not compared with the source's: {self.skipped}"
        largest = max((one.difference for one in self.outputs), default=0.0)
        verdict = f"equal within {largest:.1g} of the largest value" if largest else "bit-equal"
        return f"outputs are {verdict} to the source's, on random inputs in onnxruntime"

    def __repr__(self) -> str:
        return f"<Comparison: {cut(self.text, 200)}>"


@dataclasses.dataclass(frozen=True)
class Conservation(Brief):
    """Sums over the ledger: seeds = relevance at the inputs + base + bias + epsilon + stopped."""

    seeds: float
    inputs: dict[str, float]
    bias: float
    """Relevance that constants kept, without the base value."""
    epsilon: float
    stopped: float
    worst_step: str
    worst_gap: float
    """Largest |arrives − (passed on + bias + epsilon + stopped)| of a step, relative to the relevance that flows."""
    base: float | None = None
    """Sum of the base values, which relevance is counted from: no loss. None for a model without one."""

    @property
    def ok(self) -> bool:
        """True if every step of the ledger closes."""
        return self.worst_gap <= _CLOSES


def compare_with_source(source: Any, explained: Any, seed: int = 0) -> Comparison:
    """Run a source and its explained model once on the same random inputs, on the CPU.

    `source` and `explained` are each a path, bytes, an `onnx.ModelProto` or a result of `onnxlrp.convert`. Nothing is
    compared where onnxruntime is not installed, or does not run the source on random inputs, or gets other outputs at
    a second run of it (random operators); `skipped` says so. Rounding of float32 counts as equal: up to three times
    what onnxruntime's optimisations change of the source itself, where that is less than 1e-3.
    Raises OutputsChangedError where an output differs by more, or the explained model does not run.

    ```python
    print(compare_with_source("model.onnx", "model.lrp.onnx").text)
    ```
    """
    try:
        opened = open_model(source)
        specs, deployed = opened.inputs, _deployed(opened)
        arrays = fitting_inputs(specs, deployed, seed)
        expected = deployed(arrays)
    except OnnxLrpError as error:
        return Comparison(skipped=str(error))
    try:
        explainer = Explainer(explained, providers=[providers.CPU])
        outputs = [explainer.compute(explainer.prepare(arrays), explain=way).outputs for way in ways_of(explainer)]
    except OnnxLrpError as error:
        raise OutputsChangedError(f"the explained model does not run where its source does: {error}") from error
    checks = compare_both(expected, outputs, opened.halves)
    if changed(checks):
        if changed(compare_outputs(expected, deployed(arrays), opened.halves)):
            return Comparison(skipped="the source itself gives other outputs at every run")
        unoptimised = _deployed(opened, optimise=False)(arrays)
        checks = _with_rounding(checks, compare_outputs(expected, unoptimised, opened.halves))
    if problems := changed(checks):
        raise OutputsChangedError("\n".join(problems))
    return Comparison(tuple(checks))


def _deployed(opened: ModelFile, optimise: bool = True) -> Callable[[Mapping[str, Any]], Any]:
    """Make a function that runs a source."""
    session = providers.create_session(opened.source, [providers.CPU], optimise=optimise)
    return lambda arrays: providers.run(session, None, dict(arrays))


def _with_rounding(checks: Iterable[OutputCheck], optimised: Iterable[OutputCheck]) -> list[OutputCheck]:
    """Widen tolerances to the rounding that onnxruntime's optimisations cause in the source's own outputs."""
    wider = []
    for check, own in zip(checks, optimised, strict=True):
        rounds = own.tolerance > 0 and own.difference < _ROUNDING
        widest = max(check.tolerance, 3 * own.difference) if rounds else check.tolerance
        wider.append(dataclasses.replace(check, tolerance=widest))
    return wider


def changed(checks: Iterable[OutputCheck]) -> list[str]:
    """Return a sentence for every output that differs by more than its tolerance."""
    return [
        f"output {one.name!r} differs by {one.difference:.2g} relative, {one.tolerance:.0g} is allowed"
        for one in checks
        if not one.ok
    ]


def ways_of(explainer: Explainer) -> tuple[bool, ...]:
    """Say with what values of `explain` a model runs: with and without relevance if it has the choice."""
    return (True,) if explainer.interface.explain_input is None else (True, False)


def compare_both(
    source: Mapping[str, Any], explained: Iterable[Mapping[str, Any]], halves: bool = False
) -> list[OutputCheck]:
    """Compare every output of the source with those of several runs; the largest difference counts."""
    checks = [compare_outputs(source, outputs, halves) for outputs in explained]
    return [max(same, key=lambda check: check.difference) for same in zip(*checks, strict=True)]


def compare_outputs(source: Mapping[str, Any], explained: Mapping[str, Any], halves: bool = False) -> list[OutputCheck]:
    """Compare every output of the source, in its order; `halves` says that float32 outputs were computed in float16."""
    checks = []
    for name, value in source.items():
        dtype = str(getattr(value, "dtype", "float32"))
        dtype = "float16" if halves and dtype == "float32" else dtype
        checks.append(OutputCheck(name, _difference(value, explained.get(name)), _TOLERANCE.get(dtype, 0.0)))
    return checks


def conservation(explanation: Explanation) -> Conservation | None:
    """Sum up the ledger; None if the model has no ledger or no step, or if it keeps the largest relevance only."""
    ledger = explanation.ledger
    if ledger is None or not len(ledger) or is_cut(explanation.interface):
        return None
    values = ledger.values.astype(np.float64)
    ends = relevance_at_ends(explanation)
    inputs = {name: float(value.sum(dtype=np.float64)) for name, value in ends.items()}
    flow = sum(float(np.abs(value).sum(dtype=np.float64)) for value in ends.values())
    flow = max(flow, float(np.abs(values[:, 0]).max()), float(np.finfo(np.float32).tiny))
    gaps = np.where(np.isfinite(ledger.gaps), ledger.gaps, np.inf)
    worst = int(gaps.argmax())
    seeds = ledger.seeds(sum(inputs.values()))
    base = None if explanation.base_value is None else float(explanation.base_value.sum())
    totals = ledger.totals
    totals["bias"] -= base or 0.0
    return Conservation(seeds=seeds, inputs=inputs, worst_step=ledger.names[worst], worst_gap=float(gaps[worst] / flow),
                        base=base, **totals)  # fmt: skip


def fitting_inputs(
    specs: Mapping[str, TensorSpec], run: Callable[[dict[str, np.ndarray]], Any], seed: int = 0
) -> dict[str, np.ndarray]:
    """Make random inputs of the first sizes that a model runs on, or of the first sizes tried if it runs on none."""
    tried: dict[tuple[tuple[int, ...], ...], dict[str, np.ndarray]] = {}
    for length, side in _SIZES:
        for samples in (2, 1):
            arrays = random_inputs(specs, seed, samples, length, side)
            shapes = tuple(a.shape for a in arrays.values())
            if tried and (shapes in tried or sum(a.size for a in arrays.values()) > _MOST_ELEMENTS):
                continue
            tried[shapes] = arrays
            with contextlib.suppress(InputError):
                run(arrays)
                return arrays
    return next(iter(tried.values()))


def random_inputs(
    specs: Mapping[str, TensorSpec], seed: int = 0, samples: int = 2, length: int = 8, side: int = 224
) -> dict[str, np.ndarray]:
    """Make random arrays of the declared types and shapes, equal for equal seeds.

    Each symbol gets one size: `samples` for a first axis, `side` for the sides of a picture, `length` for any other
    axis. Whole numbers are 0 and 1, valid both as ids and as masks; pixels of uint8 are 0 to 255, floats standard
    normal.
    """
    random = np.random.default_rng(seed)
    sizes: dict[str, int] = {}
    arrays = {}
    for spec in specs.values():
        if spec.optional or spec.dtype is None:
            continue
        arrays[spec.name] = _random(random, spec.dtype, _random_shape(spec, sizes, samples, length, side))
    return arrays


def _random_shape(spec: TensorSpec, sizes: dict[str, int], samples: int, length: int, side: int) -> tuple[int, ...]:
    declared: tuple[int | str | None, ...] = (None, None) if spec.shape is None else spec.shape
    shape = []
    for axis, size in enumerate(declared):
        if isinstance(size, int):
            shape.append(size)
            continue
        is_picture = len(declared) == 4 and (declared[1] in (1, 3) or declared[3] in (1, 3))
        chosen = samples if axis == 0 else side if is_picture else length
        shape.append(chosen if size is None else sizes.setdefault(size, chosen))
    return tuple(shape)


def _random(random: np.random.Generator, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype.kind == "O":
        return np.full(shape, "a", dtype=object)
    if dtype.kind in "iub":
        return random.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)


def _difference(left: Any, right: Any) -> float:
    """Find the largest difference relative to the largest finite value of `left`; 0 or infinity for other types than
    floats."""
    if isinstance(left, list):
        same = isinstance(right, list) and len(left) == len(right)
        return max([_difference(a, b) for a, b in zip(left, right, strict=True)] or [0.0]) if same else float("inf")
    if isinstance(left, dict):
        if not isinstance(right, dict) or left.keys() != right.keys():
            return float("inf")
        return _difference(np.array(list(left.values())), np.array(list(right.values())))
    left, right = np.asarray(left), np.asarray(right)
    if left.shape != right.shape or left.dtype != right.dtype:
        return float("inf")
    if left.dtype.kind not in "fc" or np.array_equal(left, right, equal_nan=True):
        return 0.0 if np.array_equal(left, right, equal_nan=left.dtype.kind == "f") else float("inf")
    if not np.array_equal(np.isfinite(left), np.isfinite(right)):
        return float("inf")
    finite = np.isfinite(left)
    a, b = left[finite].astype(np.float64), right[finite].astype(np.float64)
    return float(np.abs(a - b).max() / max(float(np.abs(a).max()), float(np.finfo(np.float64).tiny)))
