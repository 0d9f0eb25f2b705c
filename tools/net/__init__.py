"""Comparison of the models that two states of the project emit: `python -m tools.net`."""
