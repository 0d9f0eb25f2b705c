"""`deploy`: writes the folder that Triton, or KServe's runtime for it, loads an explained model from."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from onnxlrp._version import __version__
from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.printable import escaped
from onnxlrp.runtime import providers
from onnxlrp.runtime.reading import ModelFile, open_model
from onnxlrp.serving.batching import why_not_batched
from onnxlrp.serving.inference_service import inference_service
from onnxlrp.serving.served_tensors import ServedTensors, served_tensors
from onnxlrp.serving.triton_config import TritonConfig

CONFIG = "config.pbtxt"
_MODEL = "model.onnx"
_WRITTEN = "Written by onnxlrp"
STORAGE = "pvc://models"
"""Place that KServe reads the folder from, unless the caller names another."""


@dataclasses.dataclass(frozen=True)
class DeployRequest:
    """A model and how it is to be served."""

    model: Path
    out: Path
    """The model repository: the folder that holds a folder for each model."""
    server: str = "triton"
    """Either "triton" or "kserve"."""
    name: str = ""
    """Name of the model on the server; empty: that of the file."""
    max_batch_size: int = 8
    """Most samples that the server joins to a batch, where the model allows it."""
    without_optional: bool = False
    """True leaves out inputs with a default, such as `target`."""
    device: str = "auto"
    instances: int = 1
    storage: str = STORAGE

    @property
    def served_name(self) -> str:
        """Name of the model on the server: letters, digits, dots, underscores and hyphens."""
        stem = self.name or self.model.name.removesuffix(".onnx").removesuffix(".lrp")
        return re.sub(r"[^\w.-]", "_", stem, flags=re.ASCII).lstrip(".-") or "model"

    @property
    def folder(self) -> Path:
        """Folder of the model in the repository."""
        return self.out / self.served_name

    @property
    def service_file(self) -> Path:
        """File with the InferenceService, for KServe."""
        return self.out / f"{self.served_name}.yaml"


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A folder that was written, and what its configuration says."""

    config: TritonConfig
    files: tuple[Path, ...]
    not_batched: str
    """Reason why the server joins no requests; empty if it does."""


def deploy(request: DeployRequest) -> Deployed:
    """Write the folder of an explained model, whole or not at all; one that is there is replaced.

    Raises InvalidModelError if onnxlrp has not written the model, and InputError if the server cannot serve it.
    """
    opened = open_model(request.model)
    _refuse_source(opened)
    check_replaceable_folder(request.folder)
    config, reason = _configure(request, opened)
    request.out.mkdir(parents=True, exist_ok=True)
    with _whole_folder(request.folder) as draft:
        _copy_model(opened, draft / "1")
        (draft / CONFIG).write_text(config.text(), encoding="utf-8")
    files = [one for one in sorted(request.folder.rglob("*")) if one.is_file()]
    if request.server == "kserve":
        with atomic_write(request.service_file) as file:
            gpus = request.instances if request.device == "gpu" else 0
            file.write_text(inference_service(config.name, request.storage, min(gpus, 1)), encoding="utf-8")
        files.append(request.service_file)
    return Deployed(config, tuple(files), reason)


def check_replaceable_folder(folder: Path) -> None:
    """Raise InputError if there is something at the folder's place that `deploy` has not written."""
    if not folder.exists() and not folder.is_symlink():
        return
    config = folder / CONFIG
    is_own = folder.is_dir() and not folder.is_symlink() and config.is_file()
    if not is_own or _WRITTEN not in config.read_text(encoding="utf-8", errors="replace").partition("\n")[0]:
        raise InputError(f"'{escaped(folder)}' was not written by onnxlrp deploy: choose another --name, or move it")


def _refuse_source(opened: ModelFile) -> None:
    if opened.interface is None:
        raise InvalidModelError(
            f"{opened.place} is not an explained model, so that the server would give no relevance; write one with\n"
            f"  onnxlrp convert {opened.source if isinstance(opened.source, str) else 'MODEL'} -o OUT.lrp.onnx"
        )


def _configure(request: DeployRequest, opened: ModelFile) -> tuple[TritonConfig, str]:
    """Decide what is served and whether requests are joined, and say why not."""
    assert opened.interface is not None
    session = providers.create_session(opened.source, [providers.CPU])
    tensors: ServedTensors = served_tensors(session, opened)
    if request.without_optional:
        tensors = tensors.without_optional()
    reason = "--max-batch-size 0" if not request.max_batch_size else why_not_batched(tensors, opened, session)
    composite = escaped(opened.interface.composite)
    about = f"{_WRITTEN} {__version__}: {composite} explains {escaped(opened.explained)}"
    size = 0 if reason else request.max_batch_size
    return TritonConfig(request.served_name, tensors, size, request.device, request.instances, about), reason


def _copy_model(opened: ModelFile, version: Path) -> None:
    """Copy the model and the files of its weights, byte for byte."""
    source = Path(str(opened.source))
    beside = {name: _beside(source, name) for name in opened.weights}
    if Path(_MODEL) in beside.values():
        raise InputError(f"the model's weights lie in a file {_MODEL}, the name that the server reads the model by")
    version.mkdir()
    shutil.copyfile(source, version / _MODEL)
    for name, place in beside.items():
        (version / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, version / place)


def _beside(model: Path, weights: str) -> Path:
    """Return the path of a file of weights from the folder of its model."""
    return Path(os.path.relpath((model.parent / weights).resolve(), model.parent.resolve()))


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Open a draft of a folder beside it, which takes its place if the block ends without an error."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
    old = draft.with_name(f"{draft.name}.old")
    draft.mkdir()
    try:
        yield draft
        if folder.exists():
            folder.replace(old)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
