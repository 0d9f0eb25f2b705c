"""Facts about every value, computed once before anything is emitted."""
