"""Compare what two states of the project emit: `python -m tools.net`."""
