"""Sessions of onnxruntime for the benchmark: on the CPU, or on a GPU with bound inputs and CUDA graphs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from onnxlrp.runtime.cuda_graphs import TYPES, Bound, open_outputs

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
Run = Callable[[], dict[str, np.ndarray]]


def create(
    path: Path, provider: str, threads: int, *, tf32: bool = False, graph: bool = False, profile: Path | None = None
) -> Any:
    """Create a session on a model file; with `graph` it records a CUDA graph, or fails if the model cannot have one."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4 if graph else 3
    options.enable_mem_pattern = False  # `Explainer` switches it off, so the source runs without it too
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if provider == "cpu":
        return ort.InferenceSession(path, options, providers=[PROVIDERS["cpu"]])
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    cuda = {"use_tf32": str(int(tf32)), "enable_cuda_graph": str(int(graph))}
    session = ort.InferenceSession(path, options, providers=[(PROVIDERS["cuda"], cuda), PROVIDERS["cpu"]])
    if PROVIDERS["cuda"] not in session.get_providers():
        raise RuntimeError("onnxruntime could not start CUDA")
    return session


def feed(session: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Make the feeds of a model with one required input, in its type; all others keep their defaults."""
    (port,) = session.get_inputs()
    return {port.name: x.astype(TYPES[port.type])}


def plain(session: Any, feeds: Mapping[str, np.ndarray]) -> Run:
    """Make a function that runs a session in the usual way, arrays in, arrays out."""
    names = [port.name for port in session.get_outputs()]
    return lambda: dict(zip(names, session.run(names, feeds), strict=True))


def with_graph(path: Path, threads: int, tf32: bool, x: np.ndarray) -> tuple[Bound, str]:
    """Bind a session on CUDA, with a CUDA graph if the model can have one; the second result says whether it has."""
    try:
        session = create(path, "cuda", threads, tf32=tf32, graph=True)
        bound = Bound(session, feed(session, x), "cuda")
        if open_outputs(session):
            raise RuntimeError("its outputs have no static shapes")
        for _ in range(3):  # two plain runs and the capture; later runs replay it
            bound()
        return bound, "CUDA graph"
    except Exception as error:  # onnxruntime's errors have no other common base
        session = create(path, "cuda", threads, tf32=tf32)
        return Bound(session, feed(session, x), "cuda"), f"no CUDA graph: {str(error).strip().splitlines()[-1][:200]}"


def off_device(path: Path, provider: str, threads: int, x: np.ndarray, of_source: Collection[str]) -> dict[str, int]:
    """Count nodes of the relevance part that did not run on the provider, by operator, from the session's profile."""
    return astray(profile(path, provider, threads, x), PROVIDERS[provider], of_source)


def profile(path: Path, provider: str, threads: int, x: np.ndarray) -> list[dict[str, Any]]:
    """Read a session's own profile of one run."""
    with tempfile.TemporaryDirectory() as folder:
        session = create(path, provider, threads, profile=Path(folder) / "profile")
        plain(session, feed(session, x))()
        return json.loads(Path(session.end_profiling()).read_text())


def astray(events: Iterable[Mapping[str, Any]], wanted: str, of_source: Collection[str]) -> dict[str, int]:
    """Count nodes that ran on another provider, by operator, including copies between host and device.

    The source's own nodes are left out, by their names; a fused node has another name and counts.
    """
    found: dict[str, set[str]] = {}
    for event in events:
        facts = event.get("args", {})
        if event.get("cat") != "Node" or "provider" not in facts:
            continue
        node, operator = event["name"].removesuffix("_kernel_time"), facts["op_name"]
        if operator.startswith("Memcpy") or (facts["provider"] != wanted and node not in of_source):
            found.setdefault(operator, set()).add(node)
    return {operator: len(nodes) for operator, nodes in found.items()}
