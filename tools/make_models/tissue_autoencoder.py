"""Autoencoder of benign tissue (scikit-learn's breast cancer table), whose error is the score of an anomaly: writes
models/tissue_autoencoder."""

import numpy as np
import torch
from common import MEASURED, folder, save_lines
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from suite_training import SAMPLES, draw_from, start, train, write
from torch import nn

STEPS = 1500


class Autoencoder(nn.Module):
    """Network from 30 columns to the squared error of their reconstruction, in standard deviations of benign rows."""

    def __init__(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("deviation", torch.from_numpy(deviation))
        self.encode = nn.Sequential(nn.Linear(30, 16), nn.GELU(), nn.Linear(16, 5))
        self.decode = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Linear(16, 30))

    def forward(self, columns: torch.Tensor) -> torch.Tensor:
        standard = (columns - self.mean) / self.deviation
        return ((standard - self.decode(self.encode(standard))) ** 2).sum(1, keepdim=True)


def main() -> None:
    start()
    table = load_breast_cancer()
    random = np.random.default_rng(0)
    rows, benign = table.data.astype(np.float32), random.permutation(np.flatnonzero(table.target == 1))
    known, unseen = benign[:280], benign[280:]
    network = Autoencoder(rows[known].mean(0), rows[known].std(0))
    train(network, draw_from(rows[known], table.target[known], random), STEPS, lambda error, _: error.mean())

    malignant = random.permutation(np.flatnonzero(table.target == 0))
    half = SAMPLES // 2
    chosen = np.concatenate([unseen[:half], malignant[:half], malignant[half : half + MEASURED]])
    scores = write("tissue_autoencoder", network, {"columns": rows[chosen]}, 1 - table.target[chosen], "error")
    save_lines(folder("tissue_autoencoder") / "features.txt", list(table.feature_names))
    with torch.no_grad():
        usual = network(torch.from_numpy(rows[unseen])).numpy()
    anomalies = scores[table.target[chosen] == 0]
    truth = np.concatenate([np.zeros(len(usual)), np.ones(len(anomalies))])
    print(
        f"tissue_autoencoder: area under the ROC curve {roc_auc_score(truth, np.concatenate([usual, anomalies])):.4f}"
    )


if __name__ == "__main__":
    main()
