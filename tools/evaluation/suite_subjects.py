"""Trained models that `auto` is judged on, one of every kind that people deploy, and the rows that it is judged by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tools.evaluation.pictures import bundled_pictures, cut_pictures

ROOT = Path(__file__).parents[2] / "models"
Part = Literal["choice", "table"]
"""Rows by which rules are chosen, and rows of the table that is published."""


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A model in `models/`, and how it is measured."""

    folder: str
    kind: str
    """Kind of model, in words."""
    file: str = ""
    """Name of the file without `.onnx`; empty if it is the folder's."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of `onnxlrp.evaluate`."""
    rows: Callable[[Path, Part], np.ndarray] | None = None
    """Function that reads the rows; None for half of `measured.npz`."""
    baseline: Callable[[Path], np.ndarray] | None = None
    """Function that reads the values of removed parts; None where `options` or the kind of input decide."""

    @property
    def path(self) -> Path:
        return ROOT / self.folder / f"{self.file or self.folder}.onnx"

    def read(self, part: Part) -> np.ndarray:
        """Read the rows of one part: the first half of the model's rows, or the second."""
        if self.rows is not None:
            return self.rows(self.path.parent, part)
        every = _measured(self.path.parent)
        return every[: len(every) // 2] if part == "choice" else every[len(every) // 2 :]

    def arguments(self) -> dict[str, Any]:
        """Give the arguments of `onnxlrp.evaluate`."""
        found = dict(self.options)
        if self.baseline is not None:
            found["baseline"] = self.baseline(self.path.parent)
        return found


def _measured(folder: Path) -> np.ndarray:
    with np.load(folder / "measured.npz") as archive:
        return next(archive[name] for name in archive.files if name != "labels")


def _photographs(folder: Path, part: Part) -> np.ndarray:
    return bundled_pictures() if part == "choice" else cut_pictures()


def _usual_row(folder: Path) -> np.ndarray:
    """Average the samples of class 0, which are the usual ones."""
    with np.load(folder / "samples.npz") as archive:
        return archive["columns"][archive["labels"] == 0].mean(0, keepdims=True)


_BAG = np.arange(10)[:, None]
"""Labels of the parts of a bag: its instances."""

SUBJECTS = (
    Subject("pictures_resnet", "RGB pictures: residual CNN, batch norm, ReLU"),
    Subject("pictures_vit", "RGB pictures: vision transformer, GELU"),
    Subject("efficientnet_lite0", "photographs: EfficientNet-Lite0, ReLU6", rows=_photographs),
    Subject("digits_cnn", "digits: residual CNN, ReLU", "digits_cnn.torchscript", {"baseline": "zero"}),
    Subject("satellite_cnn", "four-channel pictures: depthwise CNN, SiLU, gates"),
    Subject("coins_unet", "segmentation of grey pictures: U-Net, one pixel", options={"target_kind": "element"}),
    Subject("motions_tcn", "series: dilated 1-D convolutions, ReLU"),
    Subject("vowels_lstm", "series: LSTM, tanh", options={"baseline": "other_samples"}),
    Subject("digits_lstm", "digits, row by row: bidirectional LSTM", options={"baseline": "zero"}),
    Subject("breast_cancer_mlp", "table: MLP, ReLU, sigmoid end"),
    Subject("wine_mlp", "table: MLP, ReLU, softmax end"),
    Subject("diabetes_regression", "table: regression"),
    Subject("tissue_autoencoder", "table: reconstruction error of an autoencoder, GELU", baseline=_usual_row),
    Subject("sentences_transformer", "text: transformer, GELU", options={"mask_token": 4}),
    Subject("bags_attention", "bags: gated attention", options={"units": _BAG}),
)
"""Every model of the suite."""
