"""Read a model from any form that the user has, and rewrite it to a canonical graph."""
