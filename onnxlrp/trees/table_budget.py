"""The bytes that tables of tree ensembles may add to a file."""

from __future__ import annotations

TABLES = 2**24
"""Bytes of all tables of a model together."""


class TableBudget:
    """The bytes that are left for tables; ensembles take from it in turn."""

    def __init__(self, size: int = TABLES) -> None:
        self.left: float = size

    def take(self, size: float) -> bool:
        """Take bytes for a table; returns False, and takes none, if fewer are left."""
        if size > self.left:
            return False
        self.left -= size
        return True
