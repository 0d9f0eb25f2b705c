"""The profiles of explained models: which constructs of ONNX the emitted nodes may use."""

from __future__ import annotations

import dataclasses

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean


@dataclasses.dataclass(frozen=True)
class Profile:
    """The constructs that an explained model avoids, because some runtimes lack them."""

    name: str
    static_axes: bool = False
    """True if sums run over axes that are known before the model runs."""
    partial_shapes: bool = False
    """True if a Reshape to sizes of which some are known tells these, so that more of what follows is known."""
    rewritten: bool = False
    """True if the passes of `finish.portable` rewrite the finished graph."""
    target_required: bool = False
    """True if targets are ordinary inputs, because some runtimes ignore what is fed to an input with a default."""

    def form_of_targets(self, asked: str) -> str:
        """Return the form in which the explained model takes its target, for the form that was asked for."""
        return "required" if self.target_required and asked == "optional" else asked

    def notes_about_targets(self, asked: str) -> list[str]:
        """Say that a target is not optional although that was asked for; nothing to say otherwise."""
        if self.form_of_targets(asked) == asked:
            return []
        return [f"profile {self.name!r}: inputs that choose a target are required, since some runtimes ignore defaults"]


ONNXRUNTIME = Profile("onnxruntime")
PORTABLE = Profile("portable", static_axes=True, partial_shapes=True, rewritten=True, target_required=True)
_PROFILES = {profile.name: profile for profile in (ONNXRUNTIME, PORTABLE)}


def profile_named(name: str) -> Profile:
    """Return the profile of a name. Raises InputError if there is none."""
    if name not in _PROFILES:
        known = ", ".join(map(repr, _PROFILES))
        raise InputError(f"profile is one of {known}, not {name!r}{did_you_mean(name, _PROFILES)}")
    return _PROFILES[name]
