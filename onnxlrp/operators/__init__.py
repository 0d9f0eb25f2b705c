"""How relevance goes back through every operator: one file a family, one entry an operator."""

from onnxlrp.operators import (  # noqa: F401  (importing a family enters its operators)
    arithmetic,
    composed,
    control_flow,
    elementwise,
    linear,
    normalisation,
    pooling,
    reduction,
    resize,
    routing,
    softmax,
    stops,
)
