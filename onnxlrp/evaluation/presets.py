"""Presets: the composites that are compared where the caller names none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxlrp.plan import Plan
from onnxlrp.plan.steps import every_step
from onnxlrp.runtime.input_kinds import InputKind

_ATTENTION = ("auto", "attn_lrp", "cp_lrp", "epsilon")
_CONVOLUTIONS = ("auto", "epsilon", "epsilon_plus", "epsilon_alpha2_beta1", "excitation_backprop")
_DENSE = ("auto", "epsilon", "deep_taylor")


def presets_for(plan: Plan, kinds: Mapping[str, InputKind], arrays: Mapping[str, np.ndarray]) -> Sequence[str]:
    """List `auto` and the presets that suit a model: by its operators, and for pictures by the range of its data.

    The values of trees do not depend on the composite, so that there is nothing to compare with `auto`.
    """
    operators = {step.operator for step in every_step(plan.steps)}
    if any("TreeEnsemble" in operator for operator in operators):
        return ("auto",)
    if "Softmax" in operators or any("Attention" in operator for operator in operators):
        return _ATTENTION
    if "Conv" not in operators:
        return _DENSE
    pictures = [arrays[name] for name, kind in kinds.items() if kind == "picture"]
    if not pictures:
        return _CONVOLUTIONS
    low, high = min(float(a.min()) for a in pictures), max(float(a.max()) for a in pictures)
    box = (f"epsilon_gamma_box(low={low:.6g}, high={high:.6g})",) if low < high else ()
    return (*_CONVOLUTIONS, "epsilon_plus_flat", *box)
