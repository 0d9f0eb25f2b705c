"""Colour pictures of which a small part tells the class: a piece of a photograph pasted onto a tinted texture."""

import numpy as np
import skimage.data
from PIL import Image

NAMES = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "retina", "rocket")
"""Photographs, all of them CC0 or in the public domain; their places are the classes."""
TEXTURES = ("brick", "grass", "gravel")
SIDE, PIECE = 32, 14


class PastedPictures:
    """Draws pictures [N, 3, 32, 32] of whole numbers from 0 to 255, and the photograph that the pasted piece is from.

    Backgrounds are of one half of the textures, so that those of training and test differ. `piece` is the side of the
    piece in pixels.
    """

    def __init__(self, seed: int, *, training: bool, piece: int = PIECE) -> None:
        self._random, self._piece = np.random.default_rng(seed), piece
        self._photographs = [_small(getattr(skimage.data, name)(), 96) for name in NAMES]
        halves = slice(0, 96) if training else slice(96, 192)
        self._textures = [_small(getattr(skimage.data, name)(), 192)[:, halves] for name in TEXTURES]

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels, _ = self.with_boxes(count)
        return images, labels

    def with_boxes(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw pictures, labels, and the boxes (left, top, right, bottom) of the pasted pieces [N, 4]."""
        labels = self._random.integers(0, len(NAMES), count)
        images, boxes = zip(*(self._draw(label) for label in labels), strict=True)
        return np.stack(images), labels, np.array(boxes)

    def _draw(self, label: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """Draw one picture, a tinted background and the piece anywhere on it; returns it with the piece's box."""
        texture = self._textures[self._random.integers(len(TEXTURES))]
        tint = self._random.uniform(0.5, 1.3, 3)
        picture = self._crop(texture, SIDE) * tint + self._random.normal(0, 8, (SIDE, SIDE, 3))
        piece = self._piece
        down, along = self._random.integers(0, SIDE - piece + 1, 2)
        picture[down : down + piece, along : along + piece] = self._crop(self._photographs[label], piece)
        image = np.rint(picture.clip(0, 255)).astype(np.float32).transpose(2, 0, 1)
        return image, (along, down, along + piece, down + piece)

    def _crop(self, picture: np.ndarray, side: int) -> np.ndarray:
        down, along = (self._random.integers(0, length - side + 1) for length in picture.shape[:2])
        return picture[down : down + side, along : along + side].astype(np.float64)


def _small(picture: np.ndarray, side: int) -> np.ndarray:
    """Cut the largest centred square and resize it."""
    image = Image.fromarray(picture).convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return np.asarray(image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC))
