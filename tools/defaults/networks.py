"""Small networks of the kinds that people deploy, each trained in seconds on data that come with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Task:
    """A network, its training data, and the number of steps; elements along axis `channels` are deleted together."""

    name: str
    network: Callable[[], nn.Module]
    batch: Callable[[int], tuple[Tensor, Tensor]]
    steps: int
    channels: int | None = None


# ---------------------------------------------------------------------------------------------------- data


def digits() -> Callable[[int], tuple[Tensor, Tensor]]:
    """Draw handwritten digits, 8 × 8 pixels, standardised."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    pictures = torch.tensor(x.reshape(-1, 1, 8, 8), dtype=torch.float32)
    pictures, labels = (pictures - pictures.mean()) / pictures.std(), torch.tensor(y)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        rows = torch.randint(0, len(labels), (count,))
        return pictures[rows], labels[rows]

    return draw


def columns(count: int) -> tuple[Tensor, Tensor]:
    """Draw ten standardised columns: the class depends on products and sums of a few of them."""
    x = torch.randn(count, 10)
    return x, (x[:, 0] * x[:, 1] + x[:, 2] > 0).long() + 2 * (x[:, 3] - 0.5 * x[:, 4] > 0).long()


def series(count: int) -> tuple[Tensor, Tensor]:
    """Draw noise of two channels with one of three waves in the first, somewhere."""
    x, y, place = torch.randn(count, 2, 64) * 0.3, torch.randint(0, 3, (count,)), torch.randint(6, 58, (count,))
    t = torch.arange(-5, 6).float()
    waves = 2 * torch.stack([torch.exp(-(t**2) / 4), -torch.exp(-(t**2) / 4), torch.sin(t)])
    for i in range(count):
        x[i, 0, place[i] - 5 : place[i] + 6] += waves[y[i]]
    return x, y


def shapes(count: int) -> tuple[Tensor, Tensor]:
    """Draw noise in colour, 16 × 16, with a bar, a beam, a diagonal or a dark patch somewhere."""
    x, y, place = torch.randn(count, 3, 16, 16) * 0.5, torch.randint(0, 4, (count,)), torch.randint(2, 10, (count, 2))
    bar, patch = torch.zeros(4, 4), torch.zeros(4, 4)
    bar[:, 1], patch[1:3, 1:3] = 1, -1
    kinds = torch.stack([bar, bar.T, torch.eye(4), patch])
    for i in range(count):
        down, along = place[i].tolist()
        x[i, :, down : down + 4, along : along + 4] += 2 * kinds[y[i]]
    return x, y


def pairs(count: int) -> tuple[Tensor, Tensor]:
    """Draw a query and six items of a key and a value each, in any order: the class is the value of the query's key."""
    keys, values = torch.rand(count, 6).argsort(1), torch.randint(0, 3, (count, 6))
    rows, asked = torch.arange(count), torch.randint(0, 6, (count,))
    x = torch.zeros(count, 7, 9)
    x[:, 0, :6], x[:, 1:, :6] = F.one_hot(keys[rows, asked], 6).float(), F.one_hot(keys, 6).float()
    x[:, 1:, 6:] = F.one_hot(values, 3).float()
    return x + torch.randn_like(x) * 0.05, values[rows, asked]


# ---------------------------------------------------------------------------------------------------- networks


def plain(activation: Callable[[], nn.Module]) -> nn.Module:
    """Make three convolutions, as in VGG."""
    a, b, c = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, 2, padding=1)
    layers = (a, activation(), b, activation(), c, activation())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


class Residual(nn.Module):
    """Two convolutions with batch norm beside a skip; `cut` adds a ReLU on their sum."""

    def __init__(self, width: int, cut: bool) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.n, self.m = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.m(self.b(F.relu(self.n(self.a(x)))))
        return F.relu(y) if self.cut else y


def residual(cut: bool) -> nn.Module:
    """Make a stem and three residual blocks."""
    blocks = [Residual(16, cut) for _ in range(3)]
    stem = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))


def waves() -> nn.Module:
    """Make three dilated convolutions over one axis."""
    layers: list[nn.Module] = []
    for i, d in ((2, 1), (16, 2), (16, 4)):
        layers += [nn.Conv1d(i, 16, 5, padding=2 * d, dilation=d), nn.BatchNorm1d(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(64, 3))


class Gated(nn.Module):
    """Two gated linear units and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.o = nn.Linear(10, 64), nn.Linear(32, 64), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(F.glu(self.b(F.glu(self.a(x)))))


class Block(nn.Module):
    """A transformer block; `pooled` computes keys and values by depthwise convolutions over two axes, as in CvT."""

    def __init__(self, width: int, pooled: bool = False) -> None:
        super().__init__()
        self.n, self.m = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.pools = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1, groups=width) for _ in range(2 if pooled else 0))
        self.f = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q = k = v = self.n(x)
        if self.pools:
            side = int(tokens**0.5)
            grid = q.transpose(1, 2).reshape(n, width, side, side)
            k, v = (pool(grid).flatten(2).transpose(1, 2) for pool in self.pools)
        projected = (layer(t) for layer, t in ((self.q, q), (self.k, k), (self.v, v)))
        q, k, v = (t.reshape(n, -1, 2, width // 2).transpose(1, 2) for t in projected)
        weights = torch.softmax(q @ k.transpose(-1, -2) / (width // 2) ** 0.5, -1)
        x = x + self.o((weights @ v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.f(self.m(x))


class Transformer(nn.Module):
    """Two blocks over patches of a picture (`stem`), or over items of which the first is the query."""

    def __init__(self, stem: nn.Module | None, pooled: bool = False, gated: bool = False) -> None:
        super().__init__()
        self.stem, self.items, self.places = stem, nn.Linear(9, 16), nn.Parameter(torch.randn(1, 7, 16) * 0.1)
        self.blocks = nn.Sequential(Block(16, pooled), Block(16, pooled))
        self.gate = nn.Linear(16, 32) if gated else None
        self.o = nn.Linear(16, 3 if stem is None else 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.stem is None:
            y = self.blocks(self.items(x) + self.places)[:, 0]
        else:
            y = self.blocks(self.stem(x).flatten(2).transpose(1, 2)).mean(1)
        return self.o(y if self.gate is None else F.glu(self.gate(y)))


def patches() -> nn.Module:
    return nn.Conv2d(3, 16, 4, 4)


def pyramid() -> nn.Module:
    first, second = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1)
    return nn.Sequential(first, nn.BatchNorm2d(16), nn.ReLU(), second, nn.ReLU())


def tasks() -> list[Task]:
    """List all networks of the test."""
    written = digits()
    activations = {"ReLU": nn.ReLU, "tanh": nn.Tanh, "ELU": nn.ELU, "SiLU": nn.SiLU}
    return [
        *(Task(f"digits, {name}", lambda a=a: plain(a), written, 200) for name, a in activations.items()),
        Task("digits, residual", lambda: residual(True), written, 200),
        Task("digits, linear bottlenecks", lambda: residual(False), written, 200),
        Task("series, 1-D convolutions", waves, series, 100),
        Task("columns, gated units", Gated, columns, 300),
        Task("shapes, vision transformer", lambda: Transformer(patches()), shapes, 250, 0),
        Task("shapes, pooled attention", lambda: Transformer(pyramid(), True), shapes, 150, 0),
        Task("items, transformer", lambda: Transformer(None), pairs, 1200),
        Task("items, transformer and gate", lambda: Transformer(None, gated=True), pairs, 1200),
    ]
