"""Convolutions that onnxruntime fuses with a sum and an activation, also with channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import all_operands, decomposed
from onnxlrp.operators.windows import channels_first

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"
_PLAIN = ("Relu", "Sigmoid", "Tanh")
_PARAMETERS = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta"), "Clip": ("min", "max")}
"""Names of the entries of `activation_params`, by activation."""
_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def refuse_activation(call: Call) -> str | None:
    """Tell why a fused activation cannot be written out; None where it can."""
    name, parameters = call.attr("activation", ""), call.attr("activation_params", ())
    if name in _PARAMETERS:
        wanted = len(_PARAMETERS[name])
        return None if len(parameters) == wanted else f"the activation {name} needs {wanted} activation_params"
    return None if name in ("", *_PLAIN) else f"the activation {name!r} is not supported"


def activate(op: Builder, call: Call, z: ir.Value, added: ir.Value | None) -> ir.Value:
    """Compute `act(z + added)` with the activation that the call names."""
    z = z if added is None else op.Add(z, added)
    name = call.attr("activation", "")
    parameters = dict(zip(_PARAMETERS.get(name, ()), call.attr("activation_params", ()), strict=False))
    if name == "Clip":
        return op.Clip(z, op.number(parameters["min"], z), op.number(parameters["max"], z))
    return getattr(op, name)(z, **{k: float(v) for k, v in parameters.items()}) if name else z


def convolve(op: Builder, call: Call, x: ir.Value, weight: ir.Value) -> ir.Value:
    """Compute the convolution `x ∗ w + b` with the window and the bias of the call."""
    window: dict[str, Any] = {k: call.attr(k) for k in _WINDOW if k in call.attributes}
    return op.Conv(x, weight, call.input(2), **window)


@decomposed("FusedConv", domain=DOMAIN, operands=all_operands, refuse=refuse_activation)
def fused_conv(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: Conv, a sum where there is one, then its activation."""
    return [activate(op, call, convolve(op, call, call.operand(0), call.operand(1)), call.input(3))]


@decomposed("NhwcFusedConv", domain=DOMAIN, operands=all_operands, refuse=refuse_activation)
def nhwc_fused_conv(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a Transpose, Conv, a sum where there is one, its activation, and a Transpose back."""
    rank, added = call.rank(), call.input(3)
    first, last = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
    turned = None if added is None else op.Transpose(added, perm=first)
    z = convolve(op, call, op.Transpose(call.operand(0), perm=first), call.operand(1))
    return [op.Transpose(activate(op, call, z, turned), perm=last)]


@decomposed("NhwcMaxPool", domain=DOMAIN)
def nhwc_max_pool(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a Transpose, MaxPool, and a Transpose back."""
    attributes = {name: a.value for name, a in call.attributes.items()}
    return [channels_first(op, call.operand(0), True, lambda x: op.MaxPool(x, **attributes))]
