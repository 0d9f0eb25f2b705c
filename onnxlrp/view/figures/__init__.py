"""Figures of explanations, one file a kind, drawn by matplotlib, which is imported when a figure is asked for."""
