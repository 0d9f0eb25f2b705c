"""The bundled models: outputs unchanged, ledgers closed, and the pictures say what a person sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import onnxlrp

MODELS = Path(__file__).parent.parent / "models"
FILES = sorted(p for p in MODELS.glob("*/*.onnx") if p.stem != "diabetes_regression.scaler")
COMPOSITES = ["auto", "epsilon", "epsilon_plus_flat", "epsilon_gamma_box(low=-300, high=300)", "epsilon_alpha2_beta1"]


def feeds(path: Path) -> dict[str, np.ndarray]:
    samples = path.parent / "samples.npz"
    if samples.exists():
        with np.load(samples) as archive:
            return {name: archive[name] for name in archive.files if name != "labels"}
    pictures = [MODELS / "pictures" / f"{name}.png" for name in ("coffee", "camera")]
    return {"image": np.stack([np.asarray(Image.open(p), np.float32).transpose(2, 0, 1) for p in pictures])}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_ledger_closes_and_the_outputs_stay(path, composite):
    inputs = feeds(path)
    explanation = onnxlrp.Explainer(onnxlrp.convert(path, composite, ledger=True))(inputs)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for output, expected in zip(session.get_outputs(), session.run(None, inputs), strict=True):
        if isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
            size = np.abs(expected).max()
            np.testing.assert_allclose(explanation.outputs[output.name], expected, rtol=1e-5, atol=1e-5 * size)
    table = explanation.ledger.values.astype(np.float64)
    arrived = sum(float(np.abs(r).sum()) for r in explanation.relevance.values())
    # The contract's bound is 1e-3 of Σ|R| at each step; the ledger holds signed sums, so its largest stands in.
    size = np.maximum(np.abs(table).max(1), arrived)
    open_by = np.abs(table[:, 0] - table[:, 1:].sum(1)) / size
    worst = int(open_by.argmax())
    assert open_by[worst] <= 1e-3, (explanation.ledger.names[worst], table[worst])
    total = sum(float(r.sum(dtype=np.float64)) for r in explanation.relevance.values())
    assert abs(table[0, 0] - total - table[:, 2:].sum()) <= 1e-3 * size.max()


def test_an_unsupported_scaler_is_refused_by_name():
    with pytest.raises(onnxlrp.errors.UnsupportedOperatorError, match=r"ai\.onnx\.ml::Scaler.*'Scaler'"):
        onnxlrp.convert(MODELS / "diabetes_regression" / "diabetes_regression.scaler.onnx")


def test_the_two_exports_of_one_network_have_one_explanation():
    paths = [MODELS / "digits_cnn" / f"digits_cnn.{exporter}.onnx" for exporter in ("torchscript", "dynamo")]
    inputs = feeds(paths[0])
    first, second = (onnxlrp.Explainer(onnxlrp.convert(p, "epsilon_plus_flat"))(inputs) for p in paths)
    np.testing.assert_allclose(first.relevance["image"], second.relevance["image"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("picture", "names", "box"),
    [("coffee", {"espresso", "cup"}, (60, 0, 200, 220)), ("camera", {"tripod"}, (90, 30, 224, 200))],
)
def test_the_heatmap_lies_on_the_thing(picture, names, box):
    """Rows from–to and columns from–to hold more than their share of the positive relevance."""
    folder = MODELS / "efficientnet_lite0"
    image = np.asarray(Image.open(MODELS / "pictures" / f"{picture}.png"), np.float32).transpose(2, 0, 1)[None]
    explained = onnxlrp.convert(folder / "efficientnet_lite0.onnx", "epsilon_plus")
    explanation = onnxlrp.Explainer(explained)({"image": image})
    label = (folder / "labels.txt").read_text().splitlines()[int(explanation.target[0])]
    assert label in names
    heat = explanation.relevance["image"][0].sum(0).clip(min=0)
    top, left, bottom, right = box
    inside = heat[top:bottom, left:right].sum() / heat.sum()
    area = (bottom - top) * (right - left) / heat.size
    assert inside > 1.2 * area
