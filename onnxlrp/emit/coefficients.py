"""Coefficients of inner values: the factors c with R = c · value, which relevance patching multiplies with changes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.emit.walk import Walk, masked
from onnxlrp.errors import InputError
from onnxlrp.plan import Step


def coefficient(walk: Walk, steps: Sequence[Step], value: ir.Value, dtype: ir.DataType) -> ir.Value:
    """The coefficient of an inner value, in its shape: the factor of its relevance, or, under a gradient, that itself.

    Raises InputError where the relevance is no multiple of the value; the message names the steps that it comes from.
    """
    context = dataclasses.replace(walk.context, dtype=dtype)
    parts = walk.relevance.get(value)
    if parts is None or context.composite.seed == "gradient":
        return walk.amount(value, dtype)
    found = [masked(context, part).coefficient(context) for part in parts]
    factors = [c for c in found if c is not None]
    if len(factors) < len(found):
        readers = [f"{s.operator} {s.name!r} ({s.rule_text})" for s in steps if value in s.operands.values()]
        raise InputError(
            f"{value.name!r} has no coefficient: its relevance comes from {', '.join(readers)}, and is no multiple of "
            "the value there. Give these steps a rule that shares in proportion, such as LRP0, or name a value "
            "downstream of them"
        )
    return functools.reduce(context.op.Add, factors)
