"""Applications of relevance from the literature, on real data: `python -m tools.literature NAME` (README.md)."""
