"""Small residual CNN on scikit-learn's digits, through both torch exporters: writes models/digits_cnn."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import folder, remove_stack_traces, report, run_onnx, save_samples
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SAMPLES = 16
EPOCHS = 20
OPSET = 18


class DigitsCNN(nn.Module):
    """Network from pixels 0 … 16 to ten scores.

    The second batch norm follows an Add, so that no exporter can fold it into a Conv.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(32)
        self.max_pool = nn.MaxPool2d(2)
        self.average_pool = nn.AvgPool2d(2)
        self.classify = nn.Linear(32 * 2 * 2, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        stem = torch.relu(self.norm1(self.conv1(image / 16)))
        residual = torch.relu(self.norm2(stem + self.conv2(stem)))
        features = torch.relu(self.norm3(self.conv3(self.max_pool(residual))))
        return self.classify(self.average_pool(features).flatten(1))


def train(images: torch.Tensor, labels: torch.Tensor) -> DigitsCNN:
    """Train the network for a few epochs with Adam."""
    network = DigitsCNN()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3, weight_decay=1e-4)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def export(network: DigitsCNN, example: torch.Tensor, path: Path, dynamo: bool) -> None:
    """Write the network with a symbolic batch `N`, weights inside the file."""
    options: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "opset_version": OPSET}
    if dynamo:
        batch = {"image": {0: torch.export.Dim("N")}}
        torch.onnx.export(
            network, (example,), path, dynamo=True, dynamic_shapes=batch, external_data=False, verbose=False, **options
        )
        remove_stack_traces(path)
    else:
        axes = {"image": {0: "N"}, "logits": {0: "N"}}
        torch.onnx.export(network, (example,), path, dynamo=False, dynamic_axes=axes, **options)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    images = digits.images[:, None].astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    network = train(torch.from_numpy(train_x), torch.from_numpy(train_y))
    with torch.no_grad():
        expected = network(torch.from_numpy(test_x)).numpy()
    print(f"digits_cnn: test accuracy {(expected.argmax(1) == test_y).mean():.4f} on {len(test_y)} images")

    target = folder("digits_cnn")
    save_samples(target, {"image": test_x[:SAMPLES]}, test_y[:SAMPLES])
    for name, dynamo in (("torchscript", False), ("dynamo", True)):
        path = target / f"digits_cnn.{name}.onnx"
        export(network, torch.from_numpy(test_x[:2]), path, dynamo)
        report(path, expected, run_onnx(path, {"image": test_x})[0])


if __name__ == "__main__":
    main()
