"""Tell whether the explained score is one place of a map, as in segmentation."""

from __future__ import annotations

import onnx_ir as ir


def is_place_of_map(score: ir.Value) -> bool:
    """Decide whether a score has places along two or more axes, [N, C, H, W] or [N, H, W, C].

    Axes of size 1 do not count, so that the [N, C, 1, 1] of a pool over all places is no map.
    """
    shape = score.shape
    return shape is not None and len(shape) >= 4 and sum(size != 1 for size in shape[1:]) >= 2
