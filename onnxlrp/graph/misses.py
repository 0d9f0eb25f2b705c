"""Why rewrites and recognisers did not apply to a node, kept only where a caller asks about that node.

A rewrite or recogniser runs its search through `attempt` and returns `miss(reason)` where a condition fails. Unless
somebody asks, an attempt is a plain call and a miss does nothing.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import onnx_ir as ir

from onnxlrp.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")


class Misses:
    """The reasons that belong to one node, each a sentence."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sentences: dict[str, None] = {}
        self.node: tuple[str, str] | None = None
        """The operator and the first output of the node, once the model is read."""
        self.reasons: list[str] | None = None
        """The reasons of the current attempt; None while it concerns another node."""

    def about(self, graph: ir.Graph, absorbed: Mapping[str, str]) -> list[str]:
        """Return the sentences, and one more if the canonical graph no longer has the node.

        `absorbed` names, for each value that a rewrite absorbed, where it went.
        """
        assert self.node is not None
        operator, output = self.node
        if any(node.name == self.name for node in graph.all_nodes()):
            return list(self.sentences)
        now = [
            f"its output {output!r} now comes from {n.op_type} {n.name!r}"
            for n in graph.all_nodes()
            if output in (v.name for v in n.outputs)
        ]
        now += [f"its output {output!r} lies in {absorbed[output]}"] if output in absorbed else []
        return [*self.sentences, f"{operator} {self.name!r} was rewritten: {[*now, 'nothing is left of it'][0]}"]


_LISTENING: ContextVar[Misses | None] = ContextVar("misses", default=None)


@contextlib.contextmanager
def asking(name: str | None) -> Iterator[Misses | None]:
    """Collect the misses at the node of this name; None if nobody asks about a node."""
    token = _LISTENING.set(None if name is None else Misses(name))
    try:
        yield _LISTENING.get()
    finally:
        _LISTENING.reset(token)


def find_asked(graph: ir.Graph) -> None:
    """Look up the node that a caller asks about in a model as it was read; raises InputError where there is none."""
    if (misses := _LISTENING.get()) is None:
        return
    nodes = {node.name: node for node in graph.all_nodes()}
    if misses.name not in nodes:
        near = difflib.get_close_matches(misses.name, map(str, nodes), 5, 0.5)
        similar = f"; names like it: {', '.join(map(repr, near))}" if near else ""
        raise InputError(f"the model has no node {misses.name!r:.200}{similar}")
    node = nodes[misses.name]
    misses.node = node.op_type, str(node.outputs[0].name)


def attempt(what: str, node: ir.Node, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call a search that concerns a node; `what` is said of the node where it returns None or False.

    ```python
    attempt("is not folded into a layer", node, _fold, rewriter, node)
    ```
    """
    misses = _LISTENING.get()
    if misses is None:
        return call(*args, **options)
    concerned = is_asked(node)
    outer, misses.reasons = misses.reasons, [] if concerned else None
    before = dict(misses.sentences)
    try:
        found = call(*args, **options)
    finally:
        reasons, misses.reasons = misses.reasons or (), outer
    if found is None or found is False:
        where = f"{node.op_type} {node.name!r} {what}"
        misses.sentences.update(dict.fromkeys(f"{where}: {reason}" for reason in reasons))
    elif concerned:
        misses.sentences = before  # The reasons against its other ways do not matter.
    return found


def miss(reason: str | Callable[[], str]) -> Any:
    """Give the reason why the current attempt fails, a function where it takes work to find.

    Returns None, so that `return miss(...)` ends a search for anything.
    """
    misses = _LISTENING.get()
    if misses is not None and misses.reasons is not None:
        misses.reasons.append(reason if isinstance(reason, str) else reason())


def is_asked(node: ir.Node) -> bool:
    """Decide whether a caller asks about a node."""
    misses = _LISTENING.get()
    return misses is not None and node.name == misses.name


def holds(condition: bool, reason: str | Callable[[], str]) -> bool:
    """Return a condition; where it does not hold, give the reason why the current attempt fails."""
    if not condition:
        miss(reason)
    return condition
