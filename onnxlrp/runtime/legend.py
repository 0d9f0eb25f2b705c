"""Legend of an explanation: what tables and pictures write beside its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from onnxlrp.reprs import Brief
from onnxlrp.runtime.asked_place import Places
from onnxlrp.runtime.inputs import TensorSpec


@dataclasses.dataclass(frozen=True, eq=False)
class Legend(Brief):
    """Facts of an explained model, besides its interface, for those who show an explanation."""

    specs: Mapping[str, TensorSpec] = dataclasses.field(default_factory=dict)
    """Declaration of each input of the model."""
    explained_output: str = ""
    """Name of the output that shows the explained scores."""
    class_names: tuple[str, ...] = ()
    """Names of the classes in their order; empty if nothing names them."""
    pixels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Scale of the pixels of each input that was read from pictures, as `preprocess` takes it."""
    sample_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axis of each input that counts samples, as far as the declared shapes say it."""
    places: Places = ()
    """Place in the picture of each sample and target that a call asked about, [N][K]; empty if it asked about none."""
