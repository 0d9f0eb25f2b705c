"""Tuning of the bundled image classifier on crops of the bundled pictures and of scikit-learn's two.

The crops of a picture all lie in one half of the samples, so that no picture has a part in both.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from sklearn.datasets import load_sample_images

import onnxlrp

ROOT = Path(__file__).parents[2] / "models"
MODEL = ROOT / "efficientnet_lite0" / "efficientnet_lite0.onnx"
PAGE, RULES = (Path(__file__).parent / name for name in ("tuned.md", "tuned.toml"))
SIDE, PATCH, BUDGET = 224, 16, 60
CROPS = (
    (1.0, 0.5, 0.5),
    (0.8, 0, 0),
    (0.8, 1, 0),
    (0.8, 0, 1),
    (0.8, 1, 1),
    (0.6, 0.5, 0.5),
    (0.6, 0, 0.5),
    (0.6, 1, 0.5),
)
"""Square crops: the side as a share of the picture's shorter one, and the place, from 0 (left, top) to 1 (right,
bottom)."""


def main() -> None:
    """Tune, and write the page and the composite file."""
    shown = dict(sorted(pictures()))
    x = np.stack([crop(picture, *place) for picture in shown.values() for place in CROPS])
    held_out = [row for row in range(len(x)) if row // len(CROPS) % 2]
    start = time.process_time()
    tuning = onnxlrp.tune(
        MODEL, {"image": x}, held_out=held_out, unit_size=PATCH, budget=BUDGET, providers=["CPUExecutionProvider"],
        progress=True,
    )  # fmt: skip
    minutes = (time.process_time() - start) / 60
    tuning.save(RULES)
    PAGE.write_text(_page(tuning, list(shown), minutes))
    print(tuning)


def pictures() -> Iterator[tuple[str, Image.Image]]:
    """Yield the bundled pictures and scikit-learn's two, by name."""
    for path in (ROOT / "pictures").glob("*.*g"):
        yield path.stem, Image.open(path).convert("RGB")
    found = load_sample_images()
    for name, pixels in zip(found.filenames, found.images, strict=True):
        yield Path(name).stem, Image.fromarray(pixels)


def crop(picture: Image.Image, share: float, along: float, down: float) -> np.ndarray:
    """Cut a square out of a picture, [3, 224, 224] of 0 to 255."""
    side = share * min(picture.size)
    left, top = along * (picture.width - side), down * (picture.height - side)
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((SIDE, SIDE), box=box), np.float32).transpose(2, 0, 1)


def _page(tuning: onnxlrp.Tuning, names: list[str], minutes: float) -> str:
    """Write the page: setting, held-out areas, the best candidates of the search."""
    preset = tuning.difference(tuning.best_preset)
    lines = [
        "# Rules tuned for the bundled image classifier",
        "",
        f"`python -m tools.evaluation tune`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, "
        f"onnxruntime {onnxruntime.__version__}, {minutes:.1f} minutes of processor time.",
        f"EfficientNet-Lite0, {len(CROPS)} crops of each of {len(names)} pictures. "
        f"Searched on: {', '.join(names[::2])}; held out: {', '.join(names[1::2])}.",
        "Crops of one picture are alike, so that the intervals are narrower than those of as many pictures would be.",
        "",
        f"- {tuning.notes[0]}.",
        f"- Less the best preset there, {tuning.best_preset}: {preset.mean:.3g} [{preset.low:.3g}, {preset.high:.3g}].",
        "",
        "| composite | held-out area | 95 % interval |",
        "|---|---|---|",
    ]
    held = sorted(tuning.held_out.explanations, key=lambda name: -tuning.figure(name).mean)
    figures = (tuning.figure(name) for name in held)
    lines += [f"| `{one.explanation}` | {one.mean:.3f} | {one.low:.3f} to {one.high:.3f} |" for one in figures]
    lines += [
        "",
        "The best candidates of the search:",
        "",
        "| composite | stage | search area | samples |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{one.name}` | {one.stage} | {one.area:.3f} | {one.samples} |" for one in tuning.candidates[:12]]
    return "\n".join(lines) + "\n"
