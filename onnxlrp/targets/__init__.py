"""Targets: each kind is one class, which emission and runtime both read.

`convert(target=...)` names the kind. To add one, write a subclass of `TargetKind` and list it in TARGETS.
"""

from __future__ import annotations

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.targets.kind import TargetKind
from onnxlrp.targets.one_class import ClassTarget
from onnxlrp.targets.one_element import ElementTarget
from onnxlrp.targets.one_token import TokenTarget
from onnxlrp.targets.weighted import WeightsTarget

TARGETS: dict[str, TargetKind] = {
    kind.name: kind for kind in (ClassTarget(), TokenTarget(), ElementTarget(), WeightsTarget())
}
"""Every kind of target by its name."""


def kind_named(name: str) -> TargetKind:
    """Look up the kind of target that `convert(target=...)` names. Raises InputError if there is none."""
    if not isinstance(name, str) or name not in TARGETS:
        raise InputError(f"target is one of {', '.join(map(repr, TARGETS))}, not {name!r}{did_you_mean(name, TARGETS)}")
    return TARGETS[name]
