"""Operators at which relevance ends, each with its reason."""

from __future__ import annotations

from onnxlrp.operators.registry import stop

stop("Shape", "Size", reason="a shape does not depend on the values")
stop("ArgMax", "ArgMin", "NonZero", reason="positions, not values")
stop("Hardmax", reason="a choice, not a value")
stop(
    *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsNaN", "IsInf"),
    reason="a comparison: its output jumps",
)
stop(
    "And", "Or", "Xor", "Not", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", reason="logic on bits"
)
stop("ConstantOfShape", "EyeLike", "Range", "OneHot", reason="built from shapes and positions")
stop("RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli", reason="random")
