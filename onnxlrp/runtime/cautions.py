"""Cautions: doubts about an explanation that its own numbers raise, told to the caller in one warning."""

from __future__ import annotations

import collections
import dataclasses
import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlrp.errors import ExplanationWarning
from onnxlrp.interface import Interface
from onnxlrp.reprs import Brief
from onnxlrp.runtime import advice
from onnxlrp.runtime.end_values import relevance_at_ends
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.runtime.reduced_inputs import is_cut, reductions_of
from onnxlrp.runtime.sums import sums_of_samples
from onnxlrp.runtime.switched_off import is_switched_off
from onnxlrp.targets import TARGETS

if TYPE_CHECKING:
    from onnxlrp.runtime.explanation import Explanation

KINDS = ("nan", "zero", "large", "absorbed", "turned", "negative")
"""Kinds of caution, the gravest first."""
_PACKAGE = Path(__file__).parents[1]
_LARGE = 100.0
_TINY = 1e-6
_ROUNDED = 1e-4
"""Fraction of the score, or of its base value, by which rounding may move their difference."""


@dataclasses.dataclass(frozen=True)
class Caution(Brief):
    """A doubt about an explanation."""

    kind: str
    """One of KINDS."""
    samples: int
    """Number of samples that the caution concerns."""
    first: int | None
    """Index of the first sample that the caution concerns, from 0; None for a caution about the sum over all
    samples."""
    sentence: str
    """Description of the doubt, and what to try."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Numbers:
    """Numbers of a call that doubts are about, float64 [samples, targets]."""

    total: np.ndarray
    """Sum of the relevance over all inputs."""
    size: np.ndarray
    """Sum of the absolute relevance over all inputs."""
    score: np.ndarray | None
    """Explained value; None if the model does not output it."""
    start: np.ndarray | None
    """Amount that relevance starts from; None if unknown."""
    scale: np.ndarray | None
    """Amount that |R| is compared with; None if there is nothing to compare it with."""
    seeds: float | None
    """Sum of the relevance that all samples start with, according to the ledger; None without a ledger."""
    bad: np.ndarray
    """True for NaN or infinity in the relevance or the score."""
    base: np.ndarray | None = None
    """Base value that relevance is counted from; None without one, or if it is not known."""

    @property
    def sound(self) -> np.ndarray:
        """Mask of the samples whose relevance can be judged: finite, and not 0 everywhere."""
        return ~self.bad & (self.size > 0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Doubt:
    """A kind of doubt, and a mask of the samples in one call that it concerns."""

    kind: str
    case: str
    samples: np.ndarray
    words: Callable[[str], str]
    """Function that makes the sentence, given the words that say which samples it is about."""
    in_sum: bool = False


@dataclasses.dataclass
class _Count:
    """A doubt with the number of samples it concerned in all calls so far."""

    doubt: _Doubt
    first: int
    samples: int = 0


class Watch:
    """Collector of the doubts about all batches of one call, so that each is told once.

    `axes` says which axis of each input counts samples; axis 0 for inputs that it does not name.
    """

    def __init__(self, interface: Interface, axes: Mapping[str, int] | None = None) -> None:
        self._interface, self._axes = interface, axes or {}
        self._counts: dict[tuple[str, str], _Count] = {}
        self._holes: collections.Counter[str] = collections.Counter()
        self._infinite: collections.Counter[str] = collections.Counter()
        self._samples = 0

    def see(
        self,
        explanation: Explanation,
        feeds: Mapping[str, Any] | None = None,
        start: int = 0,
        *,
        partial: bool = False,
    ) -> None:
        """Examine the explanation of a batch; `feeds` are its inputs, `start` is the index of its first sample.

        `partial` says that relevance passed some channels alone, so that its sum says nothing. Without
        relevance, of a call with `explain=False`, there is nothing to doubt.
        """
        if is_switched_off(explanation):
            return
        with np.errstate(all="ignore"):  # infinities are expected here
            self._count_not_finite(feeds or {})
            numbers = _numbers(explanation, self._interface, self._axes)
            if numbers is None:
                return
            self._samples += len(numbers.total)
            for doubt in _doubts(numbers, self._interface, explanation.ledger):
                if doubt.kind == "nan" or not partial:
                    self._add(doubt, start)

    def _count_not_finite(self, feeds: Mapping[str, Any]) -> None:
        """Count NaN and infinity in each input; a sum that is finite says at once that there are none."""
        for name, value in feeds.items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value.sum()):
                self._holes[name] += int(np.isnan(value).sum())
                self._infinite[name] += int(np.isinf(value).sum())

    def _add(self, doubt: _Doubt, start: int) -> None:
        concerned = np.flatnonzero(doubt.samples.any(axis=1))
        if concerned.size:
            first = start + int(concerned[0])
            count = self._counts.setdefault((doubt.kind, doubt.case), _Count(doubt, first))
            count.samples += concerned.size

    def cautions(self) -> list[Caution]:
        """Return the doubts so far as cautions, the gravest first."""
        counts = [c for c in self._counts.values() if c.doubt.kind != "absorbed" or 2 * c.samples > self._samples]
        cautions = [self._caution(count) for count in sorted(counts, key=lambda count: KINDS.index(count.doubt.kind))]
        # Additive masks hold infinity by design: unless relevance suffers, only infinities in explained inputs count.
        infinite = {name: count for name, count in self._infinite.items() if name in self._interface.relevance}
        bad = advice.not_finite_inputs(self._holes, infinite)
        if bad and not any(caution.kind == "nan" for caution in cautions):
            cautions.append(Caution("nan", 0, None, advice.harmless(bad)))
        return cautions

    def _caution(self, count: _Count) -> Caution:
        doubt, first = count.doubt, None if count.doubt.in_sum else count.first
        where = advice.where(count.samples, first, self._samples)
        bad = advice.not_finite_inputs(self._holes, self._infinite) if doubt.kind == "nan" else ""
        sentence = advice.not_finite(where, bad) if bad else doubt.words(where)
        return Caution(doubt.kind, count.samples, first, sentence)


def cautions(
    explanation: Explanation,
    interface: Interface,
    feeds: Mapping[str, Any] | None = None,
    axes: Mapping[str, int] | None = None,
) -> list[Caution]:
    """Collect what makes an explanation doubtful, in words; empty where nothing does.

    `feeds` are the model's inputs, for NaN and infinities among them; `axes` says which axis of an input counts samples
    (0 where it is silent). No model is run: the relevance arrays are read once.

    ```python
    for caution in cautions(explanation, explainer.interface):
        print(caution.sentence)
    ```
    """
    watch = Watch(interface, axes)
    watch.see(explanation, feeds)
    return watch.cautions()


def warn(cautions: Sequence[Caution]) -> None:
    """Issue one warning for all cautions, at the line outside this package that asked for the explanation."""
    if not cautions:
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        level, frame = level + 1, frame.f_back
    message = "\n".join(caution.sentence for caution in cautions)
    warnings.warn(ExplanationWarning(message, tuple(cautions)), stacklevel=level)


# ------------------------------------------------------------------------------------------------------- numbers


def _numbers(explanation: Explanation, interface: Interface, axes: Mapping[str, int]) -> _Numbers | None:
    """Reduce a call to the numbers that doubts are about; None if it has no relevance, as for a batch without
    samples."""
    arrays = {name: a for name, a in relevance_at_ends(explanation).items() if isinstance(a, np.ndarray) and a.size}
    if not arrays or (explanation.score is not None and not explanation.score.size):
        return None
    given = explanation.score
    score = None if given is None else np.asarray(given, np.float64).reshape(len(given), interface.targets)
    total, size = sums_of_samples(arrays, interface, axes, None if score is None else len(score))
    bad = ~np.isfinite(size)
    if score is not None and score.shape == total.shape:
        bad |= ~np.isfinite(score)
    elif score is not None or not TARGETS[interface.target].several:
        # No score is explained, or no axis of the inputs counts samples, as with the boxes of one picture.
        return _Numbers(total, size, None, None, None, None, bad)
    visible = score if interface.score_is_output else None
    base = None if explanation.base_value is None else explanation.base_value.reshape(total.shape)
    if interface.seed == "gradient":  # a gradient does not add up to the score, unless it is counted from a reference
        return _Numbers(total, size, visible, None if base is None else visible, None, None, bad, base)
    ledger = None if is_cut(interface) else explanation.ledger
    seeds = None if ledger is None else ledger.seeds(float(total.sum()))
    scale = _scale(explanation, visible, total, seeds, interface)
    scale = scale if scale is None or base is None else np.fmax(scale, np.abs(base))
    return _Numbers(total, size, visible, _start(visible, interface, total), scale, seeds, bad, base)


def _start(score: np.ndarray | None, interface: Interface, total: np.ndarray) -> np.ndarray | None:
    """Amount that relevance starts from; None if that is a score that the model does not output."""
    if interface.initial == "one":
        return np.ones_like(total)
    if interface.seed == "positive":
        return None if score is None else np.maximum(score, 0.0)
    return score


def _scale(
    explanation: Explanation, score: np.ndarray | None, total: np.ndarray, seeds: float | None, interface: Interface
) -> np.ndarray | None:
    """Amount that |R| is compared with: the largest of the score, the sample's other scores and the median over
    samples.

    The score alone would not do, because it may happen to lie near 0. If the model does not output the score, the
    ledger's seeds are used, or the relevance of all samples if that is larger, because seeds of many samples may
    cancel.
    """
    if score is not None:
        finite = np.abs(score[np.isfinite(score)])
        usual = np.maximum(np.abs(score), np.median(finite) if finite.size else 0.0)
        return np.fmax(usual, _largest_output(explanation, interface, len(score)))
    if interface.initial == "one":
        return np.ones_like(total)
    if seeds is None:
        return None
    return np.full_like(total, max(abs(seeds), float(np.abs(total).sum())) / max(len(total), 1))


def _largest_output(explanation: Explanation, interface: Interface, samples: int) -> np.ndarray:
    """Find the largest score of each sample over all classes, [samples, 1]; 0 if the outputs do not hold them."""
    value = explanation.outputs.get(interface.output)
    scores = TARGETS[interface.target].scores(value, interface) if isinstance(value, np.ndarray) else None
    if scores is None or scores.shape[0] != samples or not scores.size:
        return np.zeros((samples, 1))
    return np.abs(scores.reshape(samples, -1).astype(np.float64)).max(axis=1, keepdims=True)


# -------------------------------------------------------------------------------------------------------- doubts


def _doubts(numbers: _Numbers, interface: Interface, ledger: Ledger | None) -> Iterator[_Doubt]:
    """Yield every kind of doubt with its mask of samples, the gravest first; the mask may be empty."""
    half = any(reduction.half for reduction in reductions_of(interface).values())
    yield _Doubt("nan", "", numbers.bad, lambda where: advice.overflowed(where, ledger, half))
    yield from _zeros(numbers, interface, ledger)
    yield from _large(numbers, interface)
    if not is_cut(interface):
        yield from _absorbed(numbers, interface, ledger)
    yield from _negative(numbers, interface)


def _is_moved(numbers: _Numbers) -> np.ndarray:
    """Mask of the samples whose score differs from the base value by more than rounding."""
    assert numbers.base is not None
    if numbers.start is None:
        return np.zeros(numbers.total.shape, bool)
    size = np.maximum(np.abs(numbers.start), np.abs(numbers.base))
    return np.abs(numbers.start - numbers.base) > np.maximum(_TINY, _ROUNDED * size)


def _zeros(numbers: _Numbers, interface: Interface, ledger: Ledger | None) -> Iterator[_Doubt]:
    """Doubt relevance that is 0 everywhere, unless the score itself is 0."""
    score = numbers.score
    zero = (numbers.size == 0) & ~numbers.bad & (True if score is None else score != 0)
    if numbers.base is not None:
        zero = zero & _is_moved(numbers)
    if interface.seed == "gradient":
        yield _Doubt("zero", "gradient", zero, advice.no_gradient)
        return
    if interface.seed == "positive" and interface.initial != "one":
        negative = zero if score is None else zero & (score < 0)
        yield _Doubt("zero", "positive", negative, lambda where: advice.not_positive(where, score is not None))
        zero = zero & ~negative
    yield _Doubt("zero", "", zero, lambda where: advice.zero(where, score is not None, ledger))


def _large(numbers: _Numbers, interface: Interface) -> Iterator[_Doubt]:
    """Doubt relevance far larger than the score: large shares that cancel out."""
    if numbers.scale is None:
        return
    size = numbers.size
    if interface.initial == "one" and numbers.score is not None:
        size = size * np.abs(numbers.score)  # relevance is a fraction of the score here
    ratio = np.where(numbers.sound, size / np.maximum(numbers.scale, _TINY), 0.0)
    worst = np.unravel_index(int(ratio.argmax()), ratio.shape)
    shown = None if numbers.score is None else float(numbers.score[worst])
    yield _Doubt("large", "", ratio > _LARGE, lambda where: advice.large(where, float(size[worst]), shown))


def _absorbed(numbers: _Numbers, interface: Interface, ledger: Ledger | None) -> Iterator[_Doubt]:
    """Doubt explanations in which less than half of the score, or of its change from a base value, arrives at the
    inputs.

    Trees whose base value is not known are not doubted: their relevance adds up to the distance of the score from the
    base, not to the score.
    """
    words = functools.partial(advice.absorbed, ledger=ledger)
    if interface.has_base or numbers.base is not None:
        if numbers.base is not None and numbers.start is not None:
            change = numbers.start - numbers.base
            lost = numbers.total * np.sign(change) < np.abs(change) / 2
            yield _Doubt("absorbed", "", lost & numbers.sound & _is_moved(numbers), words)
        return
    if numbers.start is not None:
        start = numbers.start
        lost = numbers.total * np.sign(start) < np.abs(start) / 2
        yield _Doubt("absorbed", "", lost & numbers.sound & (np.abs(start) > _TINY), words)
    elif numbers.seeds is not None and np.isfinite(numbers.seeds) and abs(numbers.seeds) > _TINY:
        # Scores of both signs cancel in the sum of many samples, so absolute sums, which do not, are compared there.
        one = numbers.total.size == 1
        arrived = float(numbers.total.sum() * np.sign(numbers.seeds)) if one else float(np.abs(numbers.total).sum())
        lost = numbers.sound & (arrived < abs(numbers.seeds) / 2)
        yield _Doubt("absorbed", "", lost, words, in_sum=not one)


def _negative(numbers: _Numbers, interface: Interface) -> Iterator[_Doubt]:
    """Doubt explanations whose class has a negative score, and maps that were divided by a negative score."""
    score = numbers.score
    if interface.seed == "gradient":
        return
    if interface.initial == "one":
        if score is not None:
            yield _Doubt("turned", "", numbers.sound & (score < 0), advice.turned)
        return
    if interface.seed == "positive" or interface.class_axis is None or interface.has_base:
        return
    if score is None and numbers.seeds is not None and numbers.total.size == 1:
        score = np.full_like(numbers.total, numbers.seeds)
    if score is not None:
        yield _Doubt("negative", "", numbers.sound & (score < 0), advice.negative)
