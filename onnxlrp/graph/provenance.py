"""The mark that says which rule a node came from."""

RULE = "onnxlrp.rule"
"""The key under which a node of the relevance part says which step and rule it came from."""
