"""Bidirectional LSTM that reads scikit-learn's digits row by row: writes models/digits_lstm."""

from pathlib import Path

import numpy as np
import torch
from common import folder, report, run_onnx, save_samples
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SAMPLES = 16
EPOCHS = 40
OPSET = 17


class DigitsLSTM(nn.Module):
    """Network from rows [N, T, 8] of pixels 0 … 16 to ten scores; the picture may have any number of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.LSTM(8, 24, batch_first=True, bidirectional=True)
        self.classify = nn.Linear(48, 10)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        _, (states, _) = self.read(rows / 16)
        return self.classify(torch.cat([states[0], states[1]], 1))


def train(rows: torch.Tensor, labels: torch.Tensor) -> DigitsLSTM:
    """Train the network for a few epochs with Adam."""
    network = DigitsLSTM()
    optimizer = torch.optim.Adam(network.parameters(), 5e-3, weight_decay=1e-5)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows)).split(64):
            loss = nn.functional.cross_entropy(network(rows[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def export(network: DigitsLSTM, example: torch.Tensor, path: Path) -> None:
    """Write the network with a symbolic batch `N` and a symbolic number of rows `T`."""
    axes = {"rows": {0: "N", 1: "T"}, "logits": {0: "N"}}
    torch.onnx.export(
        network,
        (example,),
        path,
        dynamo=False,
        input_names=["rows"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_axes=axes,
    )


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        digits.images.astype(np.float32), digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    network = train(torch.from_numpy(train_x), torch.from_numpy(train_y))
    with torch.no_grad():
        expected = network(torch.from_numpy(test_x)).numpy()
    print(f"digits_lstm: test accuracy {(expected.argmax(1) == test_y).mean():.4f} on {len(test_y)} images")

    target = folder("digits_lstm")
    save_samples(target, {"rows": test_x[:SAMPLES]}, test_y[:SAMPLES])
    path = target / "digits_lstm.onnx"
    export(network, torch.from_numpy(test_x[:2]), path)
    report(path, expected, run_onnx(path, {"rows": test_x})[0])


if __name__ == "__main__":
    main()
