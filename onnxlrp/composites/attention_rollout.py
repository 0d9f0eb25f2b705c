"""Attention rollout, which follows attention weights from the score's tokens to those of the input."""

from __future__ import annotations

import dataclasses
from typing import Literal

from onnxlrp.composites.base import Rolling
from onnxlrp.composites.modified_gradients import Gradient
from onnxlrp.errors import InputError


@dataclasses.dataclass(frozen=True)
class AttentionRollout(Gradient):
    """Attention rollout (Abnar & Zuidema 2020): the product over all blocks of ½·A + ½·identity, where A is the mean
    attention matrix of the heads; each token gets its weight for the tokens that the score reads.

    These are the rows of the last block at which the gradient of the score is not 0, such as that of the class token,
    and their mean where they are several. Weights are not negative, add up to 1 over all tokens, and say nothing of
    the sign of an effect. An input of patches gets the map enlarged by linear interpolation, and every channel or
    feature of a token holds its weight.

    Parameters
    ----------
    heads
        The reduction of the heads: `"mean"` (default), `"max"` or `"min"`. Rows are brought to the sum 1.
    residual
        The share of the identity, at least 0 and below 1. Default: 0.5.

    Raises
    ------
    InputError
        An argument is out of its range.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("transformer.onnx", composite="attention_rollout")
    ```
    """

    heads: Literal["mean", "max", "min"] = "mean"
    residual: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads not in ("mean", "max", "min"):
            raise InputError(f'heads is "mean", "max" or "min", not {self.heads!r:.80}')
        if not isinstance(self.residual, (int, float)) or not 0 <= self.residual < 1:
            raise InputError(f"residual is a number of at least 0 and below 1, not {self.residual!r:.80}")

    @property
    def rolling(self) -> Rolling | None:
        return Rolling(self.heads, float(self.residual))

    @property
    def explains_output(self) -> bool:
        # The gradient of a saturated softmax is 0 at every row.
        return False
