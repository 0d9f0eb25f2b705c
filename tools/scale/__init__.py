"""Measurements of explanations of very many rows."""
