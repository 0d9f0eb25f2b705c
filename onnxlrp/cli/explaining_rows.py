"""Explanation of many rows of a table on the command line, written batch by batch to one file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxlrp.cli.arguments import print_json
from onnxlrp.cli.explained_samples import chosen_targets
from onnxlrp.runtime import Explainer, Explanation, streaming
from onnxlrp.runtime.batches import Batches
from onnxlrp.runtime.cli_inputs import Data
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.given_values import Given
from onnxlrp.runtime.recorder import dated
from onnxlrp.view import tables, terminal
from onnxlrp.view.explanation_json import cautions_json
from onnxlrp.view.feature_ranking import FeatureRanking, RankedFeature, ranking_of_columns
from onnxlrp.view.stored_table import store_table
from onnxlrp.view.table_file import TABLE_FORMATS, write_table

_MANY = 256
"""Number of rows above which they are explained batch by batch."""
_TOP = 10


@dataclasses.dataclass(frozen=True)
class WrittenRows:
    """Number of rows that were written, and the features that mattered most in all of them."""

    rows: int
    ranking: Sequence[RankedFeature]


def are_many(data: Data, out: Path | None) -> bool:
    """Decide whether data are explained batch by batch: rows without texts, more than one batch, for one table."""
    if out is None or out.suffix.lower() not in TABLE_FORMATS or data.tokens:
        return False
    lengths = {len(value) for value in data.arrays.values() if getattr(value, "ndim", 0)}
    return len(lengths) == 1 and lengths.pop() > _MANY


def explain_rows(
    model: Any,
    data: Data,
    asked: Mapping[str, Any],
    names: Sequence[str],
    out: Path,
    batch_size: int | None,
    as_json: bool,
    with_date: bool,
) -> None:
    """Explain all rows of the data, write them to a table, perhaps with the date in its record, and print what was
    written."""
    with terminal.cautions_heard() as cautions:
        written = write_rows(model, data, chosen_targets(asked), names, out, batch_size, with_date)
    if as_json:
        print_json({**rows_json(written, out), "cautions": cautions_json(cautions)})
    else:
        show_rows(written, out)


def write_rows(
    model: Any,
    data: Data,
    chosen: Mapping[str, Any],
    names: Sequence[str],
    out: Path,
    batch_size: int | None,
    with_date: bool = False,
) -> WrittenRows:
    """Explain all rows of the data and write them to a table; `names` are those of providers."""
    explainer = Explainer(model, providers=list(names) or None)
    headed = {name: one.columns for name, one in data.loaded.items() if one.columns}
    names_of_rows = {**data.ids, **data.table.ids}
    given = Given(dict(data.arrays), {**headed, **data.table.columns}, names_of_rows, files=dict(data.files))
    size = batch_size or streaming.rows_at_once(explainer, given.inputs)
    noted = dated if with_date else _unchanged
    if out.suffix.lower() == ".parquet":
        return _to_parquet(explainer, given, chosen, out, size, noted)
    ranking = FeatureRanking()

    def explanations() -> Iterator[Explanation]:
        for explanation in explainer.map(given, size, **chosen, progress=True):
            ranking.add(explanation)
            yield noted(explanation)

    return WrittenRows(write_table(explanations(), out), ranking.top(_TOP))


def _unchanged(explanation: Explanation) -> Explanation:
    return explanation


def _to_parquet(
    explainer: Explainer,
    given: Given,
    chosen: Mapping[str, Any],
    out: Path,
    size: int | None,
    noted: Callable[[Explanation], Explanation],
) -> WrittenRows:
    """Write a Parquet file as `Explainer.map` does, so that the same command continues after an interruption; a file
    that is there is replaced, because `--force` was given."""
    options = {"target": None, "position": None, "weights": None, **chosen}
    batches = Batches(given, options, explainer.inputs, explainer.interface, size, Preprocess.parse("auto"))
    stored = store_table(explainer, batches, out, progress=True, replace=True, noted=noted)
    return WrittenRows(stored.rows, ranking_of_columns(stored.batches(), _TOP))


def show_rows(written: WrittenRows, out: Path) -> None:
    """Print what was written, and the ranking of features."""
    terminal.show(tables.ranking_table(written.ranking, written.rows))
    terminal.say(f"wrote {written.rows:,} rows to {out}")


def rows_json(written: WrittenRows, out: Path) -> dict[str, Any]:
    """Convert what was written for a program that reads JSON."""
    return {"written": str(out), "rows": written.rows, "ranking": [dataclasses.asdict(one) for one in written.ranking]}
