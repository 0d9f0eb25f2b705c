"""Rewriting of torchvision networks for the peers: each sum and activation is a module of its own, batch norms are
folded.

Zennit and Captum see modules only. Anything that a network writes as a function (`x + y`, `relu(x)`) would get its
plain gradient there, and a module that is used twice is an error in Captum. The network computes the same function.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_SUMS = (operator.add, torch.add)
_RELU = (torch.relu, nn.functional.relu)
_ACTIVATIONS = (nn.ReLU, nn.ReLU6)


def as_modules(network: nn.Module, a_sum: Callable[[], nn.Module]) -> nn.Module:
    """Rewrite the network, sharing its weights; `a_sum` makes modules that add two tensors."""
    traced = fx.symbolic_trace(network)
    for node in list(traced.graph.nodes):
        replacement = _replacement(traced, node, a_sum)
        if replacement is None:
            continue
        name = f"single_{node.name}"
        traced.add_submodule(name, replacement)
        node.op, node.target = "call_module", name
        node.args, node.kwargs = node.args[: 2 if node.meta.get("sum") else 1], {}
    for node in list(traced.graph.nodes):
        _fold(traced, node)
    traced.graph.lint()
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


def _replacement(traced: fx.GraphModule, node: fx.Node, a_sum: Callable[[], nn.Module]) -> nn.Module | None:
    """Make the module that replaces a node; None if it stays."""
    if node.op == "call_function" and node.target in _SUMS:
        node.meta["sum"] = True
        return a_sum()
    if node.op == "call_function" and node.target in _RELU:
        return nn.ReLU()
    if node.op == "call_function" and node.target is nn.functional.adaptive_avg_pool2d:
        return nn.AdaptiveAvgPool2d(node.args[1])  # type: ignore[arg-type]
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        return type(module)() if isinstance(module, _ACTIVATIONS) else None
    return None


def _fold(traced: fx.GraphModule, node: fx.Node) -> None:
    """Fold a batch norm into the convolution upstream, if nothing else reads that."""
    if node.op != "call_module":
        return
    norm = traced.get_submodule(str(node.target))
    if not isinstance(norm, nn.BatchNorm2d):
        return
    before = node.args[0]
    if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
        return
    convolution = traced.get_submodule(str(before.target))
    if not isinstance(convolution, nn.Conv2d):
        return
    parent, _, name = str(before.target).rpartition(".")
    setattr(traced.get_submodule(parent), name, fuse_conv_bn_eval(convolution, norm))
    node.replace_all_uses_with(before)
    traced.graph.erase_node(node)
