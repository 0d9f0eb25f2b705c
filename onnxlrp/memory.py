"""Limit on the memory of a computation at conversion: sizes are checked before anything is computed.

A file of a few hundred bytes can ask for a constant of any size. The limit is 1 GB; the environment variable
ONNXLRP_MAX_MEMORY sets another, in megabytes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from onnxlrp.errors import InputError, InvalidModelError

VARIABLE = "ONNXLRP_MAX_MEMORY"
_MEGABYTES = 1024
_ITEM = 8
"""Bytes of an element, because constants are computed in float64 and int64."""
GROWING = frozenset(
    {
        *("AffineGrid", "AveragePool", "BlackmanWindow", "CenterCropPad", "Col2Im", "ConstantOfShape", "Conv"),
        *("ConvTranspose", "DFT", "Einsum", "Expand", "EyeLike", "HammingWindow", "HannWindow", "Loop", "LpPool"),
        *("MaxPool", "MaxUnpool", "MelWeightMatrix", "OneHot", "Pad", "RandomNormal", "RandomUniform", "Range"),
        *("Resize", "STFT", "Scan", "Tile", "Upsample"),
    }
)
"""Operators whose output can be larger than broadcasting or a product could make of their operands."""


def most_elements() -> int:
    """Return the most elements of a constant that may be computed.

    Raises InputError if the environment variable is no number of megabytes.
    """
    text = os.environ.get(VARIABLE, str(_MEGABYTES))
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = -1.0
    if not 0 < megabytes < float("inf"):
        raise InputError(f"{VARIABLE} is a number of megabytes, such as 1024, not {text!r}")
    return int(megabytes * 2**20) // _ITEM


def check_elements(sizes: Iterable[int], what: str) -> None:
    """Raise InvalidModelError if a constant has too many elements to be computed; the message says that `what` asks for
    them."""
    elements = math.prod(sizes)
    most = most_elements()
    if elements > most:
        raise InvalidModelError(
            f"{what} asks for {elements:,} elements at conversion, and {most:,} are allowed; make it smaller, or set "
            f"the environment variable {VARIABLE} to more megabytes than {most * _ITEM >> 20}"
        )
