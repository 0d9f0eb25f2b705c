"""Helpers for the scripts in this folder: they choose the folder of a model, check it and store samples."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

MEASURED = 96
MODELS = Path(__file__).resolve().parents[2] / "models"


def folder(name: str) -> Path:
    """Return the folder `models/<name>`, creating it if necessary."""
    path = MODELS / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def run_onnx(path: Path, feeds: dict[str, np.ndarray]) -> list[Any]:
    """Run the ONNX file on these inputs, on one CPU thread, and return all outputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, feeds)
    return outputs


def report(path: Path, expected: np.ndarray, actual: np.ndarray) -> None:
    """Print size and opsets of a model, and how far onnxruntime is from the framework; fail if it is far."""
    difference = float(np.abs(expected - actual).max())
    model = onnx.load(path)
    opsets = ", ".join(f"{entry.domain or 'ai.onnx'} {entry.version}" for entry in model.opset_import)
    nodes = len(model.graph.node)
    print(f"{path.relative_to(MODELS)}: {path.stat().st_size} bytes, {nodes} nodes, IR {model.ir_version}, {opsets}")
    print(f"  largest absolute difference to the framework: {difference:.2e}, {len(expected)} inputs")
    if not np.allclose(expected, actual, rtol=1e-4, atol=1e-4):
        raise SystemExit(f"{path}: onnxruntime and the framework disagree")


def save_samples(path: Path, inputs: dict[str, np.ndarray], labels: np.ndarray) -> None:
    """Write `samples.npz`: real test data under the model's own input names, and their `labels`."""
    arrays: dict[str, Any] = {**inputs, "labels": labels}
    np.savez_compressed(path / "samples.npz", **arrays)


def save_measured(path: Path, inputs: dict[str, np.ndarray], labels: np.ndarray) -> None:
    """Write `measured.npz`: up to 96 further test rows, which `python -m tools.evaluation suite` measures on."""
    arrays: dict[str, Any] = {name: array[:MEASURED] for name, array in inputs.items()}
    np.savez_compressed(path / "measured.npz", **arrays, labels=labels[:MEASURED])


def save_lines(path: Path, lines: list[str]) -> None:
    """Write names of classes or features, one a line, in the model's order."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def remove_stack_traces(path: Path) -> None:
    """Remove the maker's local paths, which `torch.onnx.export(dynamo=True)` notes at every node, from the file."""
    model = onnx.load(path)
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key != "pkg.torch.onnx.stack_trace"]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(model, path)
