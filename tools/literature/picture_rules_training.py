"""A small network of VGG's kind on pictures with a pasted piece of a photograph: the object's place is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tools.literature import training
from tools.literature.package_files import package_file

ROWS = 48


class Vgg(nn.Module):
    """Pairs of 3 × 3 convolutions with ReLU between max pools, and two dense layers; pixels are scaled in the graph."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(before, after, 3, 1, 1), nn.ReLU(), nn.Conv2d(after, after, 3, 1, 1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classify = nn.Sequential(nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features((image - 127) / 64))


def train(folder: Path, *, short: bool) -> None:
    """Train; write the model, and test pictures with their classes and the boxes of the pasted pieces."""
    package_file("skimage", "", "scikit-image==0.26.0 lazy_loader==0.6")
    from tools.make_models.pasted_pictures import NAMES, PastedPictures

    training.start()
    draw = PastedPictures(0, training=True)
    network = training.fit(Vgg(len(NAMES)), iter(lambda: draw(64), None), 300 if short else 1000, rate=2e-3, decay=0.01)
    images, labels, boxes = PastedPictures(1, training=False).with_boxes(400)
    said = training.outputs_of(network, images).argmax(axis=1)
    training.export(network, folder / "vgg.onnx", {"image": images})
    right = np.flatnonzero(said == labels)[:ROWS]
    np.savez(
        folder / "pictures.npz", image=images[right], labels=labels[right], boxes=boxes[right],
        accuracy=(said == labels).mean(),
    )  # fmt: skip
