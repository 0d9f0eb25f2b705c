"""Mark of the nodes of the relevance part: the rule that each comes from."""

RULE = "onnxlrp.rule"
"""Key of a node's metadata that names the step and rule that it comes from."""
