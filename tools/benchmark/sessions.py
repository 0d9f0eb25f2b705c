"""Sessions of onnxruntime as the benchmark runs them: on the CPU, or on a GPU with bound inputs and CUDA graphs."""

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
    """A session on a model file. `graph`: with a CUDA graph, an error where the model cannot have one."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4 if graph else 3
    options.enable_mem_pattern = False  # as `Explainer` does, for the source's model too
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
    """The one input, in the type that the model wants; what else the model takes has its default."""
    (port,) = session.get_inputs()
    return {port.name: x.astype(TYPES[port.type])}


def plain(session: Any, feeds: Mapping[str, np.ndarray]) -> Run:
    """As everybody runs a session: arrays in, arrays out."""
    names = [port.name for port in session.get_outputs()]
    return lambda: dict(zip(names, session.run(names, feeds), strict=True))


def with_graph(path: Path, threads: int, tf32: bool, x: np.ndarray) -> tuple[Bound, str]:
    """On CUDA: a bound session, with a CUDA graph where the model can have one, and what became of that."""
    try:
        session = create(path, "cuda", threads, tf32=tf32, graph=True)
        bound = Bound(session, feed(session, x), "cuda")
        if open_outputs(session):
            raise RuntimeError("its outputs have no static shapes")
        for _ in range(3):  # two plain ones, the capture, and from then on it is replayed
            bound()
        return bound, "CUDA graph"
    except Exception as error:  # onnxruntime has no common base of its errors but Exception
        session = create(path, "cuda", threads, tf32=tf32)
        return Bound(session, feed(session, x), "cuda"), f"no CUDA graph: {str(error).strip().splitlines()[-1][:200]}"


def off_device(path: Path, provider: str, threads: int, x: np.ndarray, of_source: Collection[str]) -> dict[str, int]:
    """Nodes of the relevance part that did not run on the provider, by operator, from the session's own profile."""
    return astray(profile(path, provider, threads, x), PROVIDERS[provider], of_source)


def profile(path: Path, provider: str, threads: int, x: np.ndarray) -> list[dict[str, Any]]:
    """What the session says of one run of it."""
    with tempfile.TemporaryDirectory() as folder:
        session = create(path, provider, threads, profile=Path(folder) / "profile")
        plain(session, feed(session, x))()
        return json.loads(Path(session.end_profiling()).read_text())


def astray(events: Iterable[Mapping[str, Any]], wanted: str, of_source: Collection[str]) -> dict[str, int]:
    """Per operator, how many nodes ran on another provider, copies between host and device included.

    Only the source's own nodes are left out, by their names: what the session fused has a name of its own.
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
