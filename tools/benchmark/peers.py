"""Explanations by Zennit, Captum and LXT, as far as they can do the same."""

from __future__ import annotations

import dataclasses
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tools.benchmark import models
from tools.benchmark.models import Model

EPSILON = 1e-6


class CannotError(Exception):
    """The reason why a peer cannot do a task."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Model and input to explain, with the composite and the device."""

    model: Model
    weights: Any
    """State_dict of the network."""
    composite: str
    x: np.ndarray
    target: np.ndarray | None = None
    """Classes [N]; None for the predicted ones."""
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def rule(self) -> str:
        """Name of the composite, without its parameters."""
        return self.composite.partition("(")[0]

    def network(self) -> Any:
        """Build the module, with gradients for its inputs only."""
        import torch

        assert self.model.build is not None
        network = self.model.build().eval()
        network.load_state_dict(self.weights)
        return network.to(self.device, getattr(torch, self.dtype)).requires_grad_(False)

    def data(self) -> Any:
        """Convert the input to a tensor."""
        import torch

        x = torch.from_numpy(self.x).to(self.device)
        return x.to(getattr(torch, self.dtype)) if x.is_floating_point() else x

    def chosen(self, scores: Any) -> Any:
        """Choose the class of each sample."""
        import torch

        return scores.argmax(1) if self.target is None else torch.as_tensor(self.target, device=scores.device)

    def seed(self, scores: Any) -> Any:
        """Make the start of relevance: the score at the explained class, 0 elsewhere."""
        import torch

        return torch.nn.functional.one_hot(self.chosen(scores), scores.shape[1]) * scores.detach()


Run = Callable[[], Any]
"""Function that returns the relevance, a tensor in the shape of the model's input."""


# -------------------------------------------------------------------------------------------------------------- Zennit


def zennit(task: Task) -> Run:
    """Explain by Zennit's composites, on a network of modules."""
    import torch
    from zennit.layer import Sum

    from tools.benchmark.modules import as_modules

    if task.model.composites != models.ON_PICTURES:
        raise CannotError("Zennit has rules for convolutional and dense layers, none for attention or recurrent cells")

    class Stacked(torch.nn.Module):
        """Zennit's Sum adds up the last axis."""

        def __init__(self) -> None:
            super().__init__()
            self.sum = Sum()

        def forward(self, a: Any, b: Any) -> Any:
            return self.sum(torch.stack([a, b], dim=-1))

    network = as_modules(task.network(), Stacked)
    _zennit_composite(task.rule).register(network)
    x = task.data()

    def run() -> Any:
        data = x.clone().requires_grad_()
        scores = network(data)
        return torch.autograd.grad(scores, data, task.seed(scores))[0]

    return run


def _zennit_composite(rule: str) -> Any:
    from zennit import composites, rules, types
    from zennit.layer import Sum

    if rule == "epsilon":
        layers = (types.Convolution, types.Linear, types.BatchNorm, types.AvgPool, Sum)
        return composites.LayerMapComposite(
            [(types.Activation, rules.Pass()), (layers, rules.Epsilon(epsilon=EPSILON))]
        )
    if rule == "epsilon_plus":
        return composites.EpsilonPlus()
    if rule == "epsilon_gamma_box":
        return composites.EpsilonGammaBox(low=0.0, high=1.0)
    if rule == "epsilon_alpha2_beta1":
        return composites.EpsilonAlpha2Beta1()
    raise CannotError(f"Zennit has no {rule}")


# -------------------------------------------------------------------------------------------------------------- Captum


_NOT_BY_CAPTUM = {
    "epsilon_plus": "Captum's α1β0 keeps negative biases and takes inputs for positive: not z⁺",
    "epsilon_gamma_box": "Captum's γ leaves biases as they are and takes inputs for positive, and it has no z-box",
    "epsilon_alpha2_beta1": "Captum has no α2β1",
}


def captum(task: Task) -> Run:
    """Explain by Captum's LRP with ε; its other rules are not those of the composites."""
    import torch
    from captum.attr import LRP
    from captum.attr._utils.custom_modules import Addition_Module
    from captum.attr._utils.lrp_rules import EpsilonRule, IdentityRule

    from tools.benchmark.modules import as_modules

    if task.rule != "epsilon":
        raise CannotError(_NOT_BY_CAPTUM.get(task.rule, f"Captum has no {task.rule}"))
    x = task.data()
    if not x.is_floating_point():
        raise CannotError("Captum's LRP takes floating-point inputs, not token ids")
    network = task.network()
    if task.model.composites == models.ON_PICTURES:
        network = as_modules(network, Addition_Module)
    lrp = LRP(network)
    with torch.no_grad():
        target = task.chosen(network(x))  # Captum needs the class; finding it is not timed

    def run() -> Any:
        for part in network.modules():  # Captum removes the rules after each run
            if isinstance(part, torch.nn.ReLU6):
                part.rule = IdentityRule()
            elif isinstance(part, (torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d, Addition_Module)):
                part.rule = EpsilonRule(EPSILON)
        return lrp.attribute(x.clone().requires_grad_(), target=target).detach()

    return run


# ----------------------------------------------------------------------------------------------------------------- LXT


def lxt(task: Task) -> Run:
    """Explain by LXT's efficient form: patched classes, then gradient × input."""
    patches = lxt_patches(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of classes that an earlier task of this process patched
        for target, patch in patches.items():
            patch(target)
    network, x = task.network(), task.data()
    embed = None if x.is_floating_point() else network.model.get_input_embeddings()

    def run() -> Any:
        data = (x.clone() if embed is None else embed(x)).detach().requires_grad_()
        scores = network(data) if embed is None else network(embedded=data)
        scores.gather(1, task.chosen(scores)[:, None]).sum().backward()
        relevance = (data * data.grad).detach()
        return relevance if embed is None else relevance.sum(-1)

    return run


def lxt_patches(task: Task) -> dict[Any, Callable[[Any], bool]]:
    """Map each class or module to the function that patches it for a composite."""
    if task.model.lxt is None:
        raise CannotError("LXT is made for transformers")
    maps = importlib.import_module(f"lxt.efficient.models.{task.model.lxt}")
    patches = getattr(maps, {"attn_lrp": "attnLRP", "cp_lrp": "cp_LRP"}.get(task.rule, ""), None)
    if patches is None:
        raise CannotError(f"LXT has no {task.rule} for {task.model.title}")
    return patches


PEERS: dict[str, Callable[[Task], Run]] = {"Zennit": zennit, "Captum": captum, "LXT": lxt}


def in_double(task: Task) -> Task:
    """Reduce a task to its first sample, in float64 on the CPU."""
    target = None if task.target is None else task.target[:1]
    return dataclasses.replace(task, x=task.x[:1], target=target, dtype="float64", device="cpu")
