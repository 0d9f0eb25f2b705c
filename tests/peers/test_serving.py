"""Folders for model servers, read by the servers' own packages, and run as their configuration says."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from onnxlrp.serving.deploy_model import DeployRequest, deploy
from tests.serving.test_deploy import NET, write

pytestmark = pytest.mark.engines
model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]")
text_format = pytest.importorskip("google.protobuf.text_format")

READER = """
import sys
import kserve, yaml
from kubernetes import client

def read(content, kind):
    of_kserve = getattr(kserve, kind, None)
    if of_kserve is None:
        return getattr(client, kind).from_dict(content) if hasattr(client, kind) else content
    names = {key: field for field, key in of_kserve.attribute_map.items()}
    return of_kserve(**{names[k]: read(value, of_kserve.openapi_types[names[k]]) for k, value in content.items()})

service = read(yaml.safe_load(open(sys.argv[1])), "V1beta1InferenceService")
model = service.spec.predictor.model
gpus = model.resources.limits["nvidia.com/gpu"]
print(model.model_format.name, model.protocol_version, model.runtime, model.storage_uri, service.metadata.name, gpus)
"""
CASES = {
    "optional target": {},
    "required target": {"target_input": "required"},
    "no target": {"target_input": "none"},
    "three targets": {"targets": 3, "target_input": "required"},
    "an element": {"target": "element"},
    "weights": {"target": "weights", "target_input": "required"},
    "ledger": {"ledger": True},
    "on demand": {"on_demand": True},
    "on demand without a target": {"on_demand": True, "target_input": "none"},
    "float64": {},
}


@pytest.mark.parametrize("case", CASES)
def test_the_model_answers_as_its_configuration_says(tmp_path, case):
    """Triton's own schema parses the file; names, types and sizes are those of the model in onnxruntime."""
    from tests.serving.as_configured import answer

    text = NET.replace("float", "double") if case == "float64" else NET
    model = write(tmp_path, text, **CASES[case])
    deploy(DeployRequest(model, tmp_path / "repository"))
    folder = tmp_path / "repository" / "net"
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config.ModelConfig())
    assert config.backend == "onnxruntime" and config.instance_group[0].count == 1
    assert (config.max_batch_size > 0) == config.HasField("dynamic_batching")
    if config.max_batch_size:
        assert not any(one.optional for one in config.input)
    relevance = answer(folder, config)["x_relevance"]
    assert np.isfinite(relevance).all()
    assert np.isfinite(answer(folder, config, optional=True)["x_relevance"]).all()


def test_the_service_is_one_of_kserve(tmp_path):
    """KServe's own classes know every field of the YAML. A process of its own reads it: kserve and tritonclient define
    messages of the same names, and cannot be imported together."""
    deploy(DeployRequest(write(tmp_path), tmp_path / "repository", "kserve", device="gpu"))
    words = [sys.executable, "-c", READER, str(tmp_path / "repository" / "net.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr:
        pytest.skip(f"needs kserve: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["onnx", "v2", "kserve-tritonserver", "pvc://models", "net", "1"]
