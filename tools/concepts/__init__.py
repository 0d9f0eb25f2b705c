"""Measurements of concepts and of the search for shortcuts."""
