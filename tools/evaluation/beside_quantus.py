"""Speed of perturbation curves beside Quantus (minutes, one core).

It needs torch and Quantus (tools/peers.txt says how to install them). Both run the bundled image classifier on
onnxruntime with one thread; times are processor seconds, and the two take turns in every round.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import onnxlrp
from onnxlrp.evaluation.baselines import make_baseline
from onnxlrp.evaluation.evaluated_data import EvaluatedData, read_data
from onnxlrp.evaluation.perturbation import curve, curves
from onnxlrp.evaluation.removal import Removal
from onnxlrp.evaluation.score_model import ScoreModel
from onnxlrp.evaluation.units import make_units
from tools.evaluation.pictures import bundled_pictures
from tools.evaluation.quantus_peer import Network, pixel_flipping, quantus, region_perturbation

ROOT = Path(__file__).parents[2] / "models"
MODEL = ROOT / "efficientnet_lite0" / "efficientnet_lite0.onnx"
RESULTS = Path(__file__).parent / "results.md"
STEPS, PATCH, ROUNDS, GREY = 20, 16, 3, 127.0
PATCHES, ELEMENTS = (224 // PATCH) ** 2, 3 * 224 * 224
FLIPPED = 7168
"""Elements that PixelFlipping replaces in a step; Quantus wants a divisor of the pixels, and this gives 21 steps."""
Row = tuple[str, float, float, float]
"""A task, the processor seconds of Quantus and of onnxlrp, and the largest relative difference; NaN without any."""


class Subject:
    """The classifier, 16 pictures, their classes and their relevance, for both sides."""

    def __init__(self) -> None:
        explained = onnxlrp.convert(MODEL)
        explainer = onnxlrp.Explainer(explained)
        self.x = _pictures()
        explanation = explainer.compute(explainer.prepare({"image": self.x}))
        assert explanation.target is not None
        self.targets, self.relevance = explanation.target, explanation.relevance["image"]
        self.network = Network(_session(MODEL.read_bytes()), "image", "logits")
        proto = ScoreModel.of(explained, None)
        self.score = ScoreModel(proto.proto, proto.name, proto.batch_axis, _session(proto.proto.SerializeToString()))
        self.data: EvaluatedData = read_data(explainer, {"image": self.x}, None, "raw")

    def seconds_of_the_model(self) -> float:
        """Time the model alone on as many pictures as a curve of 20 steps needs, in runs of 4."""
        start = time.process_time()
        for _ in range(STEPS + 1):
            for first in range(0, len(self.x), 4):
                self.score.scores({"image": self.x[first : first + 4]})
        return time.process_time() - start

    def theirs(self, regions: int, order: str = "morf") -> np.ndarray:
        """Run RegionPerturbation."""
        return region_perturbation(self.network, self.x, self.targets, self.relevance, GREY, PATCH, regions, order)

    def removal(self, units: str) -> tuple[Removal, np.ndarray]:
        """Make a removal that has computed nothing yet, and the relevance of its units."""
        parts = make_units(self.data, units, PATCH)
        filling = make_baseline(self.data, parts, GREY, None, 0)
        return Removal(self.score, self.data, parts, filling, self.targets), parts.sums({"image": self.relevance})

    def ours(self, units: str, counts: np.ndarray) -> np.ndarray:
        """Compute one curve, most relevant first, with these numbers of removed units."""
        removal, relevance = self.removal(units)
        order = np.argsort(-relevance, axis=1, kind="stable")
        return curve(removal, order, np.broadcast_to(counts, (len(self.x), len(counts))))


def main() -> None:
    """Time every task, and write results.md."""
    torch.set_num_threads(1)
    subject = Subject()
    rows = list(_rows(subject))
    RESULTS.write_text(_page(rows, subject.seconds_of_the_model()))
    print(RESULTS.read_text())


def _rows(subject: Subject) -> Iterator[Row]:
    steps = ELEMENTS // FLIPPED

    def flipping() -> np.ndarray:
        return pixel_flipping(subject.network, subject.x, subject.targets, subject.relevance, GREY, FLIPPED)

    def flipped() -> np.ndarray:
        return subject.ours("elements", np.arange(steps + 1) * FLIPPED)[:, 1:]

    def first_patches() -> np.ndarray:
        found = subject.ours("patches", np.arange(STEPS + 1))
        return found[:, :1] - found[:, 1:]

    def whole_pictures() -> np.ndarray:
        return np.concatenate([subject.theirs(PATCHES), subject.theirs(PATCHES, "lerf")])

    def in_steps() -> np.ndarray:
        removal, relevance = subject.removal("patches")
        found = curves(removal, relevance, STEPS)
        return np.concatenate([found.most_first, found.least_first])

    yield _row(f"PixelFlipping, {steps} steps of {FLIPPED:,} elements", flipping, flipped)
    yield _row(f"RegionPerturbation, the first {STEPS} patches", lambda: subject.theirs(STEPS), first_patches)
    name = f"both orders over whole pictures: {PATCHES} steps of 1 patch (Quantus has no other), {STEPS} of about 10"
    yield _row(name, whole_pictures, in_steps, rounds=1, equal=False)


def _row(
    name: str,
    theirs: Callable[[], np.ndarray],
    ours: Callable[[], np.ndarray],
    rounds: int = ROUNDS,
    equal: bool = True,
) -> Row:
    """Let both take turns; the times are medians."""
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        start = time.process_time()
        wanted = theirs()
        middle = time.process_time()
        found = ours()
        times.append((middle - start, time.process_time() - middle))
    medians = np.median(times, axis=0)
    apart = float(np.abs(found - wanted).max() / np.abs(wanted).max()) if equal else float("nan")
    return name, float(medians[0]), float(medians[1]), apart


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def _pictures() -> np.ndarray:
    """Read the bundled pictures, each whole and mirrored, upright and turned over: 16 in all."""
    every = [p[:, ::down, ::along] for p in bundled_pictures() for down in (1, -1) for along in (1, -1)]
    return np.ascontiguousarray(np.stack(every))


def _page(rows: list[Row], alone: float) -> str:
    head = [
        "# Perturbation curves beside Quantus",
        "",
        f"`python -m tools.evaluation`, {datetime.date.today().isoformat()}, onnxlrp {onnxlrp.__version__}, Quantus "
        f"{quantus.__version__}, onnxruntime {onnxruntime.__version__}.",
        "EfficientNet-Lite0, 16 pictures of 224 × 224, both on onnxruntime with one thread. Processor seconds, medians "
        f"of {ROUNDS} rounds in which both take turns (one round in the last row).",
        "",
        "| task | Quantus | onnxlrp | ratio | largest relative difference |",
        "|---|---|---|---|---|",
    ]
    foot = [
        f"The model alone takes {alone:.2f} s for a curve of {STEPS} steps, so that no program can be much faster in",
        "the first two rows. The third is what an area over whole pictures costs: Quantus removes one patch a step.",
    ]
    return "\n".join([*head, *map(_line, rows), "", *foot, ""])


def _line(row: Row) -> str:
    name, theirs, ours, apart = row
    return f"| {name} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.1f} | {'-' if apart != apart else f'{apart:.0e}'} |"
