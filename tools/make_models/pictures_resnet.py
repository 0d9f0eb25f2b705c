"""Residual CNN with batch norm on colour pictures with a pasted piece: writes models/pictures_resnet."""

import torch
from common import MEASURED
from pasted_pictures import NAMES, PastedPictures
from suite_training import SAMPLES, accuracy, start, train, write
from torch import nn

STEPS = 700


class Block(nn.Module):
    """Two convolutions with batch norm beside a skip; a skip that changes the size is a convolution itself."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.Conv2d(out, out, 3, 1, 1)
        self.norm1, self.norm2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        narrow = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.skip = narrow if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.skip(x) + self.norm2(self.second(torch.relu(self.norm1(self.first(x))))))


class ResNet(nn.Module):
    """Network from pixels 0 … 255 to six scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 48, 2))
        self.classify = nn.Linear(48, len(NAMES))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classify(self.blocks(self.stem((image - 127) / 64)).mean((2, 3)))


def main() -> None:
    start()
    network = train(ResNet(), PastedPictures(0, training=True), STEPS)
    images, labels = PastedPictures(1, training=False)(SAMPLES + MEASURED)
    accuracy("pictures_resnet", write("pictures_resnet", network, {"image": images}, labels, "logits"), labels)


if __name__ == "__main__":
    main()
