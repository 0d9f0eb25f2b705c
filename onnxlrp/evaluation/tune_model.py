"""The whole tuning on one screen: split the samples, search on one half, compare on the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from onnxlrp.composites import Composite, Overridden
from onnxlrp.errors import InputError
from onnxlrp.evaluation.arguments_of_evaluate import check_numbers
from onnxlrp.evaluation.candidates import Candidate
from onnxlrp.evaluation.halving import Halving
from onnxlrp.evaluation.measuring import Measuring
from onnxlrp.evaluation.removal import Advance
from onnxlrp.evaluation.subject import Subject, subject_of
from onnxlrp.evaluation.tuning_result import Tuning, make_tuning
from onnxlrp.evaluation.tuning_search import input_box, make_starts, search
from onnxlrp.runtime.progress_bar import progress_bar

_LEAST = 4
"""Least number of samples: two in each half."""


def tune(
    model: Any,
    data: Any,
    composites: Sequence[str | Path | Composite | Overridden] | None = None,
    *,
    budget: int = 60,
    held_out: Sequence[int] | None = None,
    target: Any = None,
    position: Any = None,
    target_kind: Literal["class", "token", "element"] = "class",
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    explain_probability: bool = False,
    background: Any = None,
    units: Any = "auto",
    unit_size: int | None = None,
    baseline: Any = "auto",
    mask_token: int | None = None,
    steps: int = 20,
    confidence: float = 0.95,
    batch_size: int | None = None,
    providers: Sequence[Any] | None = None,
    tokenizer: Any = None,
    preprocess: str = "auto",
    seed: int = 0,
    progress: bool = False,
) -> Tuning:
    """Search for the rules that explain a model best on data of your own, and write them as a composite file.

    The yardstick is the area of `onnxlrp.evaluate`: insertion less deletion. One half of the samples serves the search,
    which varies presets, the rule of all layers, that of the stem, that of each kind of layer (in a transformer: query,
    key and value, attention output, MLP in, MLP out), a split of the network by depth, and γ. Successive halving
    spends most of the time on the candidates that do best. The other half of the samples has no part in the search; on
    it the winner is compared with `auto` and with every preset. Where the winner is not above `auto` there, `auto`
    stays.

    Parameters
    ----------
    model
        The model, not an explained one: as `convert` takes it, at most 2 GB.
    data
        A value for each input, as `onnxlrp.evaluate` takes it; at least 4 samples. Intervals mean something from 10
        held-out samples on, and small differences show with hundreds only.
    composites
        Composites to start from, beside `auto`: names, objects or files, no gradients. Default: the presets that suit
        the model.
    budget
        The most candidates that are explained, presets included. Default: 60.
    held_out
        Numbers of the samples to hold out, from 0. Give them where samples belong together, such as crops of one
        picture or rows of one person, so that all of these lie in one half. Default: half of the samples, at random.
    target, position, target_kind, output, inputs, explain_probability, background
        As `onnxlrp.evaluate` takes them.
    units, unit_size, baseline, mask_token, steps
        The parts that are removed at once, and what takes their place, as `onnxlrp.evaluate` takes them.
    confidence
        The confidence of the bootstrap intervals. Default: 0.95.
    batch_size, providers, tokenizer, preprocess
        As `onnxlrp.evaluate` takes them.
    seed
        The seed of the split into halves, of random values and of intervals. Default: 0.
    progress
        True shows a bar if stderr is a terminal. Default: False.

    Returns
    -------
    Tuning
        The composite, its figures on the held-out samples, and all candidates; `save` writes the composite file.

    Raises
    ------
    InputError
        An argument has no such value, or does not fit the model or the data.
    OnnxLrpError
        As `convert` and `Explainer` raise them.

    Examples
    --------
    ```python
    tuning = onnxlrp.tune("model.onnx", {"image": samples}, budget=30)
    print(tuning)
    print(tuning.difference("auto").better)  # None unless the interval excludes 0
    tuning.save("rules.toml")
    explained = onnxlrp.convert("model.onnx", composite="rules.toml")
    ```
    """
    given = locals()
    check_numbers(steps, confidence)
    _check_budget(budget)
    subject = subject_of(given)
    searched, kept_back = split_samples(subject.data.count, held_out, seed)
    starts, notes = make_starts(subject, composites)
    total = _runs(budget, len(starts), len(searched), len(kept_back), steps)
    with progress_bar(progress, "tuning", total) as advance:
        halving = Halving(subject.taking(searched), steps, budget, advance)
        winner = search(halving, starts, input_box(subject))
        presets = [trial.candidate for trial in halving.trials if not trial.candidate.choices]
        measured = _compare(subject.taking(kept_back), [*presets, winner.candidate], steps, seed, advance)
    measured.notes[:0] = [*notes, *halving.notes]
    return make_tuning(subject, halving.trials, winner, measured.result(subject.baseline.text, confidence))


def split_samples(count: int, held_out: Sequence[int] | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the samples into those to search on, in random order, and those to hold out, in their own order.

    Raises InputError if one of the two would have fewer than two samples.
    """
    if count < _LEAST:
        raise InputError(f"a tuning needs at least {_LEAST} samples, two in each half, not {count}")
    order = np.random.default_rng(seed).permutation(count)
    if held_out is None:
        return order[: count // 2], np.sort(order[count // 2 :])
    rows = np.unique(np.asarray(held_out))
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows) or rows[0] < 0 or rows[-1] >= count:
        raise InputError(f"held_out holds numbers of samples from 0 to {count - 1}, not {held_out!r:.80}")
    if not 2 <= len(rows) <= count - 2:
        raise InputError(f"{len(rows)} of {count} samples are held out: two must be, and two must be left")
    return order[~np.isin(order, rows)], rows


def _compare(subject: Subject, rivals: list[Candidate], steps: int, seed: int, advance: Advance) -> Measuring:
    """Measure candidates on the held-out samples, and a random order."""
    steps = min(steps, subject.units.count)
    removal = subject.removal(advance)
    measuring = Measuring(subject.data, removal, subject.score, ("perturbation",), steps, seed, None, advance)
    for name, candidate in {one.name: one for one in rivals}.items():
        measuring.measure(subject.by_composite(name, candidate.composite(), ledger=False), may_fail=True)
    measuring.measure_random()
    return measuring


def _check_budget(budget: int) -> None:
    if not isinstance(budget, (int, np.integer)) or budget < 1:
        raise InputError(f"budget is a whole number from 1 on, not {budget!r:.80}")


def _runs(budget: int, presets: int, searched: int, held_out: int, steps: int) -> int:
    """Estimate the number of samples that will be computed, for the progress bar: about two in five candidates are
    measured on all samples."""
    curves = 2 * (steps + 1)
    return int(budget * searched * (1 + 0.4 * curves) + (presets + 2) * held_out * (1 + curves))
