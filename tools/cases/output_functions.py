"""Output functions of one linear score: everything that raises the output must have positive relevance, for either
sign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tools.cases.lib import Array, Table, correlation, effects, explain, export, runner

COMPOSITES = ("auto", "epsilon")
WIDTH = 8


def both(p: Any) -> Any:
    return torch.cat([1 - p, p], 1)


def with_zero(z: Any) -> Any:
    return torch.cat([torch.zeros_like(z), z], 1)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": torch.sigmoid,
    "5 * sigmoid": lambda z: 5 * torch.sigmoid(z),
    "5 - 4 * sigmoid": lambda z: 5 - 4 * torch.sigmoid(z),
    "clamp(sigmoid)": lambda z: torch.clamp(torch.sigmoid(z), 1e-7, 1 - 1e-7),
    "1 - sigmoid": lambda z: 1 - torch.sigmoid(z),
    "[1 - p, p]": lambda z: both(torch.sigmoid(z)),
    "sigmoid ** 2": lambda z: torch.sigmoid(z) ** 2,
    "sigmoid(-z)": lambda z: torch.sigmoid(-z),
    "log(sigmoid)": lambda z: torch.log(torch.sigmoid(z)),
    "logsigmoid": functional.logsigmoid,
    "exp": torch.exp,
    "exp - 1": lambda z: torch.exp(z) - 1,
    "expm1": torch.expm1,
    "softplus": functional.softplus,
    "elu + 1": lambda z: functional.elu(z) + 1,
    "exp(-softplus)": lambda z: torch.exp(-functional.softplus(z)),
    "1 / (1 + exp(z))": lambda z: 1 / (1 + torch.exp(z)),
    "mean of two sigmoids": lambda z: (torch.sigmoid(z) + torch.sigmoid(0.5 * z)) / 2,
    "hardsigmoid": functional.hardsigmoid,
    "tanh": torch.tanh,
    "(tanh + 1) / 2": lambda z: (torch.tanh(z) + 1) / 2,
    "softmax([0, z])": lambda z: torch.softmax(with_zero(z), 1),
    "exp(-z ** 2 / 2)": lambda z: torch.exp(-(z**2) / 2),
    "normal cdf": lambda z: 0.5 * (1 + torch.erf(z / 2**0.5)),
    "1.1 ** z": lambda z: 1.1**z,
    "sqrt(softplus)": lambda z: torch.sqrt(functional.softplus(z)),
    "1 - exp(-exp)": lambda z: 1 - torch.exp(-torch.exp(z)),
    "objectness * class": lambda z: torch.sigmoid(z) * torch.sigmoid(0.7 * z + 0.1),
}
DYNAMO = ("sigmoid", "[1 - p, p]", "logsigmoid", "softplus", "hardsigmoid", "softmax([0, z])", "expm1")


class Linear(nn.Module):
    """Module that applies a function to a linear score."""

    def __init__(self, function: Callable[[Any], Any], bias: float) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(WIDTH, 1), function
        generator = torch.Generator().manual_seed(3)
        self.layer.weight.data.uniform_(-0.35, 0.35, generator=generator)
        self.layer.bias.data.fill_(bias)

    def forward(self, x: Any) -> Any:
        return self.function(self.layer(x))


def rows(net: Linear, sign: int) -> Array:
    """Draw inputs whose score has this sign and is not near 0."""
    x = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return x[net.layer(x)[:, 0] * sign > 0.5].numpy()


def cells(function: Callable[[Any], Any], dynamo: bool) -> list[float]:
    """Compute the mean correlation of relevance with effects, for each sign of the score, composite and element."""
    found = []
    for sign in (1, -1):
        net = Linear(function, 0.3 * sign).eval()
        x = rows(net, sign)
        model = export(net, torch.tensor(x), dynamo=dynamo)
        run = runner(model)
        for element in range(run(x).shape[1]):
            effect = effects(lambda q, e=element: run(q)[:, e], x)
            maps = [explain(model, x, c, target=element).relevance["x"] for c in COMPOSITES]
            found += [float(correlation(r, effect).mean()) for r in maps]
    return found


def main() -> int:
    """Require a correlation of at least .95 in every cell."""
    table = Table("lowest correlation of relevance with effects, over both signs of the score and two composites")
    torch.manual_seed(0)
    # Only torch's newer exporter knows expm1.
    kinds = [(n, False) for n in FUNCTIONS if n != "expm1"] + [(n, True) for n in DYNAMO]
    for name, dynamo in kinds:

        def figure(name: str = name, dynamo: bool = dynamo) -> tuple[bool, str]:
            found = np.array(cells(FUNCTIONS[name], dynamo))
            return found.min() >= 0.95, f"{found.min():5.2f}"

        table.attempt(name + (", dynamo" if dynamo else ""), figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
