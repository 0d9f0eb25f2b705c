"""Explanation of samples by `onnxlrp explain`: at once, to one file, and printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.cli.arguments import print_json
from onnxlrp.runtime import Explainer, Explanation, text
from onnxlrp.runtime.cautions import Caution
from onnxlrp.runtime.cli_inputs import Data
from onnxlrp.runtime.joined import join
from onnxlrp.runtime.recorder import dated
from onnxlrp.targets import TARGETS
from onnxlrp.view import explanation_json, saving, summary, tables, terminal
from onnxlrp.view.class_labels import keys_of_maps
from onnxlrp.view.feature_ranking import FeatureRanking

_TOP_STEPS = 10
_SHOWN = 5
_LISTED = 20
_TOP_FEATURES = 10


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedSamples:
    """An explanation with everything that is needed to show it."""

    explanation: Explanation
    explainer: Explainer
    data: Data
    labels: Sequence[str]
    words: bool = False
    """True shows texts by word, not by token."""

    @property
    def samples(self) -> list[summary.Sample]:
        """Summaries of the explanation, per sample."""
        summaries = summary.summarise(self.explanation, self.data.arrays, self.labels, words=self.words)
        interface = self.explainer.interface
        one = TARGETS[interface.target].is_one_score(interface)
        return [dataclasses.replace(sample, target=None) for sample in summaries] if one else summaries

    @property
    def title(self) -> str:
        """Composite and explained output, in words."""
        return f"{self.explainer.interface.composite} on {self.explainer.explained_output!r}"


def explain(
    model: Any,
    data: Data,
    given: Mapping[str, Any],
    labels: Sequence[str],
    names: Sequence[str],
    words: bool = False,
    out: Path | None = None,
    reference: Mapping[str, Any] | None = None,
) -> ExplainedSamples:
    """Run an explained model.

    `given` holds target, position and weights, `labels` the names of the classes, `names` those of providers; `words`
    shows texts by word, and `out` is the file to write later. The difference from a `reference` is explained where
    there is one.
    """
    explainer = Explainer(model, providers=list(names) or None)
    if out is not None:
        saving.check_inputs(out, explainer.interface.relevance, explainer.inputs)
    chosen = chosen_targets(given)
    if explainer.interface.position_input is not None and chosen["position"] is None:
        chosen["position"] = text.ends(data.tokens)  # the last token, not the padding after it
    if "position" in TARGETS[explainer.interface.target].arguments:
        labels = labels or ([] if data.tokenizer is None else data.tokenizer.names)
    headed = {name: one.columns for name, one in data.loaded.items() if one.columns}
    explanation = _explanation(explainer, data, chosen, reference)
    columns = {n: names for n, names in {**headed, **data.table.columns}.items() if n in explanation.relevance}
    known: dict[str, Any] = {
        "tokens": data.tokens,
        "columns": {**explanation.columns, **columns},
        "ids": {**data.ids, **explanation.ids, **data.table.ids},
        "originals": data.originals,
    }
    if explanation.circumstances is not None:
        read: dict[str, Any] = {"files": data.files, "tokenizer": data.tokenizer if data.tokens else None}
        known["circumstances"] = dataclasses.replace(explanation.circumstances, **read)
    explanation = dataclasses.replace(explanation, **known)
    labels = labels or keys_of_maps(explanation.outputs.get(explainer.explained_output))
    if explanation.legend is not None:
        titles = tuple(labels) or explanation.legend.class_names
        legend = dataclasses.replace(explanation.legend, class_names=titles, pixels=data.pixels)
        explanation = dataclasses.replace(explanation, legend=legend)
    return ExplainedSamples(explanation, explainer, data, labels, words)


def _explanation(
    explainer: Explainer, data: Data, chosen: dict[str, Any], reference: Mapping[str, Any] | None
) -> Explanation:
    """Explain the data, or their difference from a reference, at once, or batch by batch if the model takes fewer
    samples than there are."""
    if any(chosen.get(name) is not None for name in ("at", "box", "mask")):
        sizes = next((one.sizes for one in data.loaded.values() if one.sizes), ())
        chosen["picture_size"] = sizes or None
    if reference is not None:
        given = {name: value for name, value in chosen.items() if value is not None}
        return explainer.compare(data.arrays, reference, **given)
    if data.batch_size is not None and "picture_size" not in chosen:
        return join(list(explainer.map(data.arrays, **chosen)))
    return explainer(data.arrays, **chosen)


def chosen_targets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Convert target, position and weights from the command line to the arguments of an explainer's call."""
    return {key: _given(value) for key, value in given.items()}


def _given(value: Any) -> Any:
    """Convert a list from the command line: an empty one to None, a single item to itself, any other to an array."""
    if not isinstance(value, list):
        return value
    return None if not value else value[0] if len(value) == 1 else np.array(value)


def hand_out(
    done: ExplainedSamples, cautions: Iterable[Caution], out: Path | None, as_json: bool, with_date: bool
) -> None:
    """Write the explanation to a file if one is named, perhaps with the date in its record, and print it."""
    if out is not None:
        explanation = dated(done.explanation) if with_date else done.explanation
        saving.save(saving.Material(explanation, done.data.arrays, done.samples, done.title), out)
    if as_json:
        written = {"written": None if out is None else str(out)}
        print_json({**_as_json(done), "cautions": explanation_json.cautions_json(cautions), **written})
        return
    _show(done)
    if out is not None:
        terminal.say(f"wrote {out}")


def _show(done: ExplainedSamples) -> None:
    """Print the explained samples with their most relevant features."""
    samples = done.samples
    terminal.say(f"{done.title}, {done.explainer.providers[0]}")
    terminal.show(tables.samples_table(samples[:_LISTED]))
    if len(samples) > _LISTED:
        terminal.say(f"and {len(samples) - _LISTED:,} more; -o OUT.csv writes all")
    if note := tables.sums_note(samples):
        terminal.say(note)
    for sample in samples[:_SHOWN]:
        if sample.features:
            terminal.show(tables.features_table(sample))
        if sample.texts:
            terminal.show(tables.texts_table(sample))
    if len(samples) > _SHOWN:
        ranking = FeatureRanking()
        ranking.add(done.explanation)
        if ranking.rows:
            terminal.show(tables.ranking_table(ranking.top(_TOP_FEATURES), ranking.rows))
    if done.explanation.ledger is not None:
        terminal.show(tables.ledger_table(done.explanation.ledger, _TOP_STEPS))


def _as_json(done: ExplainedSamples) -> dict[str, Any]:
    interface = done.explainer.interface
    return explanation_json.plain(
        {
            "composite": interface.composite,
            "output": done.explainer.explained_output,
            "provider": done.explainer.providers[0],
            "samples": [dataclasses.asdict(sample) for sample in done.samples],
            "ledger": explanation_json.ledger_json(done.explanation),
        }
    )
