"""Composites that are class activation maps: the channels of an inner value, weighted by the gradient."""

from __future__ import annotations

import dataclasses
from typing import Literal

from onnxlrp.composites.modified_gradients import Gradient
from onnxlrp.errors import InputError


@dataclasses.dataclass(frozen=True)
class GradCam(Gradient):
    """Grad-CAM (Selvaraju et al. 2017): max(0, Σ w·A) over the channels A of a convolution, where w is the mean of the
    gradient over the channel, enlarged to the input by linear interpolation. Every channel of the input holds the map.

    Parameters
    ----------
    layer
        The name of the inner value whose channels are taken. Default: None, the output of the last convolution over
        two axes.

    Raises
    ------
    InputError
        The layer is no name.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="grad_cam")
    ```
    """

    # Gradients ask for no rule, so the name of the method of other composites is free.
    layer: str | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layer is not None and not isinstance(self.layer, str):
            raise InputError(f"layer is the name of an inner value, not {self.layer!r:.80}")

    @property
    def map_weights(self) -> Literal["channel", "element"] | None:
        return "channel"

    @property
    def map_layer(self) -> str | None:
        return self.layer


@dataclasses.dataclass(frozen=True)
class LayerCam(GradCam):
    """LayerCAM (Jiang et al. 2021): `grad_cam` with max(0, gradient) of each element in the place of the mean, which
    also suits early layers.

    Parameters
    ----------
    layer
        As in `GradCam`.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="layer_cam")
    ```
    """

    @property
    def map_weights(self) -> Literal["channel", "element"] | None:
        return "element"
