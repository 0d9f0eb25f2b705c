"""DeepLIFT, a gradient in which differences from a baseline stand in for derivatives."""

from __future__ import annotations

import dataclasses
from typing import Literal

from onnxlrp.composites.averaged_gradients import check_baseline
from onnxlrp.composites.modified_gradients import Gradient
from onnxlrp.rules import Bound


@dataclasses.dataclass(frozen=True)
class DeepLift(Gradient):
    """DeepLIFT with the rescale rule (Shrikumar et al. 2017): an activation passes g·Δy/Δx on, where Δ is the change
    from a baseline; relevance is the result times the change of the input, and adds up to that of the score.

    Products of two values that both depend on the input take the mean of each and its baseline; softmax, norms and
    recurrent cells are taken for the sums, products and functions that they are computed by. Operators that choose by
    values, and control flow, are refused.

    Parameters
    ----------
    baseline
        The baseline: a number, one number for each channel, or an array of the input's shape; for ids, whose embeddings
        change, an id. Default: 0. `"input"` makes it an input of the explained model, `<input>_reference`: each call
        compares its samples with others, see `onnxlrp.Explainer.compare`.

    Raises
    ------
    InputError
        The baseline is not finite.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="deep_lift(baseline=0.5)")
    ```
    """

    baseline: Bound | Literal["input"] = dataclasses.field(default=0.0, hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.is_given_in_calls:
            check_baseline(self.baseline)

    @property
    def reference(self) -> Bound:
        return 0.0 if isinstance(self.baseline, str) else self.baseline

    @property
    def is_given_in_calls(self) -> bool:
        return isinstance(self.baseline, str) and self.baseline == "input"

    @property
    def explains_output(self) -> bool:
        return False
