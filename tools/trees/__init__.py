"""Measurements of explained tree ensembles: `python -m tools.trees NAME`."""
