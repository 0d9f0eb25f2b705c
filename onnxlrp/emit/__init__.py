"""Emission: turn the steps of a plan into nodes, by a walk from the score back to the inputs."""
