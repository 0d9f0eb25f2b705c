"""The benchmark's peers compute the very relevance that is timed here, on small networks of every kind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.peers.lxt_models import patched, transformers
from tests.peers.torch_nets import nn, torch

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # torch warns of its own exporter
pytest.importorskip("captum")
densenet = pytest.importorskip("torchvision.models.densenet")
resnet = pytest.importorskip("torchvision.models.resnet")
mobilenet = pytest.importorskip("torchvision.models.mobilenetv2")

from tools.benchmark import models, modules, peers, row, table, timing  # noqa: E402

SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 40}


class Bottlenecks(nn.Module):
    """ReLU used three times, a sum as `+=`, pooling as a function."""

    def __init__(self):
        super().__init__()
        project = nn.Sequential(nn.Conv2d(6, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6))
        self.block = resnet.Bottleneck(6, 2, downsample=project)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        h = self.block(nn.functional.relu(self.stem(x)))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(h, (1, 1)), 1))


NETS = {
    "bottlenecks": Bottlenecks,
    "inverted": lambda: mobilenet.MobileNetV2(5, inverted_residual_setting=[[1, 8, 1, 1], [2, 8, 2, 1]], dropout=0),
    "dense": lambda: densenet.DenseNet(4, (2, 2), 6, num_classes=5),
}


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3, 32, 32), np.float32)


def ids(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(3, 60, (count, 6))


@pytest.fixture
def options(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "LEAST", 0.0)
    # its subprocesses are looked at in tests/tools/test_benchmark.py
    monkeypatch.setattr(row.memory, "measure", lambda *_: {"peak": 1, "run": 1})
    return row.Options(folder=str(tmp_path), rounds=1, threads=1, pause=0.0)


class Added(nn.Module):
    def forward(self, a, b):
        return a + b


@pytest.mark.parametrize("net", NETS)
def test_rewritten(net):
    """As modules the network is the same function, and no ReLU, sum or foldable batch norm is left out."""
    network = models.build(models.Model(net, NETS[net], pictures, models.ON_PICTURES))
    rewritten = modules.as_modules(network, Added)
    x = torch.from_numpy(pictures(2))
    torch.testing.assert_close(rewritten(x), network(x), rtol=1e-4, atol=1e-4)
    functions = [node.target for node in rewritten.graph.nodes if node.op == "call_function"]
    assert set(functions) <= {torch.flatten, torch.cat, nn.functional.dropout}
    used = [node.target for node in rewritten.graph.nodes if node.op == "call_module"]
    assert len(used) == len(set(used))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("composite", models.ON_PICTURES)
def test_convolutional(net, composite, options):
    model = models.Model(net, NETS[net], pictures, models.ON_PICTURES)
    found = row.measure(model, net, 2, composite, options)
    theirs = {"Zennit", "Captum"} if composite == "epsilon" else {"Zennit"}
    assert set(found["differences"]) == theirs, found["missing"]
    assert set(found["seconds"]) == {"source", "explained", *theirs}
    for name, difference in found["differences"].items():
        assert difference["ours from float64"] < 2e-3, name
    assert "× slower" in table.markdown([found])


@pytest.mark.parametrize("composite", models.ON_ATTENTION[1:])
def test_transformer(composite, options):
    config = transformers.GPT2Config(vocab_size=61, n_embd=24, n_layer=1, n_head=4, n_positions=32)
    build = lambda: models.Scores(transformers.GPT2LMHeadModel(config), {"use_cache": False})
    model = models.Model("gpt2", build, ids, models.ON_ATTENTION, lxt="gpt2")
    task = peers.Task(model, None, composite, ids(1))
    row.measure(model, "gpt2", 2, composite, dataclasses.replace(options, peers=()))  # exports: patched it cannot be
    with patched(peers.lxt_patches(task)):
        found = row.measure(model, "gpt2", 2, composite, options)
    assert set(found["differences"]) == {"LXT"}, found["missing"]
    assert found["differences"]["LXT"]["ours from float64"] < 1e-4
    assert set(found["missing"]) == {"Zennit", "Captum"}


def test_recurrent(options):
    """No peer explains it, and the table says why."""
    model = models.Model("lstm", lambda: models.lstm(8, 6), lambda n: np.ones((n, 4, 8), np.float32), ("epsilon",))
    found = row.measure(model, "lstm", 1, "epsilon", options)
    assert set(found["missing"]) == {"Zennit", "Captum", "LXT"}
    assert "LXT is made for transformers" in table.markdown([found])
