"""The same work in Zennit, Captum and LXT, where they can do it.

Each peer is set up once, hooks and patches in place, before the clock starts; a run is the forward pass, the choice of
the class and the relevance of the input.
"""

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
    """Why a peer does not do this."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be explained, how, and where."""

    model: Model
    weights: Any
    """The network's state_dict."""
    composite: str
    x: np.ndarray
    target: np.ndarray | None = None
    """[N]; None: the predicted class."""
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def rule(self) -> str:
        """The composite's name, without its parameters."""
        return self.composite.partition("(")[0]

    def network(self) -> Any:
        """The module, with gradients for its inputs only."""
        import torch

        assert self.model.build is not None
        network = self.model.build().eval()
        network.load_state_dict(self.weights)
        return network.to(self.device, getattr(torch, self.dtype)).requires_grad_(False)

    def data(self) -> Any:
        """The input as a tensor."""
        import torch

        x = torch.from_numpy(self.x).to(self.device)
        return x.to(getattr(torch, self.dtype)) if x.is_floating_point() else x

    def chosen(self, scores: Any) -> Any:
        """The class of each sample."""
        import torch

        return scores.argmax(1) if self.target is None else torch.as_tensor(self.target, device=scores.device)

    def seed(self, scores: Any) -> Any:
        """The score itself at the explained class, elsewhere 0."""
        import torch

        return torch.nn.functional.one_hot(self.chosen(scores), scores.shape[1]) * scores.detach()


Run = Callable[[], Any]
"""Returns the relevance, a tensor in the shape of the model's input."""


# -------------------------------------------------------------------------------------------------------------- Zennit


def zennit(task: Task) -> Run:
    """Its composites, on a network of modules."""
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
    """Its LRP with ε; the other rules that it has are not the ones of the composites."""
    import torch
    from captum.attr import LRP
    from captum.attr._utils.custom_modules import Addition_Module
    from captum.attr._utils.lrp_rules import EpsilonRule, IdentityRule

    from tools.benchmark.modules import as_modules

    if task.rule != "epsilon":
        raise CannotError(_NOT_BY_CAPTUM.get(task.rule, f"Captum has no {task.rule}"))
    x = task.data()
    if not x.is_floating_point():
        raise CannotError("Captum's LRP is of floating-point inputs, token ids are none")
    network = task.network()
    if task.model.composites == models.ON_PICTURES:
        network = as_modules(network, Addition_Module)
    lrp = LRP(network)
    with torch.no_grad():
        target = task.chosen(network(x))  # it wants the class from us; to find it takes no time of its runs

    def run() -> Any:
        for part in network.modules():  # it takes the rules off after each run
            if isinstance(part, torch.nn.ReLU6):
                part.rule = IdentityRule()
            elif isinstance(part, (torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d, Addition_Module)):
                part.rule = EpsilonRule(EPSILON)
        return lrp.attribute(x.clone().requires_grad_(), target=target).detach()

    return run


# ----------------------------------------------------------------------------------------------------------------- LXT


def lxt(task: Task) -> Run:
    """Its efficient form: patched classes, then gradient × input."""
    patches = lxt_patches(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the patches are on classes: a second task of this process finds them there
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
    """Per class or module what changes it for a composite."""
    if task.model.lxt is None:
        raise CannotError("LXT is made for transformers")
    maps = importlib.import_module(f"lxt.efficient.models.{task.model.lxt}")
    patches = getattr(maps, {"attn_lrp": "attnLRP", "cp_lrp": "cp_LRP"}.get(task.rule, ""), None)
    if patches is None:
        raise CannotError(f"LXT has no {task.rule} for {task.model.title}")
    return patches


PEERS: dict[str, Callable[[Task], Run]] = {"Zennit": zennit, "Captum": captum, "LXT": lxt}


def in_double(task: Task) -> Task:
    """The first sample of it, in float64 on the CPU."""
    target = None if task.target is None else task.target[:1]
    return dataclasses.replace(task, x=task.x[:1], target=target, dtype="float64", device="cpu")
