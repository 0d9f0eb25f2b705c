"""Runtimes with a Python interface: `python -m tools.runtimes.in_python NAME FOLDER FIRST COUNT` answers jobs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.runtimes import tensors
from tools.runtimes.jobs import answer_file

Run = Callable[[Mapping[str, np.ndarray], Sequence[str]], Sequence[Any]]
"""A loaded model: from feeds and names of outputs to these outputs."""


def by_onnxruntime(path: str, optimised: bool = True) -> Run:
    """Load a file in onnxruntime on a processor."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds, fetch: session.run(list(fetch), dict(feeds))


def by_openvino(path: str) -> Run:
    """Load a file in OpenVINO, which computes in bfloat16 on some processors unless it is told float32."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(feeds: Mapping[str, np.ndarray], fetch: Sequence[str]) -> Sequence[Any]:
        results = compiled(dict(feeds))
        return [np.array(results[compiled.output(name)]) for name in fetch]

    return run


def by_opencv(path: str) -> Run:
    """Load a file in OpenCV's dnn module, which writes why it does not load a file to the standard error alone."""
    import cv2

    with tempfile.TemporaryFile() as log:
        kept = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            net = cv2.dnn.readNetFromONNX(path, cv2.dnn.ENGINE_NEW)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        log.seek(0)
        if net.empty():
            raise RuntimeError(log.read().decode(errors="replace"))

    def run(feeds: Mapping[str, np.ndarray], fetch: Sequence[str]) -> Sequence[Any]:
        for name, array in feeds.items():
            net.setInput(np.ascontiguousarray(array), name)
        return [np.array(one) for one in net.forward(list(fetch))]

    return run


def by_tract(path: str) -> Run:
    """Load a file in tract: with the symbols of its shapes, and where that fails anew with the sizes of each call."""
    import onnx
    import tract

    outputs = [value.name for value in onnx.load(path, load_external_data=False).graph.output]
    try:
        whole = tract.onnx().load(path).into_model().into_runnable()
    except tract.TractError as error:
        whole, why = None, error  # The name of an exception ends with its block.

    def run(feeds: Mapping[str, np.ndarray], fetch: Sequence[str]) -> Sequence[Any]:
        model = tract.onnx().load(path)
        names = [model.input_name(index) for index in range(model.input_count())]
        # It takes a list; inputs that it does not list come last, as what is left over.
        arrays = [np.ascontiguousarray(feeds[name]) for name in (*names, *(feeds.keys() - set(names)))]
        try:
            if whole is None:
                raise why
            results = whole.run(arrays)
        except tract.TractError as error:
            results = _sized(model, arrays, error)
        return [results[outputs.index(name)].to_numpy() for name in fetch]

    return run


def _sized(model: Any, arrays: Sequence[np.ndarray], first: Exception) -> Any:
    """Run a model of tract with its inputs' sizes set; where that fails too, both errors are told."""
    import tract

    for index, array in enumerate(arrays[: model.input_count()]):
        model.set_input_fact(index, ",".join([*map(str, array.shape), _TRACT[array.dtype.name]]))
    try:
        return model.into_model().into_runnable().run(arrays)
    except tract.TractError as error:
        told = (_without_stack(one) for one in (first, error))
        raise RuntimeError("; with the sizes of a call: ".join(told)) from error


def _without_stack(error: BaseException) -> str:
    """Cut the stack of a program in Rust from its error."""
    return str(error).partition("Stack backtrace")[0].strip()


_TRACT = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "bool": "bool"}


def by_onnx2torch(path: str) -> Run:
    """Turn a file into a torch module."""
    import onnx
    import torch

    # It registers operators of torchvision that a build without CUDA does not have.
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("_meta_registrations"))
    import onnx2torch

    model = onnx.load(path)
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in known]
    outputs = [value.name for value in model.graph.output]
    module = onnx2torch.convert(model).eval()

    def run(feeds: Mapping[str, np.ndarray], fetch: Sequence[str]) -> Sequence[Any]:
        with torch.no_grad():
            results = module(*(torch.from_numpy(np.array(feeds[name])) for name in inputs))
        results = [results] if isinstance(results, torch.Tensor) else list(results)
        return [results[outputs.index(name)].numpy() for name in fetch]

    return run


def by_reference(path: str) -> Run:
    """Load a file in onnx's reference evaluator."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(path)
    return lambda feeds, fetch: evaluator.run(list(fetch), dict(feeds))


LOADERS: dict[str, Callable[[str], Run]] = {
    "onnxruntime": by_onnxruntime,
    "openvino": by_openvino,
    "opencv": by_opencv,
    "tract": by_tract,
    "onnx2torch": by_onnx2torch,
    "reference": by_reference,
}


def answer(name: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run the calls of one job."""
    try:
        run = LOADERS[name](job["model"])
    except Exception as error:
        return {"error": told(error)}
    return {"calls": [_call(run, call) for call in job["calls"]]}


def _call(run: Run, call: dict[str, Any]) -> dict[str, Any]:
    try:
        results = run({name: tensors.from_json(tensor) for name, tensor in call["feeds"].items()}, call["fetch"])
        return {"outputs": {name: tensors.to_json(array) for name, array in zip(call["fetch"], results, strict=True)}}
    except Exception as error:
        return {"error": told(error)}


def told(error: BaseException) -> str:
    """Say an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:2000]


def main(name: str, folder: Path, first: int, count: int) -> None:
    """Answer the jobs from `first` on; each answer appears whole."""
    for index in range(first, count):
        found = answer(name, json.loads((folder / f"job-{index}.json").read_text(encoding="utf-8")))
        partial = folder / f"partial-{index}.json"
        partial.write_text(json.dumps(found))
        partial.rename(answer_file(folder, index))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
