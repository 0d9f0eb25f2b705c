"""Studies of what channels of a model stand for, and of clusters of explanations that tell of shortcuts."""
