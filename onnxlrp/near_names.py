"""Suggestion of a known name for one that is not known."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable

_MOST = 20_000
"""Number of names that are compared at most: a large model has more nodes than a user waits for."""
_LEAST = 0.6
"""Smallest similarity, 0 to 1, of a name that is suggested."""


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return the words to append to an error about a name that does not exist; empty if no known name resembles it.

    Capital letters do not count.

    ```python
    did_you_mean("Gama", ["Gamma", "ZPlus"])  # " (did you mean 'Gamma'?)"
    ```
    """
    names: dict[str, str] = {}
    for one in itertools.islice(known, _MOST):
        names.setdefault(str(one).casefold(), str(one))
    near = difflib.get_close_matches(str(name).casefold()[:200], list(names), 1, _LEAST)
    return f" (did you mean {names[near[0]]!r:.80}?)" if near else ""
