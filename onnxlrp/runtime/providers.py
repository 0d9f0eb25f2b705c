"""Sessions of onnxruntime: on CUDA where it really works, else on the CPU, without stray lines on the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import sys
import threading
from collections.abc import Sequence
from typing import Any

from onnxlrp.errors import InputError, InvalidModelError, OnnxLrpError
from onnxlrp.runtime.cuda_graphs import GraphRuns

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
# TF32 keeps 10 bits of the mantissa: the model's own outputs would move by 1e-3, and LRP's small denominators far more.
_CUDA_OPTIONS = {"use_tf32": "0"}
# onnxruntime also raises every error that it logs, so only fatal ones (severity 4) are logged.
_FATAL = 4
_WARNING = 2
_PRELOADING = threading.Lock()


def onnxruntime() -> Any:
    """Import onnxruntime. Raises OnnxLrpError that says what to install if it is missing."""
    try:
        import onnxruntime as module
    except ImportError as error:
        raise OnnxLrpError(
            "running a model needs onnxruntime: pip install 'onnxlrp[cpu]', or 'onnxlrp[gpu]' for NVIDIA GPUs"
        ) from error
    return module


def create_session(
    model: str | bytes, providers: Sequence[Any] | None = None, *, optimise: bool = True, threads: int | None = None
) -> Any:
    """Open an InferenceSession on a path or on the bytes of a model.

    `providers=None` means CUDA where it works, else the CPU; anything else is given to onnxruntime unchanged.
    `threads` is the number of threads that compute a node; None leaves it to onnxruntime, which takes one a core.
    `optimise=False` computes every node of the file as it is written. Raises InputError if `providers` is no list of
    providers or names one that this onnxruntime lacks, and InvalidModelError if onnxruntime cannot load the model.
    """
    module = onnxruntime()
    if providers is None:
        wanted: list[Any] = [(CUDA, _CUDA_OPTIONS), CPU] if cuda_present() else [CPU]
    else:
        wanted = _pairs(providers)
        _check_known(wanted, module.get_available_providers())
    wants_cuda = any(_name(provider) == CUDA for provider in wanted)
    if wants_cuda:
        with _PRELOADING:  # it redirects standard output, which all threads share
            _preload(module)
    options = module.SessionOptions()
    options.log_severity_level = _FATAL
    # With memory patterns onnxruntime would allocate one block for all values from the second run on, and keep the
    # pieces of the first run. An explanation keeps every layer's values, so that this costs up to 1.4 times the memory,
    # and it saved no measurable time.
    options.enable_mem_pattern = False
    if threads is not None:
        options.intra_op_num_threads = threads
    if not optimise:
        options.graph_optimization_level = module.GraphOptimizationLevel.ORT_DISABLE_ALL
    module.set_default_logger_severity(_FATAL)  # a provider that fails to load logs here, not in the session
    try:
        session = module.InferenceSession(model, sess_options=options, providers=wanted)
    except Exception as error:  # onnxruntime's error classes have no other common base
        raise InvalidModelError(
            f"onnxruntime {module.__version__} cannot load {_place(model)}: {tidy_message(error)}"
        ) from error
    finally:
        module.set_default_logger_severity(_WARNING)
    if wants_cuda and CUDA not in session.get_providers():
        _tell_fallback()
    return session


def graph_runs(session: Any) -> GraphRuns | None:
    """Return the way to run a session that records CUDA graphs, None for any other session.

    Raises InputError if the shape of an output is not static.
    """
    recorded = session.get_provider_options().get(CUDA, {}).get("enable_cuda_graph") == "1"
    return GraphRuns(session) if recorded else None


def run(
    session: Any, names: Sequence[str] | None, feeds: dict[str, Any], graphs: GraphRuns | None = None
) -> dict[str, Any]:
    """Run a session and return its outputs by name. Raises InputError if the model does not run on these inputs."""
    options = onnxruntime().RunOptions()
    options.log_severity_level = _FATAL
    names = [output.name for output in session.get_outputs()] if names is None else list(names)
    try:
        if graphs is not None:
            outputs = graphs(feeds, options)
            return {name: outputs[name] for name in names}
        return dict(zip(names, session.run(names, feeds, options), strict=True))
    except Exception as error:
        raise InputError(f"the model does not run on these inputs: {tidy_message(error)}") from error


@functools.cache
def cuda_present() -> bool:
    """Decide whether onnxruntime was built for CUDA and the driver sees a device.

    onnxruntime-gpu lists CUDA on every machine, so the driver is asked; without a device CUDA is never requested.
    """
    if CUDA not in onnxruntime().get_available_providers():
        return False
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def tidy_message(error: Exception) -> str:
    """Shorten an onnxruntime error to its message, without its source locations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(line for line in lines if not line.startswith(("Stacktrace", "/onnxruntime_src")))
    head, _, tail = text.partition("/onnxruntime_src")
    if tail:  # "… /onnxruntime_src/file.cc:77 <signature> [message]"
        _, _, message = tail.partition(") ")
        text = head + (message or tail)
    return text if len(text) <= 600 else text[:600] + " …"


@functools.cache
def _preload(module: Any) -> None:
    """Load the CUDA and cuDNN libraries of the `cuda` extra; what this prints is dropped, `_tell_fallback` reports
    failures."""
    if hasattr(module, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            module.preload_dlls()


@functools.cache
def _tell_fallback() -> None:
    print(
        "onnxlrp: CUDA did not start, running on the CPU; pip install 'onnxlrp[cuda]' brings its libraries",
        file=sys.stderr,
    )


def _name(provider: Any) -> str:
    return provider if isinstance(provider, str) else provider[0]


def _pairs(providers: Any) -> list[Any]:
    """Check the given providers. Raises InputError unless they are a list of names, or of names with options."""
    given = providers if isinstance(providers, (list, tuple)) else [None]
    for one in given:
        pair = isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) and isinstance(one[1], dict)
        if not pair and not isinstance(one, str):
            raise InputError(
                "providers is a list of names, or of names with a dictionary of options such as "
                f'[("{CUDA}", {{"device_id": "0"}})], not {providers!r:.80}'
            )
    return list(given)


def _check_known(wanted: Sequence[Any], available: Sequence[str]) -> None:
    unknown = [_name(provider) for provider in wanted if _name(provider) not in available]
    if unknown:
        near = _in_full(unknown[0], available)
        raise InputError(f"this onnxruntime has no {', '.join(unknown)}{near}; it has {', '.join(available)}")


def _in_full(name: str, available: Sequence[str]) -> str:
    """Suggest the provider that a short name such as "cpu" stands for; CUDA is no slip of the pen for CPU."""
    full = {known.removesuffix("ExecutionProvider").lower(): known for known in available}
    found = full.get(name.lower().removesuffix("executionprovider"))
    return "" if found is None else f" (did you mean {found!r}?)"


def _place(model: str | bytes) -> str:
    return f"'{model}'" if isinstance(model, str) else "the model"
