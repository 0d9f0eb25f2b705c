"""What channels of a model stand for, and clusters of explanations that tell of shortcuts."""
