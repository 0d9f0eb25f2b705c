"""Large arrays as pictures of bounded size."""

from __future__ import annotations

import numpy as np

PIXELS = 1 << 24
"""The most pixels of one picture that is drawn."""
LONGEST = 8192
"""The most pixels of it on a side."""
_READABLE = 64


def block_of(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the blocks that make a picture of bounded size; (1, 1) where it is small enough.

    Blocks are square, except where a long picture would be left with fewer than 64 pixels across: then it is made
    shorter rather than thinner, so that it can still be read.
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
    """[H, W] (or [H, W, C]: summed over the channels) -> float64 [H, W] of at most PIXELS pixels and LONGEST on a side.

    Each pixel is the mean of a block, a strip of rows at a time, so that little memory is needed beside the array. An
    array that is small enough is taken as it is.
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
