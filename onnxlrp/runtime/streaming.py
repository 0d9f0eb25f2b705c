"""Explanation of many batches: the next ones are read while one is computed, and a later run continues a folder."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlrp.errors import OnnxLrpError
from onnxlrp.runtime import results
from onnxlrp.runtime.archive import contents, hash_of_arrays, unused
from onnxlrp.runtime.batches import Batches
from onnxlrp.runtime.cautions import warn
from onnxlrp.runtime.input_kinds import says_ids
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.matched_columns import takes_a_column, takes_a_table
from onnxlrp.runtime.progress_bar import progress_bar
from onnxlrp.runtime.record import KEY
from onnxlrp.runtime.recorder import recorder_of
from onnxlrp.runtime.results import Results
from onnxlrp.runtime.text import takes_text

if TYPE_CHECKING:
    from onnxlrp.runtime.explainer import Explainer
    from onnxlrp.runtime.explanation import Explanation

_READERS = 2
"""Number of threads that open files, cut texts and check arrays."""
_AHEAD = 3
"""Number of batches that are read ahead, and so held in memory besides the one that runs."""
_ROWS = 256
"""Number of rows of a table in a batch: enough for a processor to be busy, few enough for any memory."""
_COLUMNS = 1000
"""Most columns of such a table; an input with more may be a recording, whose layers take far more memory."""


def explain_batches(
    explainer: Explainer,
    batches: Batches,
    progress: bool,
    which: Sequence[int] | None = None,
    note: Callable[[int], None] = lambda index: None,
    explain: bool = True,
) -> Iterator:
    """Explain all batches, or those of the indices `which`, in order; yields (index, explanation).

    `note` is called with the index of each batch, in the thread that reads it, just before it is read; `explain=False`
    gives the model's outputs alone.
    """
    waiting = collections.deque(range(len(batches)) if which is None else which)
    watch = explainer.watch()

    def prepare(index: int) -> tuple[Any, dict[str, Any]]:
        note(index)
        batch = batches.read(index)
        prepared = explainer.prepare(batch.inputs, preprocess=batches.preprocess)
        columns = {**prepared.columns, **batches.columns}
        originals = {**prepared.originals, **batches.originals(index)}
        files = {**prepared.files, **batches.files(index)}
        pixels = {**prepared.pixels, **batches.pixels(index)}
        more = {"columns": columns, "originals": originals, "files": files, "pixels": pixels}
        more |= {"ids": batches.ids(index), "masks": batches.masks(index)}
        return dataclasses.replace(prepared, **more), batch.options

    reading: collections.deque[tuple[int, concurrent.futures.Future]] = collections.deque()
    with progress_bar(progress, "explaining", batches.count, _samples(batches, waiting)) as advance:
        pool = concurrent.futures.ThreadPoolExecutor(_READERS, thread_name_prefix="onnxlrp-read")
        try:
            while waiting or reading:
                while waiting and len(reading) < _AHEAD:
                    index = waiting.popleft()
                    reading.append((index, pool.submit(prepare, index)))
                index, future = reading.popleft()
                prepared, options = _in_its_place(future, batches, index)
                explanation = in_batches(explainer.compute(prepared, **options, explain=explain), batches, index)
                watch.see(explanation, prepared.feeds, batches.span(index)[0], partial=bool(prepared.masks))
                yield index, explanation
                advance(_samples(batches, [index]))
            warn(watch.cautions())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def in_batches(explanation: Explanation, batches: Batches, index: int) -> Explanation:
    """Note in an explanation which batch of how many samples it is of."""
    known = explanation.circumstances
    if known is None:
        return explanation
    place: dict[str, Any] = {"batch_size": batches.size, "samples": batches.span(index), "varying": batches.varying}
    noted = dataclasses.replace(known, **place)
    return dataclasses.replace(explanation, circumstances=noted)


def rows_at_once(explainer: Explainer, inputs: Mapping[str, Any]) -> int | None:
    """Choose the number of samples in a batch: many where `inputs` are the columns of a table; None for the usual
    number, and where the model's file declares it."""
    first = explainer.inputs[next(iter(explainer.interface.relevance or explainer.inputs))]
    declared = first.shape is not None and first.shape[:1] and isinstance(first.shape[0], int)
    if declared or not takes_a_table(explainer.inputs):
        return None
    columns = sum(_columns(explainer.inputs[name], value) for name, value in inputs.items() if name in explainer.inputs)
    return _ROWS if columns <= _COLUMNS else None


