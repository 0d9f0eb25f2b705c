"""The kinds of target: each in one class, which emission and runtime both read.

`convert(target=...)` names the kind. To add one, write a subclass of `Kind` and list it in TARGETS.
"""

from __future__ import annotations

from onnxlrp.errors import InputError
from onnxlrp.targets.kind import Kind
from onnxlrp.targets.one_class import ClassTarget
from onnxlrp.targets.one_element import ElementTarget
from onnxlrp.targets.one_token import TokenTarget
from onnxlrp.targets.weighted import WeightsTarget

TARGETS: dict[str, Kind] = {
    kind.name: kind for kind in (ClassTarget(), TokenTarget(), ElementTarget(), WeightsTarget())
}
"""Every kind of target by its name."""


def kind_named(name: str) -> Kind:
    """The kind of target that `convert(target=...)` names. Raises InputError where there is none."""
    if not isinstance(name, str) or name not in TARGETS:
        raise InputError(f"target is one of {', '.join(map(repr, TARGETS))}, not {name!r}")
    return TARGETS[name]
