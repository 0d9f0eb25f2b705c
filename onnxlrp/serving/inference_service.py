"""InferenceService of KServe: the YAML that serves a Triton model repository with the v2 protocol."""

from __future__ import annotations

import json
import re

_LONGEST = 63
"""Most characters of a name in Kubernetes."""


def inference_service(name: str, storage: str, gpus: int = 0) -> str:
    """Write the YAML of a service that serves the model `name` with KServe's runtime for Triton.

    `storage` is the place of the repository, the folder that holds the model's, as KServe takes it, such as
    `s3://bucket/models`; `gpus` is the number of GPUs that a replica asks for.
    """
    lines = [
        f"# Copy the folder {json.dumps(name)} to {json.dumps(storage)}, then: kubectl apply -f THIS_FILE",
        f"# Requests go to /v2/models/{name}/infer",
        "apiVersion: serving.kserve.io/v1beta1",
        "kind: InferenceService",
        "metadata:",
        f"  name: {json.dumps(service_name(name))}",
        "spec:",
        "  predictor:",
        "    model:",
        "      modelFormat:",
        "        name: onnx",
        "      runtime: kserve-tritonserver",
        "      protocolVersion: v2",
        f"      storageUri: {json.dumps(storage)}",
    ]
    if gpus:
        lines += ["      resources:", "        limits:", f'          nvidia.com/gpu: "{gpus}"']
    return "\n".join(lines) + "\n"


def service_name(name: str) -> str:
    """Turn a model's name into one that Kubernetes takes: small letters, digits and hyphens, a letter first."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"model-{plain}"
    return plain[:_LONGEST].strip("-")
