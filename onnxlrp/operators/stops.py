"""Operators at which relevance ends, each with its reason."""

from __future__ import annotations

from onnxlrp.operators.registry import refused, stop

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
stop("ConstantOfShape", "EyeLike", reason="built from shapes and positions")
stop("HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix", reason="built from sizes")
stop("Constant", reason="a constant")
stop(
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    reason="random",
)
stop("NonMaxSuppression", reason="positions, not values: what is gathered at them is followed")
stop("StringConcat", "StringSplit", "RegexFullMatch", reason="strings")
stop("ImageDecoder", reason="a file, not values: explain what it decodes")
stop("BitCast", reason="bits read as another type")
refused(
    "Gradient",
    "Adagrad",
    "Adam",
    "Momentum",
    reason="it is a step of training, which a deployed model does not have",
    domain="ai.onnx.preview.training",
)
