"""Benchmark of the cost of explanations: `python -m tools.benchmark`."""
