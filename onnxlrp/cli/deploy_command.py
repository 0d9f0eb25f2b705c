"""`onnxlrp deploy`: a folder that a model server loads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from onnxlrp.cli import command_options as opt
from onnxlrp.cli.application import guarded
from onnxlrp.cli.arguments import print_json, usage
from onnxlrp.reprs import counted
from onnxlrp.view import terminal


@guarded
def deploy(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An explained ONNX file.", show_default=False)],
    server: Annotated[Literal["triton", "kserve"], typer.Option("--for", help="The server that loads the folder.")],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="DIR", help="Model repository: gets a folder by the model's name."),
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the model on the server (default: that of the file).")
    ] = "",
    max_batch_size: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Most samples that the server joins to a batch; 0: it joins none."),
    ] = 8,
    without_optional: Annotated[
        bool,
        typer.Option(
            "--without-optional",
            help="Leave out inputs with a default, such as target: the predicted class is explained, and Triton joins "
            "requests to batches, which it does for no model with optional inputs.",
        ),
    ] = False,
    device: Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Device that the server runs it on.")] = "auto",
    instances: Annotated[int, typer.Option(min=1, metavar="N", help="Copies of the model on each device.")] = 1,
    storage_uri: Annotated[
        str, typer.Option(metavar="URI", help="For KServe: where DIR will lie, such as s3://bucket/models.")
    ] = "",
    as_json: opt.Json = False,
    force: opt.Force = False,
    debug: opt.Debug = False,
) -> None:
    """Write the folder that Triton, or KServe, loads an explained model from, with its configuration."""
    from onnxlrp.serving import deploy_model

    if storage_uri and server != "kserve":
        raise typer.BadParameter("it is for --for kserve", param_hint="--storage-uri")
    storage = storage_uri or deploy_model.STORAGE
    request = deploy_model.DeployRequest(
        model, out, server, name, max_batch_size, without_optional, device, instances, storage
    )
    _refuse_existing(request, force)
    with terminal.progress(f"reading {model}"):
        deployed = deploy_model.deploy(request)
    if as_json:
        print_json(_as_json(deployed))
    else:
        _show(deployed, request)


def _refuse_existing(request: Any, force: bool) -> None:
    """Refuse, as wrong usage, a folder that is there already, or that would be written through a file."""
    from onnxlrp.replacing import check_replaceable
    from onnxlrp.serving.deploy_model import check_replaceable_folder

    if request.out.exists() and not request.out.is_dir():
        raise typer.BadParameter(f"'{request.out}' is a file", param_hint="-o")
    usage(check_replaceable_folder, request.folder, "-o")
    written = [request.folder, *([request.service_file] if request.server == "kserve" else [])]
    if request.server == "kserve":
        usage(check_replaceable, request.service_file, "-o")
    for path in written:
        if path.exists() and not force:
            raise typer.BadParameter(f"'{path}' exists already; --force overwrites it", param_hint="-o")


def _as_json(deployed: Any) -> dict[str, Any]:
    config = deployed.config
    return {
        "written": [str(path) for path in deployed.files],
        "name": config.name,
        "max_batch_size": config.max_batch_size,
        "not_batched": deployed.not_batched,
        **{kind: [dataclasses.asdict(one) for one in getattr(config.tensors, kind)] for kind in ("inputs", "outputs")},
    }


def _show(deployed: Any, request: Any) -> None:
    config = deployed.config
    for path in deployed.files:
        terminal.say(f"wrote {path}")
    terminal.say(f"the server calls it {config.name!r}: {counted(len(config.tensors.inputs), 'input')}, "
                 f"{counted(len(config.tensors.outputs), 'output')}")  # fmt: skip
    if config.max_batch_size:
        terminal.say(f"requests are joined to batches of at most {config.max_batch_size} samples")
    else:
        terminal.tell("note", f"requests are not joined to batches: {deployed.not_batched}")
    if request.server == "kserve":
        terminal.say(f"copy '{request.out}' to {request.storage}, then: kubectl apply -f {request.service_file}")
    else:
        terminal.say(f"tritonserver --model-repository={request.out.absolute()}")
