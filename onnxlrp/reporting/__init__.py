"""Reports: one self-contained HTML page about a model, its predictions and its explanations."""