def _columns(spec: TensorSpec, value: Any) -> float:
    """Count the columns of an input; infinity for ids of tokens, and where nothing tells the number."""
    if takes_text(spec) and not takes_a_column(spec) and says_ids(spec):
        return math.inf
    shape = getattr(value, "shape", None) or spec.shape or (None, None)
    columns = shape[1] if len(shape) > 1 else 1
    return columns if isinstance(columns, int) else math.inf


def about(explainer: Explainer, batches: Batches, explain: bool = True) -> dict[str, Any]:
    """Describe everything but the data of single batches that results depend on."""
    return {
        "format": results.FORMAT,
        **explainer.identity(batches.first()),
        "composite": explainer.interface.composite,
        "output": explainer.explained_output,
        "samples": batches.count,
        "batch_size": batches.size,
        "inputs": batches.names,
        "preprocess": batches.pixel_scale,
        "shared": batches.shared(),
        **({} if explain else {"explain": False}),
    }


def store(explainer: Explainer, batches: Batches, folder: Path, progress: bool, explain: bool = True) -> Results:
    """Write the explanations of all batches to a folder; those that it already holds are not computed again."""
    known = about(explainer, batches, explain)
    columns = {**explainer.columns, **batches.columns}
    marks: dict[int, str] = {}

    def mark(index: int) -> str:
        return batches.fingerprint(index, known)

    def note(index: int) -> None:
        marks[index] = mark(index)

    with results.open_store(folder, {**known, "columns": columns}) as output:
        spans = [batches.span(index) for index in range(len(batches))]
        missing = [i for i, span in enumerate(spans) if not results.is_done(output, span, functools.partial(mark, i))]
        for index, explanation in explain_batches(explainer, batches, progress, missing, note, explain):
            arrays = _arrays(explanation, explainer.interface.relevance)
            recorder = recorder_of(explanation)
            arrays[KEY] = np.array(recorder.record(hash_of_arrays(arrays, recorder.hashed())).to_text())
            results.write(output, spans[index], marks.pop(index), arrays)
    return output


def _arrays(explanation: Explanation, names: Any) -> dict[str, np.ndarray]:
    """Collect the content of one file: all of an explanation, its ledger as one row, its tokens as strings."""
    arrays = contents(explanation, names)
    if explanation.ledger is not None and arrays["relevance_ledger"] is explanation.ledger.values:
        arrays["relevance_ledger"] = explanation.ledger.values[None]
    if explanation.score is not None:
        arrays.setdefault("score", explanation.score)
    if explanation.position is not None:
        arrays.setdefault("position", explanation.position)
    for name, values in explanation.ids.items():
        arrays[unused(name, arrays)] = np.asarray(values)
    for name, rows in explanation.tokens.items():
        arrays.setdefault(f"{name}_tokens", np.array([row.names for row in rows], dtype=str))
    return arrays


def _samples(batches: Batches, which: Sequence[int]) -> int:
    return sum(stop - start for start, stop in map(batches.span, which))


def _in_its_place(future: concurrent.futures.Future, batches: Batches, index: int) -> Any:
    """Return the batch that was read; if reading it failed, raise the error with the samples that it is about."""
    try:
        return future.result()
    except OnnxLrpError as error:
        start, stop = batches.span(index)
        raise type(error)(f"samples {start} to {stop - 1}: {error}") from error
