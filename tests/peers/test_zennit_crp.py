"""Conditional maps, channels and reference samples, against zennit-crp on the same network."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.concepts.study_concepts import concepts_of
from tests.oracle.compare import TOLERANCE, Explained, error
from tests.oracle.composites import of_package
from tests.peers.test_zennit import ResNetCanonizer, basic_blocks, export, settle
from tests.peers.torch_nets import COMPOSITES, nn, torch

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
attribution = pytest.importorskip("crp.attribution")
concepts = pytest.importorskip("crp.concepts")

LAYERS = ("0", "3")
"""Names of the convolutions in the module."""


@pytest.fixture(scope="module")
def network():
    """A module of two convolutions in float64, its export, and the names of the convolutions' outputs there."""
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 36, 10),
        nn.ReLU(),
        nn.Linear(10, 5),
    )
    settle(module)
    proto = export(module, samples(2))
    values = dict(zip(LAYERS, (node.output[0] for node in proto.graph.node if node.op_type == "Conv"), strict=True))
    return module, proto, values


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-2, 2, size=(count, 3, 12, 12))


def conditional(module, x: np.ndarray, composite, *conditions: dict, **options):
    """zennit-crp's answer for one condition a sample."""
    data = torch.from_numpy(x).requires_grad_()
    return attribution.CondAttribution(module)(data, list(conditions), composite, record_layer=list(LAYERS), **options)


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_gamma_box"])
@pytest.mark.parametrize("masked", [{"3": [5]}, {"0": [1, 4]}, {"3": [0, 3, 6], "0": [2]}], ids=str)
def test_conditional_maps(network, name, masked):
    module, proto, values = network
    params = {"low": -2.0, "high": 2.0} if name == "epsilon_gamma_box" else {}
    x, composite = samples(3), COMPOSITES[name](**params)
    theirs = conditional(module, x, composite, *({"y": [target], **masked} for target in (0, 3, 1)))
    names = [values[layer] for layer in LAYERS]
    ours = Explained(proto, composite=of_package(name, **params), concepts=names, relevance_at=names)
    masks = {}
    for layer, channels in masked.items():
        mask = np.zeros((1, 6 if layer == "0" else 8))
        mask[:, channels] = 1
        masks[ours.interface.mask_inputs[values[layer]]] = mask
    found = ours.run({"x": x, **masks}, target=np.array([0, 3, 1]))
    # zennit-crp adds up the channels of its maps
    assert error(found[ours.interface.relevance["x"]].sum(1), theirs.heatmap.numpy()) <= TOLERANCE
    # by default it doubles the relevance that it records at a layer with a condition: findings/conditioned_relevance.sh
    theirs = conditional(
        module, x, composite, *({"y": [target], **masked} for target in (0, 3, 1)), exclude_parallel=False
    )
    for layer in LAYERS:
        at = found[ours.interface.relevance_at[values[layer]]]
        assert error(at, theirs.relevances[layer].numpy()) <= TOLERANCE


def test_relevance_beside_a_branch():
    """zennit-crp leaves out what passes beside a layer with a condition: the map less that of a mask of zeros."""
    module = basic_blocks()
    settle(module)
    x = samples(2)
    proto = export(module, x)
    convolutions = [node.output[0] for node in proto.graph.node if node.op_type == "Conv"]
    layer, value = "4.conv2", convolutions[2]
    data, composite = torch.from_numpy(x).requires_grad_(), COMPOSITES["epsilon_plus"](canonizers=[ResNetCanonizer()])
    conditions = [{"y": [target], layer: [1, 4]} for target in (0, 3)]
    theirs = attribution.CondAttribution(module)(data, conditions, composite).heatmap.numpy()
    ours = Explained(proto, composite=of_package("epsilon_plus"), concepts=[value])
    mask = np.array([[0.0, 1, 0, 0, 1, 0]])
    found, beside = (
        ours.run({"x": x, ours.interface.mask_inputs[value]: one}, target=np.array([0, 3]))["x_relevance"].sum(1)
        for one in (mask, 0 * mask)
    )
    assert np.abs(beside).max() > 1e-3
    assert error(found - beside, theirs) <= TOLERANCE


class Labelled(torch.utils.data.Dataset):
    def __init__(self, x: np.ndarray, labels: np.ndarray) -> None:
        self.x, self.labels = x, labels

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index):
        return torch.from_numpy(self.x[index]), int(self.labels[index])


def test_channels_and_reference_samples(network, tmp_path):
    visualization = pytest.importorskip("crp.visualization")
    helper = pytest.importorskip("crp.helper")
    module, _, values = network
    module, x = module.float(), samples(40).astype(np.float32)
    proto = export(module, x)
    labels = np.random.default_rng(1).integers(0, 5, size=len(x))
    study = concepts_of(proto, {"x": x}, layer=values["3"], composite="epsilon_plus_flat", target=labels)
    composite, concept = COMPOSITES["epsilon_plus_flat"](), concepts.ChannelConcept()

    one = conditional(module, x[:1], composite, {"y": [int(labels[0])]})
    shares = concept.attribute(one.relevances["3"], abs_norm=True).numpy()
    np.testing.assert_allclose(study.shares["relevance"][:1], shares, rtol=1e-3, atol=1e-6)
    ranking = [channel.channel for channel in study.ranking(sample=0, count=8)]
    assert ranking == np.argsort(-shares[0]).tolist()

    crp = attribution.CondAttribution(module)
    found = visualization.FeatureVisualization(crp, Labelled(x, labels), {"3": concept}, path=str(tmp_path))
    found.run(composite, 0, len(x), batch_size=8)
    for by, folder in (("relevance", found.RelMax.PATH), ("activation", found.ActMax.PATH)):
        indices, amounts, _ = helper.load_maximization(folder, "3")
        for channel in range(8):
            ours = study.references(channel, by, len(x))
            np.testing.assert_allclose(study.shares[by][list(ours), channel], amounts[:, channel], rtol=1e-3, atol=1e-6)
            assert list(ours[:6]) == indices[:6, channel].tolist()
    module.double()
