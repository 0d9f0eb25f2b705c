"""Rules side by side on pictures (Montavon et al. 2019): LRP-0, ε, γ, z⁺ and the composite, with their characters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import onnxlrp
from onnxlrp.composites import Epsilon, GradientXInput, Lrp0, Overridden, VggOverview
from onnxlrp.rules import Epsilon as EpsilonRule
from onnxlrp.rules import Gamma, Rule, ZPlus
from tools.literature import figures, pages

MODELS = Path(__file__).parents[2] / "models"
CLASSIFIER = MODELS / "efficientnet_lite0" / "efficientnet_lite0.onnx"
OBJECTS = Path(__file__).parent / "objects.json"
MEASURES = ("perturbation", "complexity", "localisation")
_DRAWN = 3
"""Pictures of each network in the figure."""


def _everywhere(rule: Rule) -> Overridden:
    return Overridden(Epsilon(), (("Conv", rule), ("Gemm", rule)))


RULES: Mapping[str, Any] = {
    "LRP-0": Lrp0(),
    "ε = 0.25 std": _everywhere(EpsilonRule(1e-9, relative=0.25)),
    "γ = 0.25": _everywhere(Gamma(0.25)),
    "z⁺": _everywhere(ZPlus()),
    "vgg_overview": VggOverview(low=0, high=255),
    "gradient × input": GradientXInput(),
}


def explain(folder: Path, *, short: bool) -> pages.Found:
    """Measure every rule on both networks, against the places of the objects."""
    small = dict(np.load(folder / "pictures.npz"))
    images, targets, masks = hand_drawn()
    subjects = {"VGG-like": (folder / "vgg.onnx", small["image"], small["labels"], boxes_as_masks(small), 4)}
    if not short:
        both = (np.concatenate([array, array[..., ::-1]]) for array in (images, masks))
        subjects["EfficientNet-Lite0"] = (CLASSIFIER, next(both), np.tile(targets, 2), next(both), 16)
    numbers: dict[str, float] = {"accuracy": float(small["accuracy"])}
    rows, drawn = [], {}
    for network, (path, x, y, mask, patch) in subjects.items():
        relevance = {name: _relevance(path, x, y, rule) for name, rule in RULES.items()}
        measured = onnxlrp.evaluate(
            path, {"image": x}, ["auto"], explanations=relevance, beside=["random"], target=y, masks=mask,
            measures=MEASURES, unit_size=patch, providers=["CPUExecutionProvider"],
        )  # fmt: skip
        for name in (*RULES, "auto", "random"):
            found = [measured.figure(name, part).mean for part in ("area", "complexity", "localisation")]
            rows.append([network, name, *found])
            for part, value in zip(("area", "entropy", "inside"), found):
                numbers[f"{network}, {name}, {part}"] = value
        numbers[f"{network}, covered"] = float(mask.mean())
        if not short:
            drawn[f"picture_rules_{network.split('-')[0].lower()}.png"] = _figure(x, mask, relevance)
    header = ["network", "rule", "area of deletion", "entropy", "share inside the object"]
    return pages.Found(numbers, {"rules": pages.table(header, rows)}, drawn)


def hand_drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the bundled pictures with an outlined object -> [N, 3, 224, 224], classes [N], masks [N, 224, 224]."""
    objects = json.loads(OBJECTS.read_text())
    images, masks = [], []
    for name, one in objects.items():
        image = Image.open(MODELS / "pictures" / f"{name}.png").convert("RGB")
        mask = Image.new("1", image.size)
        ImageDraw.Draw(mask).polygon([tuple(point) for point in one["polygon"]], fill=1)
        images.append(np.asarray(image, np.float32).transpose(2, 0, 1))
        masks.append(np.asarray(mask))
    return np.stack(images), np.array([one["class"] for one in objects.values()]), np.stack(masks)


def boxes_as_masks(pictures: Mapping[str, np.ndarray]) -> np.ndarray:
    """Fill the boxes of the pasted pieces."""
    masks = np.zeros((len(pictures["boxes"]), *pictures["image"].shape[2:]), bool)
    for mask, (left, top, right, bottom) in zip(masks, pictures["boxes"]):
        mask[top:bottom, left:right] = True
    return masks


def _relevance(path: Path, x: np.ndarray, y: np.ndarray, rule: Any) -> np.ndarray:
    explainer = onnxlrp.Explainer(onnxlrp.convert(path, rule))
    parts = [explainer({"image": x[n : n + 8]}, target=y[n : n + 8]).relevance["image"] for n in range(0, len(x), 8)]
    return np.concatenate(parts)


def _figure(x: np.ndarray, masks: np.ndarray, relevance: Mapping[str, np.ndarray]) -> Any:
    """Draw pictures with the outline of their object, and the relevance by every rule."""
    count = min(_DRAWN, len(x))
    figure, axes = figures.canvas(1.55 * (len(relevance) + 1), 1.62 * count + 0.2, count, len(relevance) + 1)
    for row in range(count):
        axes[row, 0].imshow(x[row].transpose(1, 2, 0).astype(np.uint8))
        axes[row, 0].contour(masks[row], [0.5], colors="white", linewidths=1.2)
        for place, one in zip(axes[row, 1:], relevance.values()):
            shown = one[row].sum(axis=0)
            limit = float(np.quantile(np.abs(shown), 0.995)) or 1.0
            place.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for place, name in zip(axes[0], ("picture", *relevance)):
        place.set_title(name, fontsize=9)
    for place in axes.flat:
        place.axis("off")
    return figure
