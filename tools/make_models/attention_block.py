"""Block of a transformer, which the suite's picture and text networks share."""

import torch
from torch import nn


class Block(nn.Module):
    """Attention and a dense part with GELU, each upon its layer norm and beside a skip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm1, self.norm2 = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        normed = self.norm1(x)
        query, key, value = (self._split(layer(normed)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        weights = torch.softmax(scores if mask is None else scores + mask, -1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        return x + self.dense(self.norm2(x))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)
