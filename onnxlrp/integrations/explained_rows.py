"""Rows of a batch and their explanations as a table of Arrow: the common ground of Ray and Spark."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.given_values import Given, by_name
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.view.arrow_tables import arrow, arrow_table, fitted_to, joined_tables
from onnxlrp.view.explanation_table import sample_rows

ERROR = "error"
"""Column that says why a row has no explanation; null for a row that has one."""
_MOST_FAILURES = 64
"""Runs of a batch that may fail, before what is left of it is given up together."""

Batch = dict[str, np.ndarray]
"""Columns of a batch by their names, or the values of the model's inputs."""


@dataclasses.dataclass(frozen=True)
class RowOptions:
    """Arguments of `Explainer` and of its call that hold for all rows."""

    target: Any = None
    position: Any = None
    weights: Any = None
    ids: tuple[str, ...] = ()
    preprocess: str = "auto"
    tokenizer: Any = None
    keep_inputs: bool = True
    """True puts the values of the model's columns beside their relevance."""


class RowExplainer:
    """Explains batches of rows; a row that cannot be explained is marked with its error, and the others go on.

    Raises InputError if the model takes batches of a fixed size above 1.
    """

    def __init__(
        self, model: Any, options: RowOptions, providers: Sequence[Any] | None = None, threads: int | None = None
    ) -> None:
        arrow()
        self.explainer = Explainer(model, providers, options.tokenizer, threads=threads)
        self.options = options
        self._one_by_one = _takes_one_row(self.explainer)
        self._schema: Any = None

    def table(self, rows: Batch) -> Any:
        """Explain rows, and return the table of them in their order: identifiers, results, relevance, and the error.

        Every table of a model has the same columns and types, those of `Explanation.save` and `ERROR`. Raises
        InputError if the columns do not fit the model, which no other row would change.
        """
        if not rows:  # a block without rows may have no columns either
            return arrow().table({})
        ids = {name: _column_of(rows, name) for name in self.options.ids}
        values = {name: column for name, column in rows.items() if name not in ids}
        schema = self.schema(values)
        count = _count(rows)
        if count == 0:
            return _beside(ids, schema.empty_table())
        tables: list[Any] = []
        self._explain(values, ids, schema, tables)
        return joined_tables(tables)

    def schema(self, rows: Mapping[str, np.ndarray]) -> Any:
        """Return the columns and types of all tables but for the identifiers: those of one blank row.

        Raises InputError if the columns of the rows do not fit the model.
        """
        if self._schema is None:
            found = arrow_table(sample_rows(self._shown(self._computed(self._blank(rows))))).schema
            self._schema = found.append(arrow().field(ERROR, arrow().string()))
        return self._schema

    def _blank(self, rows: Mapping[str, np.ndarray]) -> Given:
        """Make one row with the columns of these."""
        specs, known = self.explainer.inputs, self.explainer.columns
        none = {name: np.zeros(1, column.dtype) if self._one_by_one else column[:0] for name, column in rows.items()}
        named = by_name(none, specs, known)
        inputs = {name: _blank_input(value, specs[name]) for name, value in named.inputs.items() if name in specs}
        return Given({**named.inputs, **inputs}, named.columns)

    def _explain(self, values: Batch, ids: Batch, schema: Any, tables: list[Any], failures: int = 0) -> int:
        """Explain rows, by halves if they fail together, so that only the rows at fault are marked.

        The number of runs that have failed so far is given and returned.
        """
        count = _count(values)
        if count == 1 or not self._one_by_one:
            try:
                found = arrow_table(sample_rows(self._shown(self._computed(values))))
            except OnnxLrpError as error:
                failures += 1
                if count == 1 or failures > _MOST_FAILURES:
                    tables.append(self._marked(values, ids, schema, error))
                    return failures
            else:
                repeats = found.num_rows // count
                named = {name: np.repeat(column, repeats, axis=0) for name, column in ids.items()}
                tables.append(_beside(named, fitted_to(found, schema)))
                return failures
        for part in (slice(0, count // 2), slice(count // 2, count)):
            failures = self._explain(_rows(values, part), _rows(ids, part), schema, tables, failures)
        return failures

    def _computed(self, values: Any) -> Explanation:
        options, explainer = self.options, self.explainer
        prepared = explainer.prepare(values, preprocess=options.preprocess)
        return explainer.compute(prepared, options.target, options.position, options.weights)

    def _shown(self, explanation: Explanation) -> Explanation:
        """Take from an explanation what rows do not show; identifiers are put beside them."""
        inputs = explanation.inputs if self.options.keep_inputs else {}
        return dataclasses.replace(explanation, ids={}, inputs=inputs)

    def _marked(self, values: Batch, ids: Batch, schema: Any, error: OnnxLrpError) -> Any:
        """Make rows that hold their values, as far as they are of the right type, and the error."""
        count = _count(values)
        known = {name: column for name, column in values.items() if name in schema.names and column.ndim == 1}
        columns = []
        for field in schema:
            if field.name == ERROR:
                columns.append(arrow().array([f"{type(error).__name__}: {error}"] * count, field.type))
            else:
                columns.append(_as_far_as_it_goes(known.get(field.name), field.type, count))
        return _beside(ids, arrow().table(columns, schema=schema))


def _as_far_as_it_goes(column: np.ndarray | None, kind: Any, count: int) -> Any:
    """Convert a column of a failed batch; all of it is null if it is not of the right type."""
    module = arrow()
    try:
        return module.nulls(count, kind) if column is None else module.array(column.tolist()).cast(kind)
    except (module.ArrowInvalid, module.ArrowTypeError, module.ArrowNotImplementedError):
        return module.nulls(count, kind)


def _beside(ids: Batch, table: Any) -> Any:
    """Put identifiers to the left of a table."""
    named = _named(ids)
    columns = [*named.columns, *table.columns]
    return arrow().table(columns, names=[*named.column_names, *table.column_names])


def _named(ids: Batch) -> Any:
    """Make a table of identifiers. One that is missing in all rows is a text, because a column without a type could not
    be joined with that of other batches."""
    module, table = arrow(), arrow_table(ids)
    typed = [f.with_type(module.string()) if module.types.is_null(f.type) else f for f in table.schema]
    return table.cast(module.schema(typed))


def _takes_one_row(explainer: Explainer) -> bool:
    """Decide whether the model takes one row at a time. Raises InputError if it takes another fixed number."""
    spec = explainer.inputs[next(iter(explainer.interface.relevance or explainer.inputs))]
    first = spec.shape[0] if spec.shape else None
    if isinstance(first, int) and first > 1:
        raise InputError(
            f"the model takes batches of {first} only, and rows come in any number: export the source with an open "
            "axis 0, and convert it again"
        )
    return isinstance(first, int)


def _column_of(rows: Batch, name: str) -> np.ndarray:
    if name not in rows:
        raise InputError(f"the rows have no column {name!r:.80} for an identifier; they have {', '.join(rows)[:300]}")
    return rows[name]


def _count(rows: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(rows.values()))) if rows else 0


def _rows(columns: Batch, part: slice) -> Batch:
    return {name: column[part] for name, column in columns.items()}


def _blank_input(value: Any, spec: TensorSpec) -> np.ndarray:
    """Make one row of an input: zeros of the type that the rows have, or a text."""
    given, declared = np.asarray(value), spec.shape or ()
    sizes = [
        size if isinstance(size, int) else given.shape[axis] if axis < given.ndim else 1
        for axis, size in enumerate(declared)
    ]
    if given.dtype.kind not in "OUS":
        return np.zeros((1, *(sizes[1:] if declared else given.shape[1:])), given.dtype)
    is_text = spec.dtype is not None and spec.dtype.kind != "O"
    return np.full((1,) if is_text else (1, *sizes[1:]), "a", dtype=object)
