"""Comparison of a model with its source by `onnxlrp check`, and the sums of its ledger."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.runtime import Explainer, Explanation, checking, providers
from onnxlrp.runtime.reading import ModelFile
from onnxlrp.view import explanation_json, tables, terminal

_TOP_STEPS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class CheckedModel:
    """Results of `check`; `problems` is empty if all is well."""

    outputs: list[checking.OutputCheck] | None
    """Comparison of the outputs; None if the source is not at hand."""
    conservation: checking.Conservation | None
    """Sums over the ledger; None if the model has no ledger."""
    explanation: Explanation
    problems: list[str]


def check(
    source: ModelFile | None, model: Any, arrays: Mapping[str, Any] | None, names: Sequence[str], seed: int = 0
) -> CheckedModel:
    """Run an explained model, and its source if that is at hand, on the same arrays; if `arrays` is None, on random
    ones."""
    chosen = list(names) or None
    explainer = Explainer(model, providers=chosen)
    session = None if source is None else providers.create_session(source.source, chosen)
    quietly = _run_quietly(explainer)
    if arrays is None:
        run = quietly if session is None else functools.partial(providers.run, session, None)
        arrays = checking.fitting_inputs(explainer.inputs, run, seed)
        explanation = quietly(arrays)
    else:
        explanation = explainer(arrays)
    outputs = None
    if session is not None:
        assert source is not None
        expected = providers.run(session, None, dict(arrays))
        prepared = explainer.prepare(arrays)
        others = [explainer.compute(prepared, explain=way).outputs for way in checking.ways_of(explainer) if not way]
        outputs = checking.compare_both(expected, [explanation.outputs, *others], source.halves)
    sums = checking.conservation(explanation)
    problems = checking.changed(outputs or ())
    problems += [
        f"the relevance of {name!r} holds NaN or infinity"
        for name, value in explanation.relevance.items()
        if not np.isfinite(value).all()
    ]
    if sums is not None and not sums.ok:
        problems.append(
            f"the ledger does not close at {sums.worst_step!r}: {sums.worst_gap:.2g} of all relevance is missing"
        )
    return CheckedModel(outputs, sums, explanation, problems)


def _run_quietly(explainer: Explainer) -> Callable[[dict[str, np.ndarray]], Explanation]:
    """Make a function that runs on random inputs without cautions, which would be about the explanation of noise."""
    return lambda arrays: explainer.compute(explainer.prepare(arrays))


def show_checked(checked: CheckedModel, is_random: bool) -> None:
    """Print the results of `check`."""
    if is_random:
        terminal.say("on random inputs; --input gives real ones")
    if checked.outputs is None:
        terminal.say("this is an explained model, whose source is not beside it: run check on its source instead")
    else:
        terminal.show(tables.outputs_table(checked.outputs))
    ledger = checked.explanation.ledger
    if ledger is not None and checked.conservation is None and checked.explanation.relevance_indices:
        terminal.say("the model keeps the largest relevance only, whose sum says nothing of conservation")
        return
    if checked.conservation is None or ledger is None:
        terminal.say("no ledger, so nothing to say of conservation (gradients conserve no relevance)")
        return
    terminal.show(tables.conservation_table(checked.conservation))
    if checked.conservation.base is not None:
        terminal.say("base value + Σ relevance = score; in the ledger the base value is a part of the bias")
    terminal.say(
        f"the ledger's largest gap is {checked.conservation.worst_gap:.1e} of all relevance; most was absorbed at"
    )
    terminal.show(tables.ledger_table(ledger, _TOP_STEPS))


def checked_json(checked: CheckedModel) -> dict[str, Any]:
    """Convert the results of `check` for a program that reads JSON."""
    outputs = None
    if checked.outputs is not None:
        outputs = [{**dataclasses.asdict(one), "ok": one.ok} for one in checked.outputs]
    sums = checked.conservation
    return explanation_json.plain(
        {
            "outputs": outputs,
            "conservation": None if sums is None else {**dataclasses.asdict(sums), "ok": sums.ok},
            "ledger": explanation_json.ledger_json(checked.explanation),
            "problems": checked.problems,
        }
    )
