"""Patterns that name layers in a composite file: wildcards where many layers share a path, else whole names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence


def patterns_of(names: Sequence[str], others: Collection[str], operators: Collection[str]) -> list[str]:
    """Write patterns that match all of `names` and none of `others`.

    `operators` are the operators of the model, for which a pattern that is a whole name may not be taken.
    """
    found: list[str] = []
    left = list(names)
    while left:
        pattern, matched = _longest_reach(left[0], left, others, operators)
        found.append(pattern)
        left = [name for name in left if name not in matched]
    return found


def _longest_reach(
    name: str, names: Sequence[str], others: Collection[str], operators: Collection[str]
) -> tuple[str, set[str]]:
    """Return the pattern that matches most of `names`, among those for a name, and what it matches."""
    for path in _paths(name):
        matched = {one for one in names if one.startswith(path)}
        if len(matched) > 1 and not any(one.startswith(path) for one in others):
            return _literal(path) + "*", matched
    return _whole_name(name, operators), {name}


def _paths(name: str) -> Iterator[str]:
    """Yield the paths that lead to a name, the shortest first; they end with `/`, `.`, `:` or `_`."""
    for part in re.finditer(r"[/.:_]", name):
        if part.end() > 1:
            yield name[: part.end()]


def _whole_name(name: str, operators: Collection[str]) -> str:
    """Write a name as a pattern; a node that is called like an operator gets brackets around its first letter."""
    return f"[{name[0]}]{_literal(name[1:])}" if name in operators else _literal(name)


def _literal(text: str) -> str:
    """Write a text so that it matches itself: a wildcard between brackets is a letter like any other."""
    return re.sub(r"([*?\[])", r"[\1]", text)
