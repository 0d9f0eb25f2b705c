"""Bare loops of onnxruntime over files on disk: the least that a program does which explains or predicts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image


class BareLoop:
    """A session of one thread, and the loops that feed it from files in batches of `size`."""

    def __init__(self, model: Path, size: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        self.input, self.size = self.session.get_inputs()[0], size

    def pictures(self, paths: Sequence[Path], folder: Path | None = None) -> None:
        """Decode pictures and run the model on them; with a folder, write each batch's outputs there as .npz."""
        for start in range(0, len(paths), self.size):
            batch = np.stack([self.pixels(path) for path in paths[start : start + self.size]])
            found = self.session.run(None, {self.input.name: batch})
            if folder is not None:
                np.savez(folder / f"{start}.npz", **dict(zip(self.names, found, strict=True)))

    def pixels(self, path: Path) -> np.ndarray:
        """Decode one picture to pixels of 0 to 1, [channels, height, width]."""
        channels, height, width = self.input.shape[1:]
        with Image.open(path) as opened:
            picture = opened.convert("RGB" if channels == 3 else "L").resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture, np.float32).reshape(height, width, channels)
        return pixels.transpose(2, 0, 1) / np.float32(255)

    def table(self, path: Path, out: Path | None = None) -> None:
        """Read a table and run the model on its rows; with `out`, write the rows and all outputs as one .parquet."""
        rows = _rows(path)
        found = list(self._runs(rows))
        if out is not None:
            _write(rows, [np.concatenate(parts) for parts in zip(*found, strict=True)], out)

    def _runs(self, rows: np.ndarray) -> Iterator[list[Any]]:
        for start in range(0, len(rows), self.size):
            yield self.session.run(None, {self.input.name: rows[start : start + self.size]})


def _rows(path: Path) -> np.ndarray:
    """Read a table as float32 [rows, columns], by the quickest reader that is in common use."""
    if path.suffix == ".csv":
        import pandas

        return pandas.read_csv(path, dtype=np.float32).to_numpy()
    import pyarrow.parquet

    return np.stack([column.to_numpy() for column in pyarrow.parquet.read_table(path).columns], axis=1)


def _write(rows: np.ndarray, outputs: Sequence[np.ndarray], out: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = np.concatenate([rows, *(one.reshape(len(rows), -1) for one in outputs)], axis=1)
    named = {f"c{index}": column for index, column in enumerate(columns.T)}
    pyarrow.parquet.write_table(pyarrow.table(named), out)
