"""An explainer gives what the values that it gets mean, or an error in a sentence.

Values of every type and shape, numbers at the ends of their types, what Python has beside arrays, inputs that name
nothing, targets and weights of every kind.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import onnxlrp
from tools.robustness import values
from tools.robustness.models import CLASSES, COLUMNS, explainer, linear, weights_of, words
from tools.robustness.part import Found, Tally

_X = np.random.default_rng(3).normal(size=(3, COLUMNS)).astype(np.float32)
_W = weights_of(COLUMNS)


def run(quick: bool, folder: Path) -> Found:
    """Explain each value, and compare with the explanation of the plain array."""
    tally = Tally()
    for dtype in ("float32",) if quick else ("float32", "float64", "float16"):
        cases = [*values.containers(dtype, folder), *values.numbers(dtype), *values.objects()]
        if dtype == "float32":
            cases += values.types()
        _judge_cases(tally, explainer(linear(dtype)), f"{dtype} input", cases)
    _judge_cases(tally, explainer(words()), "ids", values.ids())
    plain = explainer(linear("float32"))
    for name, inputs in values.mappings(_X):
        tally.judge(name, lambda: plain(inputs).relevance["x"], None)
    tally.judge("the only input's array", lambda: plain(_X).relevance["x"], plain({"x": _X}).relevance["x"])
    _judge_targets(tally, plain)
    _judge_weights(tally, explainer(linear("float32"), target="weights"))
    return tally.found("values")


def _judge_cases(tally: Tally, explained: onnxlrp.Explainer, about: str, cases: Any) -> None:
    dtype = explained.inputs["x"].dtype
    for name, value, meant in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = None if meant is None else explained({"x": np.array(meant, dtype)}).relevance["x"]
        tally.judge(f"{about}, {name}", lambda: explained({"x": value}).relevance["x"], wanted)


def _judge_targets(tally: Tally, explained: onnxlrp.Explainer) -> None:
    """Compare with relevance of one layer computed by hand: x times the weights of the class."""
    scores = _X @ _W
    for name, target, meant in values.targets(CLASSES):
        chosen = None if meant is None else np.where(np.array(meant) < 0, scores.argmax(1), meant)
        check = None if chosen is None else _near(_X * _W[:, chosen].T)
        tally.judge(f"target {name}", lambda: explained({"x": _X}, target=target).relevance["x"], check)


def _judge_weights(tally: Tally, explained: onnxlrp.Explainer) -> None:
    for name, weights, meant in values.weights((3, CLASSES)):
        check = None if meant is None else _near(_X * (meant @ _W.T))
        tally.judge(f"weights {name}", lambda: explained({"x": _X}, weights=weights).relevance["x"], check)


def _near(meant: np.ndarray) -> Any:
    return lambda found: "" if np.allclose(found, meant, rtol=1e-3, atol=1e-4) else "it gives other numbers"
