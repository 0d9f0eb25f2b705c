"""Operators that are written out by the function body that ONNX gives them."""

from __future__ import annotations

from onnxlrp.operators.registry import by_function_body

by_function_body("Attention", treatment="Written out: products, mask and softmax, each by its own rule.")
by_function_body("LinearAttention", treatment="Written out: a recurrence over products.")
by_function_body("CausalConvWithState", treatment="Written out: a convolution over the state and the input.")
by_function_body("RotaryEmbedding", treatment="Written out: products with constant sines and cosines.")
by_function_body("SwiGLU", treatment="Written out: a gated product.")
by_function_body("AffineGrid", treatment="Written out: a product with constant coordinates.")
by_function_body("NegativeLogLikelihoodLoss", treatment="Written out: the chosen scores, weighed and summed.")
by_function_body("SoftmaxCrossEntropyLoss", treatment="Written out: a log-softmax and the chosen scores.")
by_function_body("CenterCropPad", treatment="Written out: a slice and a pad.")
