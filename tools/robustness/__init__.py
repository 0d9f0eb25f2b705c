"""How conversion takes models that are damaged: `python -m tools.robustness`."""
