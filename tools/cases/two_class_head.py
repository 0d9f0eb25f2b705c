"""Binary classifiers with both probabilities as output, [1 − p, p]: class 0 must have class 1's relevance negated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skl2onnx import to_onnx
from sklearn import calibration, datasets, ensemble, linear_model, neural_network, preprocessing, svm
from torch import nn

from tools.cases.lib import Array, Table, correlation, effects, explain, export, quietly, runner

COMPOSITES = ("auto", "epsilon")


class Both(nn.Module):
    """Network with the output [1 − p, p] of one score."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x: Any) -> Any:
        p = torch.sigmoid(self.score(x))
        return torch.cat([1 - p, p], 1)


class Halves(nn.Module):
    """Softmax of [−z/2, z/2], which is the same function."""

    def __init__(self, of: Both) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Any) -> Any:
        z = self.of.score(x) / 2
        return torch.softmax(torch.cat([-z, z], 1), 1)


def data() -> tuple[Array, Array]:
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return preprocessing.StandardScaler().fit_transform(x).astype(np.float32), y


def trained(x: Array, y: Array) -> Both:
    torch.manual_seed(0)
    net, inputs, classes = Both(x.shape[1]), torch.tensor(x), torch.tensor(y)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2, weight_decay=1e-3)
    for _ in range(120):
        optimiser.zero_grad()
        chosen = net(inputs).clamp(1e-6)[torch.arange(len(y)), classes]
        (-chosen.log().mean()).backward()
        optimiser.step()
    return net


def judge(table: Table, name: str, model: Any, x: Array, feed: str, output: str, least: float) -> None:
    """Compare both classes with the effect of a column on the class's logit, and with each other."""
    run = runner(model, output, feed)
    probabilities = run(x)
    # Near 1 a float32 probability has lost the logit's digits, and near 0 the ε of a sum keeps a share of it.
    sure = probabilities.max(1) > 0.95

    def logit(target: int) -> Any:
        def score(rows: Array) -> Array:
            p = np.clip(run(rows)[:, target].astype(float), 1e-7, 1 - 1e-7)
            return np.log(p / (1 - p))

        return score

    for composite in COMPOSITES:

        def figure(composite: str = composite) -> tuple[bool, str]:
            found, apart = [], 0.0
            for target in (0, 1):
                rows = x[(probabilities.argmax(1) == target) & ~sure][:12]
                maps = [
                    explain(model, rows, composite, feed=feed, target=t, output=output).relevance[feed] for t in (0, 1)
                ]
                assert len(rows) >= 5
                found.append(float(correlation(maps[target], effects(logit(target), rows)).mean()))
                apart = max(apart, float(np.abs(maps[0] + maps[1]).max() / np.abs(maps[1]).max()))
            text = f"correlation, class 0 {found[0]:5.2f}, class 1 {found[1]:5.2f}; R0 + R1 {apart:.0e} of R1"
            return min(found) >= least and apart < 1e-4, text

        table.attempt(f"{name}, {composite}", figure)


def main() -> int:
    """Require a correlation of at least .95 for either class (a positive one for trees, whose yardstick differs), and
    R0 = −R1."""
    x, y = data()
    net = trained(x, y)
    table = Table("both classes of a binary classifier")
    for title, module, dynamo in (
        ("torch [1 - p, p]", net, False),
        ("torch [1 - p, p], dynamo", net, True),
        ("torch softmax([-z/2, z/2])", Halves(net), False),
        ("torch softmax([-z/2, z/2]), dynamo", Halves(net), True),
    ):
        judge(table, title, export(module, torch.tensor(x[:3]), dynamo=dynamo), x, "x", "y", 0.95)
    forest = ensemble.RandomForestClassifier(20, max_depth=4, random_state=0)
    for title, model, least in (
        ("MLPClassifier", neural_network.MLPClassifier((24,), max_iter=60, random_state=0), 0.95),
        ("LogisticRegression", linear_model.LogisticRegression(), 0.95),
        ("calibrated LinearSVC", calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2), 0.95),
        ("calibrated forest", calibration.CalibratedClassifierCV(forest, cv=2), 0.0),
    ):
        with quietly():
            proto = to_onnx(model.fit(x, y), x[:1], options={"zipmap": False})
        judge(table, title, proto, x, "X", "probabilities", least)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
