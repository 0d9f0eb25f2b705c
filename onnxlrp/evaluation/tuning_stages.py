"""Stages of a tuning: each varies the best candidates so far in one respect.

First the rule of all layers, then that of the stem, that of each kind of layer, a split of the network at half its
depth, the place of the split, and at last γ in finer steps.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

from onnxlrp.evaluation.candidates import DOWNSTREAM, UPSTREAM, Candidate, RuleChoice, names_of
from onnxlrp.evaluation.layer_kinds import PlannedLayer
from onnxlrp.rules import AlphaBeta, Bound, Epsilon, Flat, Gamma, Rule, WSquare, ZBox, ZPlus

LAYER_RULES: tuple[Rule, ...] = (
    Gamma(0.25),
    Gamma(1.0),
    Epsilon(),
    ZPlus(),
    Gamma(0.1),
    Gamma(0.5),
    AlphaBeta(),
    Gamma(0.05),
    Gamma(2.0),
    Epsilon(relative=0.25),
    AlphaBeta(1.5, 0.5),
    Epsilon(relative=0.05),
)
"""Rules that are tried at all layers, the most promising first: a small budget ends the list early."""
KIND_RULES: tuple[Rule, ...] = (Gamma(0.25), Gamma(0.05), Epsilon(), Gamma(1.0))
"""Rules that are tried at one kind of layer."""
SPLIT_RULES: tuple[Rule, ...] = (Epsilon(), Gamma(0.25), ZPlus(), Gamma(1.0), Gamma(0.05), AlphaBeta())
"""Rules that are tried on one side of a split."""
DEPTHS = (0.25, 0.75, 0.375, 0.625)
"""Places that a split at half the depth is moved to."""
STEM, LAYERS = "stem", "layers"


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage: a function from the best candidates so far, the best first, to new ones."""

    name: str
    vary: Callable[[Sequence[Candidate]], Iterator[Candidate]]
    weight: int = 1
    """Share of the budget, in parts."""


def stages_for(layers: Sequence[PlannedLayer], box: tuple[Bound, Bound] | None) -> list[Stage]:
    """List the stages that suit a model, by its layers under `auto`; `box` are bounds of its input."""
    if not layers:
        return []
    kinds = [kind for kind in dict.fromkeys(one.kind for one in layers if not one.role.last) if kind != "convolution"]
    one_by_one = kinds if len({one.kind for one in layers if not one.role.last}) > 1 else []
    return [
        Stage("rule of all layers", _vary_layers, weight=3),
        Stage("stem", functools.partial(_vary_stem, box=box)),
        *(Stage(f"rule of {kind}", functools.partial(_vary_kind, kind=kind)) for kind in one_by_one),
        Stage("split", _split, weight=2),
        Stage("place of the split", _move_split),
        Stage("finer γ", _refine),
    ]


def inner_layers(candidate: Candidate) -> list[PlannedLayer]:
    """List the layers that the choice for all layers covers: convolutions if there are any and there is no attention,
    else all; not the last layers before the score, nor a stem with a rule that stems alone have."""
    rules = candidate.rules()
    every = [one for one in candidate.start.layers if not one.role.last]
    has_convolutions = any(one.role.kind == "convolution" for one in every)
    if has_convolutions and not any(one.role.attention for one in every):
        every = [one for one in every if one.role.kind == "convolution"]
    stem = {name for choice in candidate.choices if choice.where == STEM for name in choice.names}
    return [one for one in every if one.name not in stem and not isinstance(rules[one.name], (Flat, WSquare, ZBox))]


def _vary_layers(best: Sequence[Candidate]) -> Iterator[Candidate]:
    """Give all layers one rule, starting from the two best candidates."""
    for rule in LAYER_RULES:
        for candidate in best[:2]:
            if names := names_of(inner_layers(candidate)):
                yield candidate.with_choice(RuleChoice(LAYERS, names, rule))


def _vary_stem(best: Sequence[Candidate], box: tuple[Bound, Bound] | None) -> Iterator[Candidate]:
    """Change the rule of the first layers; for embeddings, which have no rule, there is nothing to change."""
    boxes = () if box is None else (ZBox(*box),)
    for candidate in best[:3]:
        if names := names_of([one for one in candidate.start.layers if one.role.first]):
            for rule in (*boxes, Flat(), WSquare(), ZPlus(), Epsilon()):
                yield candidate.with_choice(RuleChoice(STEM, names, rule))


def _vary_kind(best: Sequence[Candidate], kind: str) -> Iterator[Candidate]:
    """Change the rule of one kind of layer."""
    for candidate in best[:1]:
        layers = [one for one in candidate.start.layers if one.kind == kind and not one.role.last]
        for rule in KIND_RULES if layers else ():
            yield candidate.with_choice(RuleChoice(kind, names_of(layers), rule))


def _split(best: Sequence[Candidate]) -> Iterator[Candidate]:
    """Give the half of the layers near the inputs, or the half near the score, another rule."""
    for rule in SPLIT_RULES:
        for candidate in best[:1]:
            for side in (DOWNSTREAM, UPSTREAM):
                if choice := _half(candidate, rule, side, 0.5):
                    yield candidate.with_choice(choice)


def _move_split(best: Sequence[Candidate]) -> Iterator[Candidate]:
    """Move the split of the best candidates that have one."""
    for depth in DEPTHS:
        for candidate in best[:2]:
            for old in (one for one in candidate.choices if one.side):
                if new := _half(candidate, old.rule, old.side, depth):
                    yield candidate.replacing(old, new)


def _half(candidate: Candidate, rule: Rule, side: int, depth: float) -> RuleChoice | None:
    """Choose a rule for the layers on one side of a split at this share of the depth; None for too few layers."""
    names = names_of(inner_layers(candidate))
    at = math.floor(len(names) * depth + 0.5)
    if not 0 < at < len(names):
        return None
    if side == UPSTREAM:
        return RuleChoice(f"first {at} of {len(names)} layers", names[:at], rule, side)
    return RuleChoice(f"last {len(names) - at} of {len(names)} layers", names[at:], rule, side)


def _refine(best: Sequence[Candidate]) -> Iterator[Candidate]:
    """Change each γ that was chosen by a factor of √2, up and down."""
    for candidate in best[:2]:
        for old in candidate.choices:
            if isinstance(old.rule, Gamma):
                for factor in (math.sqrt(0.5), math.sqrt(2)):
                    rule = dataclasses.replace(old.rule, gamma=float(f"{old.rule.gamma * factor:.3g}"))
                    yield candidate.replacing(old, dataclasses.replace(old, rule=rule))
