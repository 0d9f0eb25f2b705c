"""Robustness: tries again everything that a service relies on, `python -m tools.robustness`; see docs/robustness.md."""
