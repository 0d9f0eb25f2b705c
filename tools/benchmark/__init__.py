"""What an explanation costs: `python -m tools.benchmark`."""
