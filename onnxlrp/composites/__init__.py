"""Composites choose the rule for each layer. Those that are usual in the field are here, under their usual names.

A composite chooses by the *role* of a layer in the model (first match wins, from the most to the least specific), and
says how the few kinds of step without parameters are treated. It names no operator.

```python
from onnxlrp.composites import EpsilonPlus

explained = onnxlrp.convert("model.onnx", composite=EpsilonPlus())
explained = onnxlrp.convert("model.onnx", composite="epsilon_plus")  # the same by name
```
"""

from __future__ import annotations

from onnxlrp.composites.activation_maps import GradCam, LayerCam
from onnxlrp.composites.attention_rollout import AttentionRollout
from onnxlrp.composites.auto import Auto
from onnxlrp.composites.averaged_gradients import IntegratedGradients, SmoothGrad
from onnxlrp.composites.base import Composite, Overridden, Points, Product, Role, Rolling
from onnxlrp.composites.by_name import COMPOSITES, Listed, from_toml, parse, register, table, unregister
from onnxlrp.composites.deep_lift import DeepLift
from onnxlrp.composites.lrp import (
    AttnLrp,
    CpLrp,
    DeepTaylor,
    Epsilon,
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    ExcitationBackprop,
    Lrp0,
    VggOverview,
)
from onnxlrp.composites.modified_gradients import BetaSmooth, Deconvnet, Gradient, GradientXInput, GuidedBackprop

__all__ = [
    "COMPOSITES",
    "AttentionRollout",
    "AttnLrp",
    "Auto",
    "BetaSmooth",
    "Composite",
    "CpLrp",
    "Deconvnet",
    "DeepLift",
    "DeepTaylor",
    "Epsilon",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "ExcitationBackprop",
    "GradCam",
    "Gradient",
    "GradientXInput",
    "GuidedBackprop",
    "IntegratedGradients",
    "LayerCam",
    "Listed",
    "Lrp0",
    "Overridden",
    "Points",
    "Product",
    "Role",
    "Rolling",
    "SmoothGrad",
    "VggOverview",
    "from_toml",
    "parse",
    "register",
    "table",
    "unregister",
]
