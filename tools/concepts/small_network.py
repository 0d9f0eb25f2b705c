"""A small CNN: training, export, predictions."""

from __future__ import annotations

import io

import numpy as np
import onnx
import torch
from torch import nn


class SmallNetwork(nn.Module):
    """Four convolutions with batch norm, a mean over places, a dense layer: pixels 0 … 255 to scores."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        sizes = ((3, 16, 1), (16, 24, 2), (24, 32, 1), (32, 48, 2))
        self.features = nn.Sequential(*(self._block(*size) for size in sizes))
        self.classify = nn.Linear(48, classes)

    @staticmethod
    def _block(given: int, out: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(given, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features((image - 127) / 64).mean((2, 3)))


def trained(images: np.ndarray, labels: np.ndarray, classes: int, seed: int, epochs: int) -> SmallNetwork:
    """Train with Adam on batches of 64; the rate falls to 0 along half a cosine."""
    torch.manual_seed(seed)
    network, inputs, targets = SmallNetwork(classes), torch.from_numpy(images), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-len(labels) // 64))
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[rows]), targets[rows]).backward()
            optimizer.step()
            schedule.step()
    network.eval()
    return network


def exported(network: SmallNetwork) -> onnx.ModelProto:
    """Export the network with the input `image` and the output `logits`."""
    file = io.BytesIO()
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 32, 32),),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
    )
    return onnx.load_from_string(file.getvalue())


def predicted(network: SmallNetwork, images: np.ndarray) -> np.ndarray:
    """Predict the class of each picture."""
    with torch.no_grad():
        parts = [network(torch.from_numpy(images[i : i + 256])).argmax(1).numpy() for i in range(0, len(images), 256)]
    return np.concatenate(parts)
