"""Einsum: any equation."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.operators.case import Case
from tests.operators.draws.common import draws, normal, pick

EQUATIONS = (
    "ij,jk->ik",
    "ij , jk",
    "bhid,bhjd->bhij",
    "ij,kj->ki",
    "bi,oi->bo",
    "ij->ji",
    "ij->i",
    "ij->",
    "ji",
    "i,i->",
    "i,j->ij",
    "ij,ij->ij",
    "ij,k->i",
    "ij,i->i",
    "ii->i",
    "ii->",
    "bii->bi",
    "iji->j",
    "ii,ij->j",
    "iij,jk->ik",
)
ELLIPSES = (
    "...ij,...jk->...ik",
    "...i->...",
    "i...->i",
    "...ii->...i",
    "...i,i...",
    "i...,j...->ij...",
    "...,...->...",
    "b...i,oi->b...o",
)
SEVERAL = ("ij,jk,kl->il", "i,j,ij->", "...i,...i,i->...", "ij,jk,ik->i")


def shapes_of(draw: DrawFn, equation: str) -> tuple[list[tuple[int, ...]], bool]:
    """A length for every letter; what an ellipsis hides broadcasts, and may be nothing. Whether all hide as many."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes = {letter: draw(st.integers(1, 3), label=letter) for letter in sorted(set("".join(terms)) - {"."})}
    hidden = tuple(draw(st.lists(st.integers(1, 3), max_size=2), label="..."))
    shapes, ranks = [], set()
    for term in terms:
        before, dots, after = term.partition("...")
        broad: tuple[int, ...] = ()
        if dots:
            broad = tuple(pick(draw, n, n, 1) for n in hidden)[pick(draw, 0, 0, len(hidden)) :]
            ranks.add(len(broad))
        shapes.append((*(sizes[c] for c in before), *broad, *(sizes[c] for c in after)))
    return shapes, len(ranks) < 2


def case_of(draw: DrawFn, op: str, equation: str) -> Case:
    shapes, alike = shapes_of(draw, equation)
    operands = [normal(draw, s) + 0.3 * i for i, s in enumerate(shapes)]
    every = tuple(range(len(operands)))
    data = pick(draw, every, *((i,) for i in every), every[:2])
    # onnxruntime wants all ellipses to hide as many axes, and one in the output.
    left, arrow, right = equation.partition("->")
    kept = not arrow or "..." not in left or "..." in right
    return Case(op, operands, data=data, attributes={"equation": equation}, deployed=alike and kept)


@draws("Einsum")
def einsum(draw: DrawFn, op: str) -> Case:
    return case_of(draw, op, pick(draw, *EQUATIONS))


@draws("Einsum")
def ellipses(draw: DrawFn, op: str) -> Case:
    return case_of(draw, op, pick(draw, *ELLIPSES))


@draws("Einsum")
def several(draw: DrawFn, op: str) -> Case:
    return case_of(draw, op, pick(draw, *SEVERAL))
