"""Sentences for cautions: each says what is doubtful about an explanation, and what to try."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxlrp.interface import LEDGER_COLUMNS
from onnxlrp.runtime.ledger_table import Ledger

_COLUMN = {"bias": "the bias of", "epsilon": "ε at", "stopped": "the relevance that ends at"}
_TRY = {
    # On EfficientNet-Lite0 without the bias |R| was NaN under Epsilon (it grew to 1e32 half way), 1e6 under Gamma(0.1),
    # 90 under Gamma(0.25), for a score of 11.
    "bias": "zero_params='bias' in the rule of that step gives that share to the inputs (in deep networks under ZPlus "
    "or Gamma(0.25) only, because Epsilon and a small γ may overflow); without it relevance explains the score except "
    "for that constant",
    "epsilon": "a smaller ε, such as composite='epsilon(epsilon=1e-9)', or a Gamma rule keeps less",
    "stopped": "name more inputs with inputs=, or another rule; `onnxlrp inspect` says why relevance ends there",
    "remainder": "a step such as a softmax does not conserve relevance; under composite='cp_lrp' none reaches it",
}


def where(samples: int, first: int | None, total: int) -> str:
    """Say which samples a sentence is about, as words to append to it; empty if there is only one sample."""
    if first is None:
        return ", summed over all samples"
    if total == 1:
        return ""
    if samples == total:
        return f" in all {total} samples"
    return f" in {samples} of {total} samples (the first: sample {first})"


def not_finite_inputs(holes: Mapping[str, int], infinite: Mapping[str, int]) -> str:
    """Say how many NaN and infinities each input holds; empty if none does."""
    words = [f"input {name!r} holds {count} NaN" for name, count in holes.items() if count]
    words += [f"input {name!r} holds {count} infinite numbers" for name, count in infinite.items() if count]
    return ", ".join(words)


def harmless(inputs: str) -> str:
    """Make the sentence for NaN and infinities in the inputs that did no visible harm."""
    return f"{inputs}: the model treats these as missing values or ignores them"


def not_finite(where: str, inputs: str) -> str:
    """Make the sentence for NaN in the relevance or the score that comes from NaN or infinities in the inputs."""
    return f"relevance or score is NaN or infinite{where}: {inputs}. Replace these first"


def overflowed(where: str, ledger: Ledger | None, half: bool = False) -> str:
    """Make the sentence for NaN in the relevance or the score although the inputs hold none; `half` if relevance is
    reduced to float16."""
    if half:
        return (
            f"relevance or score is NaN or infinite{where}, though no input holds NaN or infinity. Relevance leaves "
            "this model in float16, which holds 65,504 at most: convert without reduce='float16'"
        )
    return (
        f"relevance or score is NaN or infinite{where}, though no input holds NaN or infinity{_starts(ledger)}. Shares "
        "that grow from layer to layer may overflow, those of Epsilon in deep networks most, above all with "
        "zero_params: try rules=[('Conv', 'Gamma(0.25)')]"
    )


def _starts(ledger: Ledger | None) -> str:
    """Name the first step at which relevance is not finite, and the largest finite amount that arrived up to there."""
    if ledger is None or not len(ledger):
        return "; converted with ledger=True the model says where it starts"
    arrives = ledger.values[:, 0].astype(np.float64)
    rows = np.flatnonzero(~np.isfinite(ledger.values).all(axis=1))
    if not rows.size:
        return ""
    before = np.abs(arrives[: rows[0] + 1])
    most = before[np.isfinite(before)].max(initial=0.0)
    return f"; it starts at {ledger.names[rows[0]]!r}, up to which relevance of at most {most:.2g} arrives at a step"


def no_gradient(where: str) -> str:
    """Make the sentence for a gradient of 0."""
    return (
        f"relevance is 0 everywhere{where}: the gradient is 0 where a function is flat or saturated, and its product "
        "with inputs of value 0 is too. Try composite='epsilon', which needs no slope"
    )


def zero(where: str, is_visible: bool, ledger: Ledger | None) -> str:
    """Make the sentence for relevance of 0."""
    but = ", although the score is not" if is_visible else ""
    return (
        f"relevance is 0 everywhere{where}{but}. Inputs of value 0 get no share, and rules of positive parts (ZPlus) "
        f"give nothing where all contributions are negative; else try composite='epsilon'{where_it_went(ledger)}"
    )


def not_positive(where: str, is_visible: bool) -> str:
    """Make the sentence for relevance of 0 under a composite that explains positive scores only."""
    because = "the score is negative" if is_visible else "that is 0 where the score is not positive"
    return (
        f"relevance is 0 everywhere{where}: this composite explains max(0, score), and {because}. Explain another "
        "class, or try composite='epsilon'"
    )


def large(where: str, size: float, score: float | None) -> str:
    """Make the sentence for relevance out of proportion to the score, with the worst sample's numbers."""
    of = "" if score is None else f" for a score of {score:.3g}"
    return (
        f"absolute relevance adds up to more than 100 times the score{where}, to {size:.3g}{of} at worst: large "
        "shares cancel out, and the map says little. Try a Gamma rule for convolutions, such as "
        "rules=[('Conv', 'Gamma(0.25)')], or a larger ε, such as composite='epsilon(epsilon=0.1)'"
    )


def absorbed(where: str, ledger: Ledger | None) -> str:
    """Make the sentence for a score of which less than half arrives at the inputs."""
    lost = f"less than half of the score arrives at the explained inputs{where}"
    if ledger is None or not len(ledger):
        return (
            f"{lost}: biases, ε, steps that do not conserve relevance or other inputs keep the rest. Converted with "
            "ledger=True the model says which (`onnxlrp check` does so)"
        )
    return lost + where_it_went(ledger)


def turned(where: str) -> str:
    """Make the sentence for relevance that was divided by a negative score."""
    return (
        f"initial='one' divides relevance by the score, which is negative{where}: the signs of the whole map are "
        "reversed there. Multiply it by -1, or convert with initial='output'"
    )


def negative(where: str) -> str:
    """Make the sentence for a class whose own score is negative."""
    return (
        f"the score of the explained class is itself negative{where}: relevance adds up to a negative "
        "number. For the difference from other classes use target='weights' with onnxlrp.contrastive"
    )


def where_it_went(ledger: Ledger | None) -> str:
    """Name the one or two cells of the ledger that kept most of the score, and say what to try against the first."""
    cells = [] if ledger is None else _largest(ledger)
    if ledger is None or not cells:
        return ""
    names = " and ".join(f"{_of(column)} {ledger.names[row]!r}" for row, column in cells)
    return f". Most of the score stays in {names}: {_TRY[cells[0][1]]}"


def _of(column: str) -> str:
    return _COLUMN.get(column, "the remainder of")


def _largest(ledger: Ledger) -> list[tuple[int, str]]:
    """Find the one or two cells that kept most, as (row, column); a second one must hold a quarter of the first."""
    cells = ledger.values[:, 2:].astype(np.float64)
    cells = np.where(np.isfinite(cells), cells * np.sign(np.nansum(cells)), 0.0)
    order = np.argsort(-cells, axis=None, kind="stable")[:2]
    values = cells.ravel()[order]
    largest = []
    for place, value in zip(order, values, strict=True):
        row, column = divmod(int(place), cells.shape[1])
        if value > 0 and value >= values[0] / 4:
            is_remainder = column == 0 and ledger.marked[row]
            largest.append((row, "remainder" if is_remainder else LEDGER_COLUMNS[2 + column]))
    return largest
