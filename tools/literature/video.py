"""Frames left out of real films: does relevance say at which moment a film jumps?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import onnxlrp
from tools.literature import figures, pages

METHODS: Mapping[str, str] = {
    "LRP (auto)": "auto",
    "ε": "epsilon",
    "z⁺ on convolutions": "epsilon_plus",
    "DeepLIFT from grey": "deep_lift(baseline=127)",
    "gradient × input": "gradient_x_input",
    "integrated gradients from grey": "integrated_gradients(steps=16, baseline=127)",
}
JUMP = 1
"""The class of clips with frames left out."""


def explain(folder: Path, *, short: bool) -> pages.Found:
    """Find out at which frames the relevance of jumps lies, in made jumps and in the films' own cuts."""
    data = dict(np.load(folder / "clips.npz"))
    paths = sorted(folder.glob("video_*.onnx"))
    found = {name: np.array([_measured(path, data, rule) for path in paths]) for name, rule in METHODS.items()}
    numbers = {
        f"{name}, {part}": float(mean)
        for name, one in found.items()
        for part, mean in zip(("share", "hits", "cuts", "accuracy", "cuts found"), one.mean(axis=0))
    }
    numbers["even"] = 2 / data["clip"].shape[2]
    rows = [[name, *(_with_spread(one[:, part]) for part in range(3))] for name, one in found.items()]
    header = ["method", "relevance in the two frames at the jump", "its most relevant frame is one of them",
              "the same, own cuts"]  # fmt: skip
    scores = next(iter(found.values()))[:, 3:].T
    counts = (("clips, half of them with a jump", "clip"), ("the films' own cuts", "cut"))
    right = [[name, len(data[part]), _with_spread(one)] for (name, part), one in zip(counts, scores)]
    tables = {
        "moments": pages.table(header, rows),
        "scores": pages.table(["clips", "number", "share classified right"], right),
    }
    return pages.Found(numbers, tables, *(({}, {}) if short else _shown(paths[0], data)))


def _measured(path: Path, data: Mapping[str, np.ndarray], composite: str) -> list[float]:
    """Measure one network: share of relevance at the jump, hits, hits of own cuts, accuracy, and own cuts found."""
    explainer, jump = onnxlrp.Explainer(onnxlrp.convert(path, composite)), data["jump"]
    explanation = explainer({"clip": data["clip"]})
    found = explanation.outputs["logits"].argmax(axis=1)
    right = (jump >= 0) & (found == JUMP)
    cuts = explainer({"clip": data["cut"]}, target=JUMP)
    middle = np.full(len(data["cut"]), data["cut"].shape[2] // 2)
    share, hits = _located(_by_frame(explanation)[right], jump[right])
    cut_found = cuts.outputs["logits"].argmax(axis=1) == JUMP
    return [share, hits, _located(_by_frame(cuts), middle)[1], float((found == (jump >= 0)).mean()), cut_found.mean()]


def _with_spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"


def _by_frame(explanation: onnxlrp.Explanation) -> np.ndarray:
    """Add up the relevance of each frame -> [N, frames]."""
    return explanation.relevance["clip"].sum(axis=(1, 3, 4))


def _located(frames: np.ndarray, jump: np.ndarray) -> tuple[float, float]:
    """Compute the share of positive relevance in the last frame before and the first after the jump, and how often one
    of the two is the most relevant of all."""
    positive, rows = np.maximum(frames, 0), np.arange(len(frames))
    share = (positive[rows, jump - 1] + positive[rows, jump]) / np.maximum(positive.sum(axis=1), 1e-12)
    most = frames.argmax(axis=1)
    return float(share.mean()), float(((most == jump) | (most == jump - 1)).mean())


def _shown(path: Path, data: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Draw a clip with a jump in the middle as frames and as a moving picture, and the frames of own cuts as bars."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(path))
    row = int(np.abs(data["shown_jump"] - data["clip"].shape[2] / 2).argmin())
    one = explainer({"clip": data["shown"][row : row + 1]}, target=JUMP)
    with tempfile.TemporaryDirectory() as place:
        one.save(Path(place) / "clip.gif")
        moving = figures.smaller(Path(place) / "clip.gif")
    cuts = _by_frame(explainer({"clip": data["cut"]}, target=JUMP))
    figure, axes = figures.canvas(9.5, 1.9, 1, len(cuts))
    for number, (place_of, frames) in enumerate(zip(axes[0], cuts)):
        place_of.bar(np.arange(len(frames)), frames, color=["#2166ac" if value < 0 else "#b2182b" for value in frames])
        place_of.axvline(len(frames) / 2 - 0.5, color="#7a7a7a", linewidth=1, linestyle=":")
        place_of.set_title(f"cut {number + 1}", fontsize=9)
        place_of.set_yticks([])
        place_of.set_xlabel("frame", fontsize=8)
    return {"video_frames.png": one.plot(), "video_cuts.png": figure}, {"video.gif": moving}
