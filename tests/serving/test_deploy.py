"""Folders for model servers: what the configuration says of inputs, outputs and batches."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import numpy_helper

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.serving.deploy_model import DeployRequest, deploy
from onnxlrp.serving.inference_service import inference_service, service_name
from tests.cli.test_commands import call

NET = """
<ir_version: 10, opset_import: ["": 21]>
net (float[N, 4] x) => (float[N, 3] scores)
<float[4, 3] W = {1, -1, 2, 0, -1, 3, 1, 1, 0, 2, 0, 1}>
{ h = Relu (x)  scores = MatMul (h, W) }
"""
WITH_TARGET = """\
name: "net"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: 0
input [
  {
    name: "x"
    data_type: TYPE_FP32
    dims: [ -1, 4 ]
  },
  {
    name: "target"
    data_type: TYPE_INT64
    dims: [ -1 ]
    optional: true
  }
]
output [
  {
    name: "scores"
    data_type: TYPE_FP32
    dims: [ -1, 3 ]
  },
  {
    name: "x_relevance"
    data_type: TYPE_FP32
    dims: [ -1, 4 ]
  }
]
instance_group [
  {
    kind: KIND_AUTO
    count: 1
  }
]
"""


def write(tmp_path, text=NET, **options):
    path = tmp_path / "net.lrp.onnx"
    onnxlrp.convert(onnx.parser.parse_model(text), "lrp0", **options).save(path)
    return path


def deployed(tmp_path, text=NET, asked=None, **options):
    return deploy(DeployRequest(write(tmp_path, text, **options), tmp_path / "repository", **(asked or {})))


def test_optional_inputs_leave_the_batch_to_the_request(tmp_path):
    """Triton refuses to load a model that has both optional inputs and a largest batch."""
    result = deployed(tmp_path)
    assert (tmp_path / "repository/net/config.pbtxt").read_text().partition("\n")[2] == WITH_TARGET
    assert "optional inputs ('target')" in result.not_batched
    assert (tmp_path / "repository/net/1/model.onnx").read_bytes() == (tmp_path / "net.lrp.onnx").read_bytes()


def test_a_required_target_is_joined_to_batches(tmp_path):
    """The batch axis is not part of the dimensions; what is left of [N] is written as a reshape to nothing."""
    text = deployed(tmp_path, target_input="required", asked={"max_batch_size": 32, "instances": 2}).config.text()
    assert "max_batch_size: 32" in text and "dynamic_batching { }" in text and "count: 2" in text
    assert "dims: [ 4 ]" in text and "-1" not in text and "optional" not in text
    assert 'name: "target"\n    data_type: TYPE_INT64\n    dims: [ 1 ]\n    reshape: { shape: [ ] }\n' in text


@pytest.mark.parametrize("options", [{"target_input": "none"}, {"asked": {"without_optional": True}}])
def test_without_a_target_requests_are_joined(tmp_path, options):
    config = deployed(tmp_path, **options).config
    assert config.max_batch_size == 8 and [one.name for one in config.tensors.inputs] == ["x"]


def test_a_fixed_first_axis_counts_no_samples(tmp_path):
    result = deployed(tmp_path, NET.replace("N", "2"), target_input="none")
    assert result.config.max_batch_size == 0 and "axis 0 of 'x' is not open" in result.not_batched


def test_a_ledger_counts_no_samples(tmp_path):
    result = deployed(tmp_path, target_input="none", ledger=True)
    assert result.config.max_batch_size == 0 and "relevance_ledger" in result.not_batched


def test_samples_that_influence_each_other_are_not_joined(tmp_path):
    """The declared shapes look like a batch; a run shows that it is none."""
    text = NET.replace(
        "h = Relu (x)", "axis = Constant <value_ints = [0]> ()  m = ReduceMean (x, axis)  h = Sub (x, m)"
    )
    result = deployed(tmp_path, text, target_input="none")
    assert result.config.max_batch_size == 0 and "influence each other" in result.not_batched


def test_external_weights_lie_beside_the_model(tmp_path):
    proto = onnx.parser.parse_model(NET)
    weight = numpy_helper.to_array(proto.graph.initializer[0])
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "W"))
    (tmp_path / "parts").mkdir()
    onnx.external_data_helper.convert_model_to_external_data(proto, location="parts/weights.bin", size_threshold=0)
    onnx.save(proto, tmp_path / "net.onnx")
    onnxlrp.convert(tmp_path / "net.onnx").save(tmp_path / "net.lrp.onnx", share_weights=True)
    result = deploy(DeployRequest(tmp_path / "net.lrp.onnx", tmp_path / "repository", name="other name"))
    folder = tmp_path / "repository/other_name/1"
    assert folder / "parts/weights.bin" in result.files
    (tmp_path / "parts/weights.bin").unlink()
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.run(["scores"], {"x": np.eye(4, dtype=np.float32)})[0].tolist() == weight.tolist()


def test_what_a_server_cannot_serve(tmp_path):
    onnx.save(onnx.parser.parse_model(NET), tmp_path / "plain.onnx")
    with pytest.raises(InvalidModelError, match=r"onnxlrp convert .*plain.onnx -o"):
        deploy(DeployRequest(tmp_path / "plain.onnx", tmp_path / "repository"))
    maps = NET.replace("(float[N, 3] scores)", "(seq(map(int64, float)) maps)").replace(
        'opset_import: ["": 21]', 'opset_import: ["": 21, "ai.onnx.ml": 3]'
    )
    zipmap = "ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2]> (scores)"
    maps = maps.replace("(h, W)", f"(h, W)  maps = {zipmap}")
    with pytest.raises(InputError, match=r"tensors only.*zipmap=False"):
        deployed(tmp_path, maps)
    assert not (tmp_path / "repository").exists()


def test_foreign_folders_stay(tmp_path):
    (tmp_path / "repository/net").mkdir(parents=True)
    (tmp_path / "repository/net/config.pbtxt").write_text('name: "net"\n')
    with pytest.raises(InputError, match="not written by onnxlrp deploy"):
        deployed(tmp_path)
    assert (tmp_path / "repository/net/config.pbtxt").read_text() == 'name: "net"\n'


def test_the_command(tmp_path):
    model, out = write(tmp_path), tmp_path / "repository"
    shown = call("deploy", model, "--for", "triton", "-o", out)
    assert "tritonserver --model-repository=" in shown.stdout and "--without-optional" in shown.stderr
    assert "--force" in call("deploy", model, "--for", "triton", "-o", out, status=2).stderr
    more = ("--force", "--without-optional", "--json", "--storage-uri", "s3://bucket/models", "--device", "gpu")
    content = json.loads(call("deploy", model, "--for", "kserve", "-o", out, *more).stdout)
    assert content["max_batch_size"] == 8 and len(content["written"]) == 3 and not content["not_batched"]
    assert "KIND_GPU" in (out / "net/config.pbtxt").read_text()
    assert [path.name for path in sorted(out.iterdir())] == ["net", "net.yaml"]
    assert (
        "--for kserve" in call("deploy", model, *["--for", "triton", "-o", "x", "--storage-uri", "y"], status=2).stderr
    )
    assert call("deploy", tmp_path / "none.onnx", "--for", "triton", "-o", out, status=3).stderr


def test_the_service_has_a_name_that_kubernetes_takes():
    assert service_name("Net_v1.2") == "net-v1-2" and service_name("7b") == "model-7b"
    assert len(service_name("a" * 99)) == 63
    text = inference_service("net", "pvc://models/a: b", gpus=1)
    assert 'storageUri: "pvc://models/a: b"' in text and 'nvidia.com/gpu: "1"' in text
