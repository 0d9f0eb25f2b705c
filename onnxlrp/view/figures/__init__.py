"""Figures of explanations, one file a kind, drawn by matplotlib; nothing here is imported before a figure is asked for."""
