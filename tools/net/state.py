"""Conversion of rows with the package that this process imports; writes the records of the results.

`python -m tools.net.state FOLDER` reads FOLDER/jobs.json; tools.net runs it once for each of the two states.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tools.net.emitted_graph import digest, operators, without
from tools.net.revision import check_imported
from tools.net.verdict import Record

Array = np.ndarray
LEDGER = "onnxlrp.ledger"


def main(folder: Path) -> None:
    """Convert every job and write its record to the place that it names."""
    check_imported(Path.cwd())
    for job in json.loads((folder / "jobs.json").read_text()):
        write(Path(job["record"]), convert(job))


def convert(job: Mapping[str, Any]) -> Record:
    """Make one record. If the model's digest is the known one, it is not run, because its values are the same."""
    import onnxlrp

    try:
        model = onnxlrp.convert(Path(job["model"]), job["composite"], **job["options"]).to_proto()
    except onnxlrp.errors.OnnxLrpError as error:
        return Record(refused=type(error).__name__)
    except Exception as error:  # a fault of this state, which the report shows
        return Record(refused=f"{type(error).__name__}: {error}")
    relevance = operators(model, relevance=True)
    ledger = next((json.loads(p.value) for p in model.metadata_props if p.key == LEDGER), None)
    untapped = operators(without(model, ledger), relevance=True) if ledger else relevance
    record = Record("", digest(model), relevance, operators(model), untapped)
    if job["feeds"] is None or record.digest == job["known"]:
        return record
    with np.load(job["feeds"]) as feeds:
        return dataclasses.replace(record, arrays=RUNNERS[job["runner"]](model, dict(feeds)))


def _by_reference(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    from onnx.reference import ReferenceEvaluator

    from tests.oracle import control, reference

    evaluator = ReferenceEvaluator(model, new_ops=[*reference.OPERATORS, control.Loop, control.Scan])
    with np.errstate(all="ignore"):
        return dict(zip((value.name for value in model.graph.output), evaluator.run(None, feeds), strict=True))


def _by_onnxruntime(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """Run the model and return every output that is a tensor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs() if port.type.startswith("tensor(")]
    return dict(zip(names, session.run(names, feeds), strict=True))


RUNNERS: dict[str, Callable[[onnx.ModelProto, dict[str, Array]], dict[str, Array]]] = {
    "reference": _by_reference,
    "onnxruntime": _by_onnxruntime,
}


def write(path: Path, record: Record) -> None:
    """Write a record as JSON, with its arrays beside it."""
    if record.arrays is not None:
        np.savez_compressed(path.with_suffix(".npz"), **record.arrays)
    fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(Record) if f.name != "arrays"}
    partial = path.with_suffix(f".{os.getpid()}")  # two runs may share the folder
    partial.write_text(json.dumps(fields))
    partial.rename(path)


def read(path: Path) -> Record:
    """Read a record that `write` wrote."""
    fields = json.loads(path.read_text())
    for name in ("relevance", "whole", "untapped"):
        fields[name] = Counter(fields[name])
    arrays = None
    if path.with_suffix(".npz").exists():
        with np.load(path.with_suffix(".npz")) as found:
            arrays = dict(found)
    return Record(**fields, arrays=arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
