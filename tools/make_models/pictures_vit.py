"""Vision transformer on colour pictures with a pasted piece: writes models/pictures_vit."""

import torch
from attention_block import Block
from common import MEASURED
from pasted_pictures import NAMES, PastedPictures
from suite_training import SAMPLES, accuracy, start, train, write
from torch import nn

STEPS, WIDTH, HEADS, PATCH = 1500, 48, 4, 4


class VisionTransformer(nn.Module):
    """Network from pixels 0 … 255 to six scores: patches of 4 × 4, two blocks, the mean over all places."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.places = nn.Parameter(torch.randn(1, 64, WIDTH) * 0.02)
        self.blocks = nn.Sequential(Block(WIDTH, HEADS), Block(WIDTH, HEADS))
        self.norm, self.classify = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(NAMES))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patches((image - 127) / 64).flatten(2).transpose(1, 2)
        return self.classify(self.norm(self.blocks(tokens + self.places)).mean(1))


def main() -> None:
    start()
    network = train(VisionTransformer(), PastedPictures(0, training=True), STEPS)
    images, labels = PastedPictures(3, training=False)(SAMPLES + MEASURED)
    accuracy("pictures_vit", write("pictures_vit", network, {"image": images}, labels, "logits"), labels)


if __name__ == "__main__":
    main()
