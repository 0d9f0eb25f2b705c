"""Other methods of explanation beside LRP, ranked by `onnxlrp.evaluate` on the bundled image classifier (minutes, one
core)."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import onnxruntime

import onnxlrp
from tools.evaluation.tuned_classifier import CROPS, MODEL, crop, pictures

PAGE = Path(__file__).parent / "methods.md"
PATCH = 16
COMPOSITES = (
    "auto",
    "epsilon_plus",
    "epsilon_gamma_box(low=0, high=255)",
    "epsilon",
    "deep_lift(baseline=127)",
    "integrated_gradients(steps=32, baseline=127)",
    "smooth_grad(sigma=20)",
    "grad_cam",
    "layer_cam",
    "guided_backprop",
)


def main() -> None:
    """Evaluate, and write the page."""
    shown = dict(sorted(pictures()))
    x = np.stack([crop(picture, *place) for picture in shown.values() for place in CROPS[:2]])
    found = onnxlrp.evaluate(
        MODEL, {"image": x}, COMPOSITES, measures=["perturbation"], unit_size=PATCH, providers=["CPUExecutionProvider"]
    )
    PAGE.write_text(_page(found, list(shown), len(x)))
    print(found)


def _page(found: onnxlrp.Evaluation, names: list[str], count: int) -> str:
    ranked = sorted(found.explanations, key=lambda name: -found.figure(name).mean)
    figures = (found.figure(name) for name in ranked)
    lines = [
        "# Other methods beside LRP",
        "",
        f"`python -m tools.evaluation methods`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, "
        f"onnxruntime {onnxruntime.__version__}.",
        f"EfficientNet-Lite0, {count} crops of {len(names)} pictures ({', '.join(names)}). Patches of {PATCH} × "
        f"{PATCH} pixels are removed in 20 steps, and the picture's mean colour takes their place.",
        "The area lies between the curves of the score as the least and as the most relevant patches are removed "
        "([how it measures](../../docs/evaluate.md)); more is better.",
        "",
        "| explanation | area | 95 % interval |",
        "|---|---|---|",
    ]
    lines += [f"| `{one.explanation}` | {one.mean:.2f} | {one.low:.2f} to {one.high:.2f} |" for one in figures]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
