"""What a service relies on, tried again: `python -m tools.robustness` (docs/robustness.md has the figures)."""
