"""Arrays out of tensors of torch and back; torch itself is never imported here."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def is_tensor(value: Any) -> bool:
    """Decide whether a value is a tensor of torch; if torch has not been imported, nothing is one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(value: Any) -> np.ndarray:
    """Convert a tensor, an array or a list to an array."""
    return np.asarray(value.detach().cpu().numpy() if is_tensor(value) else value)


def as_given(array: np.ndarray, given: Any) -> Any:
    """Convert an array to a tensor on the device of `given` if that is a tensor, and return it as it is otherwise."""
    if not is_tensor(given):
        return array
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(array)).to(given.device)
