"""Adapters to libraries for explanations; each is imported by its own name, and needs the library that it is for."""
