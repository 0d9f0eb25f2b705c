"""A `Net` of the oracle as a torch module, so that Zennit can explain the very same network.

Import this before anything that imports torchvision.
"""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from tests.oracle.net import Net, Step

torch = pytest.importorskip("torch")
# torchvision's operators for meta tensors cost seconds to register and fail against some builds of torch
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
pytest.importorskip("torchvision")
canonizers = pytest.importorskip("zennit.canonizers")
composites = pytest.importorskip("zennit.composites")
core = pytest.importorskip("zennit.core")
layer = pytest.importorskip("zennit.layer")
rules = pytest.importorskip("zennit.rules")
nn = torch.nn

COMPOSITES = {
    "epsilon_gamma_box": composites.EpsilonGammaBox,
    "epsilon_plus": composites.EpsilonPlus,
    "epsilon_plus_flat": composites.EpsilonPlusFlat,
    "epsilon_alpha2_beta1": composites.EpsilonAlpha2Beta1,
    "epsilon_alpha2_beta1_flat": composites.EpsilonAlpha2Beta1Flat,
    "excitation_backprop": composites.ExcitationBackprop,
    "guided_backprop": composites.GuidedBackprop,
    "deconvnet": composites.DeconvNet,
    "beta_smooth": composites.BetaSmooth,
}
GRADIENTS = ("guided_backprop", "deconvnet", "beta_smooth")


def explain(module, x: np.ndarray, name: str, canonizer=None, params=None, target=None) -> np.ndarray:
    """Zennit's relevance of `x`, from the score of the largest class (or `target`); gradients from 1."""
    canonizer = canonizer or canonizers.SequentialMergeBatchNorm()
    composite = COMPOSITES[name](canonizers=[canonizer], **(params or {}))
    data = torch.from_numpy(np.array(x)).requires_grad_()
    with composite.context(module) as modified:
        scores = modified(data)
        chosen = scores.argmax(1) if target is None else torch.as_tensor(target).expand(len(scores))
        seed = torch.nn.functional.one_hot(chosen, scores.shape[1]).to(scores)
        if name not in GRADIENTS:
            seed = seed * scores.detach()
        (relevance,) = torch.autograd.grad((scores,), (data,), (seed,))
    return relevance.numpy()


class Unlike(Exception):
    """torch has no module for this step."""


class TorchNet(nn.Module):
    def __init__(self, net: Net, plain: bool = False):
        """Zennit sees a sum only as a module of its own (stack, then Sum); `plain` is what people write: a + b."""
        super().__init__()
        self.net, self.plain = net, plain
        self.layers = nn.ModuleList(_module(net, step) for step in net.steps)
        self.double().eval()

    def forward(self, *xs):
        values = dict(zip(self.net.inputs, xs, strict=True))
        for step, module in zip(self.net.steps, self.layers, strict=True):
            data = [values[name] for name in step.inputs]
            if step.op == "Concat":
                values[step.output] = torch.cat(data, 1)
            elif step.op == "Add":
                values[step.output] = data[0] + data[1] if self.plain else module(torch.stack(data, -1))
            else:
                values[step.output] = module(data[0])
        return values[self.net.outputs[0]]


def _even(pads: list[int]) -> list[int]:
    half = len(pads) // 2
    if pads[:half] != pads[half:]:
        raise Unlike("torch pads both ends alike")
    return pads[:half]


def _module(net: Net, step: Step):
    """The module of one step with the step's own weights."""
    node = step.nodes[0]
    given = {a.name: list(a.ints) or a.s.decode() or a.i for a in node.attribute}
    constants = [torch.from_numpy(np.array(net.constants[i])) for i in node.input if i in net.constants]
    rank = net.rank(step.inputs[0])
    if "auto_pad" in given:
        raise Unlike("auto_pad")
    if len(step.nodes) > 1:
        return nn.SiLU()
    common = {
        "stride": given.get("strides", [1] * rank),
        "padding": _even(given.get("pads", [0] * rank * 2)),
    }
    if step.op in ("Conv", "ConvTranspose"):
        w, *b = constants
        common |= {"dilation": given.get("dilations", [1] * rank), "groups": given["group"], "bias": bool(b)}
        sizes = tuple(w.shape[2:])
        if step.op == "Conv":
            module = getattr(nn, f"Conv{rank}d")(w.shape[1] * given["group"], w.shape[0], sizes, **common)
        else:
            common["output_padding"] = given.get("output_padding", [0] * rank)
            module = getattr(nn, f"ConvTranspose{rank}d")(w.shape[0], w.shape[1] * given["group"], sizes, **common)
        return _filled(module, w, b)
    if step.op == "Gemm":
        w, *b = constants
        w = w if given["transB"] else w.T
        return _filled(nn.Linear(w.shape[1], w.shape[0], bias=bool(b)), w, b)
    if step.op == "BatchNormalization":
        scale, shift, mean, variance = constants
        norm = getattr(nn, f"BatchNorm{max(rank, 1)}d")(len(scale), eps=float(np.float32(1e-3)))
        norm.running_mean, norm.running_var = mean, variance
        return _filled(norm, scale, [shift])
    if step.op == "MaxPool":
        return getattr(nn, f"MaxPool{rank}d")(given["kernel_shape"], ceil_mode=bool(given.get("ceil_mode")), **common)
    if step.op == "AveragePool":
        flags = {"ceil_mode": bool(given.get("ceil_mode")), "count_include_pad": bool(given.get("count_include_pad"))}
        return getattr(nn, f"AvgPool{rank}d")(given["kernel_shape"], **common, **flags)
    if step.op == "GlobalAveragePool":
        return getattr(nn, f"AdaptiveAvgPool{rank}d")(1)
    if step.op == "Clip":
        low, *high = (float(c) for c in constants)
        return Clip(low, *high or [float("inf")])
    simple = {"Relu": nn.ReLU, "Flatten": nn.Flatten, "Concat": nn.Identity, "Add": layer.Sum}
    if step.op not in simple or step.kind == "bias":
        raise Unlike(step.op)
    return simple[step.op]()


class Clip(nn.Hardtanh):
    """An activation to Zennit; its gradient at a bound is 1, which Hardtanh's is not."""

    def forward(self, x):
        return torch.clamp(x, self.min_val, self.max_val)


def _filled(module, weight, bias):
    module.weight = nn.Parameter(weight.clone())
    if bias:
        module.bias = nn.Parameter(bias[0].clone())
    return module
