"""Mean absolute relevance of each feature over many explanations, added up from the files that hold them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped
from onnxlrp.records.relevance_blocks import MOST, Block, blocks_of_arrays, blocks_of_file
from onnxlrp.runtime.record import Record
from onnxlrp.runtime.results import Results
from onnxlrp.view.record_files import BESIDE, find_record

_SUFFIXES = (".csv", ".parquet", ".npz", ".json")


class MeanRelevance:
    """Sums of absolute relevance by feature, and the records of the files that they were read from."""

    def __init__(self) -> None:
        self.rows = 0
        """Number of samples (times targets)."""
        self.records: list[Record] = []
        """Record of each file that has one."""
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, block: Block) -> None:
        """Add the relevance of some samples."""
        self.rows += max(map(len, block.values()), default=0)
        for name, values in block.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(np.abs(values.astype(np.float64)).sum())
            self._counts[name] = self._counts.get(name, 0) + len(values)
        if len(self._sums) > MOST:
            raise InputError(f"more than {MOST:,} features have relevance, too many to rank: give results of a table")

    @property
    def means(self) -> dict[str, float]:
        """Mean absolute relevance by feature."""
        return {name: total / self._counts[name] for name, total in self._sums.items() if self._counts[name]}


def mean_relevance(path: Path) -> MeanRelevance:
    """Read the explanations at a path: a folder that `Explainer.map` wrote, a file of results, or a folder of these.

    Raises InputError if there are none, or if they cannot be read.
    """
    found = MeanRelevance()
    if (path / "map.json").is_file():
        _add_results(Results(path), found)
    else:
        for file in _files(path):
            _add_file(file, found)
    if not found.rows:
        raise InputError(f"'{escaped(path)}' holds no sample with relevance")
    if not np.isfinite(list(found.means.values())).all():
        raise InputError(f"'{escaped(path)}' holds relevance that is NaN or infinite, which cannot be ranked")
    return found


def _files(path: Path) -> list[Path]:
    """List the files of results at a path."""
    if path.is_file():
        if path.suffix.lower() not in _SUFFIXES or path.name.endswith(BESIDE):
            raise InputError(f"'{escaped(path)}' holds no numbers of explanations: give {', '.join(_SUFFIXES)}")
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no file or folder '{escaped(path)}'")
    files = [one for one in sorted(path.iterdir()) if one.suffix.lower() in _SUFFIXES and one.is_file()]
    kept = [one for one in files if not one.name.endswith(BESIDE) and not one.name.startswith(".")]
    if not kept:
        raise InputError(f"the folder '{escaped(path)}' holds no results: no {', '.join(_SUFFIXES)}")
    return kept


def _add_results(results: Results, found: MeanRelevance) -> None:
    """Add a folder of `Explainer.map`, batch by batch."""
    for span, arrays in zip(results.spans(), results.batches(), strict=True):
        record = results.record(*span)
        found.records += [] if record is None else [record]
        found.add(blocks_of_arrays(arrays, results.columns, record))


def _add_file(path: Path, found: MeanRelevance) -> None:
    """Add the explanations in one file."""
    record = None
    with contextlib.suppress(InputError):  # a file of an earlier onnxlrp, or of another program
        record = find_record(path).record
        found.records.append(record)
    for block in blocks_of_file(path, record):
        found.add(block)
