"""U-Net that finds coins in scikit-image's photograph of them: writes models/coins_unet."""

import numpy as np
import skimage.data
import torch
from common import MEASURED
from scipy import ndimage
from suite_training import SAMPLES, start, train, write
from torch import nn

STEPS, SIDE, SPLIT = 300, 48, 240


def masked_coins() -> tuple[np.ndarray, np.ndarray]:
    """Give the photograph [303, 384], and a mask of its coins: outlines by their gradient, filled, specks removed."""
    picture = skimage.data.coins().astype(np.float32)
    smooth = ndimage.gaussian_filter(picture, 1)
    edges = ndimage.gaussian_gradient_magnitude(picture, 1) > 12
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(edges | (smooth > 150), iterations=2))
    return picture, ndimage.binary_opening(filled, iterations=5)


class Crops:
    """Draws crops [N, 1, 48, 48] of 0 … 255 and their masks; training crops are from the left of the photograph."""

    def __init__(self, seed: int, *, training: bool) -> None:
        self._random = np.random.default_rng(seed)
        part = slice(0, SPLIT) if training else slice(SPLIT, None)
        self._arrays = [array[:, part] for array in masked_coins()]

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        height, width = self._arrays[0].shape
        rows, columns = (self._random.integers(0, length - SIDE + 1, count) for length in (height, width))
        pictures, masks = (
            np.stack([a[y : y + SIDE, x : x + SIDE] for y, x in zip(rows, columns)])[:, None].astype(np.float32)
            for a in self._arrays
        )
        return pictures, masks


def layers(width: int, out: int) -> nn.Module:
    """Make two convolutions with batch norm and ReLU."""
    first, second = nn.Conv2d(width, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
    return nn.Sequential(first, nn.BatchNorm2d(out), nn.ReLU(), second, nn.BatchNorm2d(out), nn.ReLU())


class UNet(nn.Module):
    """Network from pixels 0 … 255 to a score of "coin" for each pixel, with two levels below the picture's."""

    def __init__(self) -> None:
        super().__init__()
        self.top, self.middle, self.bottom = layers(1, 8), layers(8, 16), layers(16, 32)
        self.rise1, self.rise2 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.back1, self.back2 = layers(32, 16), layers(16, 8)
        self.classify = nn.Conv2d(8, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        top = self.top((image - 100) / 50)
        middle = self.middle(nn.functional.max_pool2d(top, 2))
        bottom = self.bottom(nn.functional.max_pool2d(middle, 2))
        middle = self.back1(torch.cat([middle, self.rise1(bottom)], 1))
        return self.classify(self.back2(torch.cat([top, self.rise2(middle)], 1)))


def main() -> None:
    start()
    network = train(UNet(), Crops(0, training=True), STEPS, nn.functional.binary_cross_entropy_with_logits)
    images, masks = Crops(1, training=False)(SAMPLES + MEASURED)
    scores = write("coins_unet", network, {"image": images}, masks.astype(bool), "coin")
    print(f"coins_unet: {((scores > 0) == (masks > 0.5)).mean():.4f} of the pixels, {masks.mean():.3f} of them coins")


if __name__ == "__main__":
    main()
