"""Evaluation: measure explanations on one's own model and data, by what the score does when evidence is removed."""
