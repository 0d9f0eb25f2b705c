"""Sentiment of real snippets (Arras et al. 2017): does the score fall as relevant words go, and do people agree?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import onnxlrp
from tools.literature import figures, pages
from tools.literature.running import Scorer

PAD, UNKNOWN = 0, 1
DELETED, LEAST_WORDS, ROWS = 6, 10, 600
"""Words deleted at most, words that a snippet must have, snippets measured at most."""
NETWORKS: Mapping[str, Mapping[str, str]] = {
    "lstm": {
        "LRP (auto)": "auto",
        "gradient × input": "gradient_x_input",
        "integrated gradients": "integrated_gradients(steps=16)",
    },
    "transformer": {
        "LRP (auto)": "auto",
        "CP-LRP": "cp_lrp",
        "gradient × input": "gradient_x_input",
        "integrated gradients": "integrated_gradients(steps=16)",
        "attention rollout": "attention_rollout",
    },
}
FIRST_METHODS = ("LRP (auto)", "gradient × input")
SHOWN = (1, 2, 3, DELETED)
"""Numbers of deleted words that the table names."""
_SNIPPETS = 8
"""Snippets in the figure of words."""


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """One network on the snippets that it gets right."""

    accuracy: float
    ids: np.ndarray
    labels: np.ndarray
    relevance: Mapping[str, np.ndarray]
    curves: Mapping[str, np.ndarray]
    """By method, and for a random order: is a snippet still classified right, [N, DELETED + 1]?"""


def explain(folder: Path, *, short: bool) -> pages.Found:
    """Measure both networks on snippets that they have not seen."""
    data = dict(np.load(folder / "snippets.npz"))
    every = {network: _measure(folder / f"{network}.onnx", data, methods, short=short)
             for network, methods in NETWORKS.items()}  # fmt: skip
    numbers: dict[str, float] = {}
    deletion, people = [], []
    for network, one in every.items():
        numbers[f"{network}, accuracy"] = one.accuracy
        for name, curve in one.curves.items():
            numbers[f"{network}, {name}"] = float(curve.mean())
            left = [float(curve[:, k].mean()) for k in SHOWN]
            deletion.append([network, name, *left, _ahead(curve, one.curves["random"])])
        for name in one.relevance:
            numbers[f"{network}, {name}, people"] = _agreement(one, name, data["valence"])
            people.append([network, name, numbers[f"{network}, {name}, people"]])
    removed = [f"{k} deleted" for k in SHOWN]
    tables = {
        "deletion": pages.table(["network", "order", *removed, "mean less random's"], deletion),
        "people": pages.table(["network", "method", "rank correlation with the lexicon"], people),
        "accuracy": pages.table(
            ["network", "snippets", "right"],
            [[name, len(data["labels"]), numbers[f"{name}, accuracy"]] for name in NETWORKS],
        ),
    }
    drawn = {} if short else _figures(every, data["vocabulary"])
    return pages.Found(numbers, tables, drawn)


def _measure(path: Path, data: Mapping[str, np.ndarray], methods: Mapping[str, str], *, short: bool) -> Measured:
    """Explain the snippets of enough words that are classified right, and delete their words."""
    score = Scorer(path)
    right = score.classes(data["ids"]) == data["labels"]
    rows = np.flatnonzero(right & ((data["ids"] != PAD).sum(axis=1) >= LEAST_WORDS))[:ROWS]
    ids, labels = data["ids"][rows], data["labels"][rows]
    chosen = {name: methods[name] for name in FIRST_METHODS} if short else methods
    found = {name: _relevance(path, composite, ids, labels) for name, composite in chosen.items()}
    curves = {name: _curve(score, ids, labels, one) for name, one in (*found.items(), ("random", None))}
    return Measured(float(right.mean()), ids, labels, found, curves)


def _relevance(path: Path, composite: str, ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Explain the score of the right class -> [N, LENGTH]."""
    return onnxlrp.Explainer(onnxlrp.convert(path, composite))({"ids": ids}, target=labels).relevance["ids"]


