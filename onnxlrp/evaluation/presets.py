"""Presets: the composites that are compared where the caller names none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxlrp.plan import Plan
from onnxlrp.plan.model_family import model_family
from onnxlrp.runtime.input_kinds import InputKind

_ATTENTION = ("auto", "attn_lrp", "cp_lrp", "epsilon")
_CONVOLUTIONS = ("auto", "epsilon", "epsilon_plus", "epsilon_alpha2_beta1", "excitation_backprop")
_DENSE = ("auto", "epsilon", "deep_taylor")
_MORE_CONVOLUTIONS = ("epsilon_alpha2_beta1_flat", "deep_taylor")
_MORE_DENSE = ("excitation_backprop",)
_TREES = ("auto(trees='path')",)


def presets_for(plan: Plan, kinds: Mapping[str, InputKind], arrays: Mapping[str, np.ndarray]) -> Sequence[str]:
    """List `auto` and the presets that suit a model: by its operators, and for pictures by the range of its data.

    The values of trees do not depend on the composite, so that there is nothing to compare with `auto`.
    """
    family = model_family(plan)
    if family != "convolutions":
        return {"trees": ("auto",), "attention": _ATTENTION, "dense": _DENSE}[family]
    box = picture_box(kinds, arrays)
    if box is None:
        flat = any(kind == "picture" for kind in kinds.values())
        return (*_CONVOLUTIONS, "epsilon_plus_flat") if flat else _CONVOLUTIONS
    return (*_CONVOLUTIONS, "epsilon_plus_flat", f"epsilon_gamma_box({_bounds(box)})")


def presets_to_tune(plan: Plan, kinds: Mapping[str, InputKind], arrays: Mapping[str, np.ndarray]) -> Sequence[str]:
    """List the presets that a search starts from: those of `presets_for` and others that are seldom the best.

    For trees these are the two games whose values need no background.
    """
    usual, family = presets_for(plan, kinds, arrays), model_family(plan)
    if family != "convolutions":
        return (*usual, *{"trees": _TREES, "attention": (), "dense": _MORE_DENSE}[family])
    box = picture_box(kinds, arrays)
    boxed = () if box is None else (f"vgg_overview({_bounds(box)})",)
    return (*usual, *_MORE_CONVOLUTIONS, *boxed)


def picture_box(kinds: Mapping[str, InputKind], arrays: Mapping[str, np.ndarray]) -> tuple[float, float] | None:
    """Find the lowest and the highest pixel of all pictures; None if there are no pictures, if all are of one value, or
    if some are no numbers."""
    pictures = [arrays[name] for name, kind in kinds.items() if kind == "picture"]
    if not pictures:
        return None
    low, high = min(float(a.min()) for a in pictures), max(float(a.max()) for a in pictures)
    return (float(f"{low:.6g}"), float(f"{high:.6g}")) if low < high and np.isfinite([low, high]).all() else None


def _bounds(box: tuple[float, float]) -> str:
    return f"low={box[0]:.6g}, high={box[1]:.6g}"
