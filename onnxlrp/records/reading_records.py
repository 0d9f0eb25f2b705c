"""Records from Python: `onnxlrp.records.read_record`."""

from __future__ import annotations

import os
from pathlib import Path

from onnxlrp.runtime.record import Record
from onnxlrp.view.record_files import find_record


def read_record(path: str | os.PathLike[str]) -> Record:
    """Read the record of a file that `Explanation.save`, `onnxlrp explain` or `onnxlrp report` wrote.

    Parameters
    ----------
    path
        The file of results, or the `.record.json` beside it.

    Returns
    -------
    Record
        What the file says of the explanation in it. Nothing of it is checked; `verify` does that.

    Raises
    ------
    InputError
        There is no such file, it has no record, or a damaged one.

    Examples
    --------
    ```python
    explainer({"image": x}).save("explanation.json")
    onnxlrp.records.read_record("explanation.json").versions["onnxruntime"]
    ```
    """
    return find_record(Path(path)).record
