"""Deletion test on the bundled image classifier and pictures: 14 × 14 patches are set to a picture's mean colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from PIL import Image

import onnxlrp
from onnxlrp.composites import EpsilonGammaBox
from tools.defaults.measure import COMPOSITES, Score, deletion_area

ROOT = Path(__file__).parents[2] / "models"
PATCH, STEPS = 16, 21


def measure_pictures() -> dict[str, np.ndarray]:
    """Give the deletion area of every bundled picture, by composite."""
    path = next((ROOT / "efficientnet_lite0").glob("*.onnx"))
    session, score = _scores(path)
    found: dict[str, list[float]] = {}
    for name in COMPOSITES:
        composite = EpsilonGammaBox(0.0, 255.0) if name.endswith("box") else name
        explainer = onnxlrp.Explainer(onnxlrp.convert(path, composite))
        for x in _pictures():
            chosen = int(session.run([score], {"image": x[None]})[0].argmax())
            r = explainer({"image": x[None]}, target=chosen).relevance["image"][0].sum(0)
            patches = r.reshape(14, PATCH, 14, PATCH).sum((1, 3))
            found.setdefault(name, []).append(deletion_area(_deleted(session, score, x, chosen), patches, STEPS))
    return {name: np.array(areas) for name, areas in found.items()}


def _deleted(session: ort.InferenceSession, score: str, x: np.ndarray, chosen: int) -> Score:
    """Make a function of masks that scores the class with the masked patches deleted."""
    mean = x.mean((1, 2), keepdims=True)

    def run(masks: np.ndarray) -> np.ndarray:
        gone = masks.repeat(PATCH, 1).repeat(PATCH, 2)[:, None]
        return session.run([score], {"image": np.where(gone, mean, x).astype(np.float32)})[0][:, chosen]

    return run


def _pictures() -> list[np.ndarray]:
    files = sorted((ROOT / "pictures").glob("*.*g"))
    resized = (Image.open(f).convert("RGB").resize((224, 224)) for f in files)
    return [np.asarray(picture, np.float32).transpose(2, 0, 1) for picture in resized]


def _scores(path: Path) -> tuple[ort.InferenceSession, str]:
    """Open the model with the explained score as an output, and return that output's name."""
    score = str(onnxlrp.inspect(path).graph.nodes["score"]["value"])
    model = onnx.load(path)
    if score not in {o.name for o in model.graph.output}:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(score))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options), score
