"""Shrinking of large arrays to pictures of bounded size."""

from __future__ import annotations

import numpy as np

PIXELS = 1 << 24
"""Most pixels of a picture that is drawn."""
LONGEST = 8192
"""Most pixels of such a picture on a side."""
_READABLE = 64


def block_of(height: int, width: int) -> tuple[int, int]:
    """Choose the rows and columns of the blocks that become one pixel each; (1, 1) if the picture is small enough.

    Blocks are square, unless a long picture would be left with fewer than 64 pixels across: it is shortened rather than
    thinned, so that it can still be read.
    """
    sides = np.array([height, width])
    block = max(1, -(-int(sides.max()) // LONGEST))
    while True:
        blocks = np.minimum(block, np.maximum(1, sides // _READABLE))
        blocks[int(sides.argmax())] = block
        if int(np.prod(-(-sides // blocks))) <= PIXELS:
            return int(blocks[0]), int(blocks[1])
        block += 1


def shrunk(values: np.ndarray, channels: bool = False) -> np.ndarray:
    """Shrink [H, W], or [H, W, C] summed over the channels, to float64 [H, W] of at most PIXELS pixels and LONGEST on a
    side.

    Each pixel is the mean of a block, computed a strip of rows at a time, so that little memory is needed besides the
    array. An array that is small enough is returned unchanged.
    """
    height, width = values.shape[:2]
    down, across = block_of(height, width)
    if (down, across) == (1, 1):
        return values.sum(axis=-1, dtype=np.float64) if channels else values
    columns = np.arange(0, width, across)
    result = np.empty((-(-height // down), len(columns)))
    for row in range(len(result)):
        strip = values[row * down : (row + 1) * down]
        sums = strip.sum(axis=(0, 2) if channels else 0, dtype=np.float64)
        counts = len(strip) * np.minimum(across, width - columns)
        result[row] = np.add.reduceat(sums, columns) / counts
    return result
