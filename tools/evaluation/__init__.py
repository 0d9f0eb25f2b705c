"""Measurements of `onnxlrp.evaluate`: `python -m tools.evaluation`."""