def _curve(score: Scorer, ids: np.ndarray, labels: np.ndarray, relevance: np.ndarray | None) -> np.ndarray:
    """Say of every snippet if it is still classified right as its most relevant words are deleted, [N, DELETED + 1]."""
    random = np.random.default_rng(0).random(ids.shape)
    order = np.argsort(-np.where(ids == PAD, -np.inf, random if relevance is None else relevance), axis=1)
    left, right = ids.copy(), []
    for step in range(DELETED + 1):
        if step:
            left[np.arange(len(ids)), order[:, step - 1]] = PAD
        right.append(score.classes(left) == labels)
    return np.stack(right, axis=1).astype(np.float64)


def _ahead(curve: np.ndarray, random: np.ndarray) -> str:
    """Compare the mean over the deletions with that of a random order, snippet by snippet."""
    differences = (curve - random)[:, 1:].mean(axis=1)
    return f"{differences.mean():+.3f} ± {1.96 * differences.std() / len(differences) ** 0.5:.3f}"


def _agreement(one: Measured, name: str, valence: np.ndarray) -> float:
    """Correlate the mean relevance of a word for "good" with what people think of it, by ranks, over rated words."""
    for_good = one.relevance[name] * np.where(one.labels == 1, 1, -1)[:, None]
    total = np.bincount(one.ids.ravel(), for_good.ravel(), len(valence))
    count = np.bincount(one.ids.ravel(), minlength=len(valence))
    rated = np.isfinite(valence) & (count > 0)
    ranks = [np.argsort(np.argsort(values)) for values in (total[rated] / count[rated], valence[rated])]
    return float(np.corrcoef(*ranks)[0, 1])


def _figures(every: Mapping[str, Measured], vocabulary: np.ndarray) -> dict[str, Any]:
    curves, axes = figures.canvas(9.5, 3.4, 1, 2)
    names = [*dict.fromkeys(name for one in every.values() for name in one.curves)]
    for place, (network, one) in zip(axes[0], every.items()):
        lines = {name: curve.mean(axis=0) for name, curve in one.curves.items()}
        figures.curves(np.arange(DELETED + 1), lines,
                       "words deleted", "share classified right", place, names=names)  # fmt: skip
        place.set_title(network, loc="left", fontsize=10)
    words = _words(every["transformer"], vocabulary)
    return {"sentiment_deletion.png": curves, "sentiment_words.png": words}


def _words(one: Measured, vocabulary: np.ndarray) -> Any:
    """Draw short snippets of known words, each word on a colour: red for the class, blue against it."""
    ids, labels, relevance = one.ids, one.labels, one.relevance["LRP (auto)"]
    short = np.flatnonzero(((ids != PAD).sum(axis=1) <= 16) & (ids != UNKNOWN).all(axis=1))
    shown = [row for label in (1, 0) for row in short[labels[short] == label][: _SNIPPETS // 2]]
    figure, axes = figures.canvas(9.5, 0.36 * len(shown))
    place = axes[0, 0]
    place.axis("off")
    place.set_xlim(0, 110)
    place.set_ylim(len(shown) - 0.5, -0.5)
    for line, row in enumerate(shown):
        place.text(0, line, ("bad", "good")[labels[row]], fontsize=8, va="center", color="#7a7a7a", family="monospace")
        _draw_words(place, line, vocabulary[ids[row]], relevance[row] / np.abs(relevance[row]).max())
    return figure


def _draw_words(place: Any, line: int, words: np.ndarray, strength: np.ndarray) -> None:
    from matplotlib import colormaps

    at = 7.0
    for word, value in zip(words, strength):
        if word:
            colour = colormaps["RdBu_r"](0.5 + 0.42 * value)
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.2}
            place.text(at, line, word, fontsize=8, va="center", family="monospace", bbox=box)
            at += 1.02 * len(word) + 1.2
