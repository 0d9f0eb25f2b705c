"""Clusters of explanations: a mark is found, and where there is none nothing stands apart."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import onnxlrp
from onnxlrp.cli import app
from onnxlrp.concepts.cluster_report import standing_apart
from onnxlrp.concepts.find_clusters import find_clusters
from onnxlrp.concepts.spectral_clusters import small_maps, spectrum_of
from onnxlrp.errors import InputError
from tests.concepts import marked

pytestmark = pytest.mark.peers
pytest.importorskip("sklearn")
MARKED = np.arange(90) % 3 == 0


@pytest.fixture(scope="module")
def clusters():
    return onnxlrp.clusters_of(marked.model(), marked.pictures(90, MARKED), neighbours=6, side=6)


def test_a_mark_is_found(clusters):
    first = clusters.apart[0]
    assert first.target == 0 and sorted(first.samples.tolist()) == np.flatnonzero(MARKED).tolist()
    assert first.focus > 0.9 and first.leaving <= min(0.05, first.holding)
    assert "1 of 1 classes examined" in str(clusters) and "30 samples of 90" in str(clusters)
    assert json.loads(json.dumps(clusters.to_dict()))["apart"][0]["of"] == 90


def test_without_a_mark_nothing_stands_apart():
    """Blobs lie anywhere: their maps change little by little."""
    plain = onnxlrp.clusters_of(marked.model(), marked.pictures(90, MARKED & False), neighbours=6, side=6)
    assert not plain.apart and str(plain) == "no cluster of explanations stands apart (1 of 1 classes examined)"
    with pytest.raises(InputError, match="no cluster stands apart"):
        plain.plot()


def test_a_line_of_maps_is_no_cluster():
    """Points along a line are cut anywhere at the same small cost, so that no part of it is a cluster."""
    line = np.linspace(0, 1, 300)[:, None] * np.ones((1, 4)) + np.random.default_rng(0).normal(0, 1e-3, (300, 4))
    found = spectrum_of(line, 10)
    assert found.leaving.min() < 0.05
    assert not standing_apart(0, np.arange(300), line, found, 10)


def test_a_few_odd_maps_are_no_cluster():
    maps = np.random.default_rng(0).normal(size=(100, 5))
    maps[:6] += 50
    assert not find_clusters(maps, np.zeros(100, int), 10)[0]
    maps[:15] += 50
    apart = find_clusters(maps[6:], np.zeros(94, int), 8)[0]
    assert list(range(9)) in [sorted(one.samples.tolist()) for one in apart]


def test_many_samples_take_the_sparse_way():
    """Above 2,000 samples eigenvectors come from another solver, which finds the same."""
    maps = np.random.default_rng(0).normal(size=(2300, 3))
    maps[:400] += 20
    apart, spectra, _ = find_clusters(maps, np.zeros(2300, int), 10)
    assert [len(one.samples) for one in apart].count(400) == 1
    assert spectra[0].eigenvalues[0] < 1e-6


def test_reduced_maps():
    maps = np.arange(2 * 6 * 4, dtype=float).reshape(2, 6, 4) - 10
    small = small_maps(maps, 3)
    assert small.shape == (2, 3, 3)
    want = maps.reshape(2, 3, 2, 4).sum(2)
    want = np.stack([want[..., 0], want[..., 1], want[..., 2:].sum(-1)], axis=-1)
    np.testing.assert_allclose(small, want / np.abs(want).sum((1, 2), keepdims=True))
    np.testing.assert_array_equal(small_maps(np.zeros((1, 5)), 3), np.zeros((1, 5)))


def test_classes_of_few_samples(clusters):
    with pytest.raises(InputError, match="no class has 30 samples, three times the number of neighbours"):
        onnxlrp.clusters_of(marked.model(), marked.pictures(20, MARKED[:20]))


def test_sheet(clusters, tmp_path):
    pytest.importorskip("matplotlib")
    clusters.plot(tmp_path / "clusters.png", examples=3)
    assert (tmp_path / "clusters.png").stat().st_size > 5000


def test_files_for_virelay(tmp_path):
    """tests/peers/test_virelay.py opens them with ViRelAy."""
    h5py = pytest.importorskip("h5py")
    images = marked.pictures(90, MARKED)
    options = {"neighbours": 6, "side": 6, "batch_size": 40, "virelay": tmp_path / "project"}
    clusters = onnxlrp.clusters_of(marked.model(), images, **options)
    with h5py.File(tmp_path / "project" / "attribution.h5") as file:
        relevance = onnxlrp.Explainer(onnxlrp.convert(marked.model()))(images).relevance["image"]
        np.testing.assert_allclose(file["attribution"][:], relevance, atol=1e-6)
        assert file["prediction"].shape == (90, 2) and file["label"][:].tolist() == clusters.target.tolist()
    with h5py.File(tmp_path / "project" / "dataset.h5") as file:
        assert file["data"].shape == (90, 12, 12, 3) and file["data"].dtype == np.uint8
    with h5py.File(tmp_path / "project" / "analysis.h5") as file:
        assert file["00000/index"][:].tolist() == clusters.rows[0].tolist()
        np.testing.assert_array_equal(file["00000/cluster/eigengap"][:], clusters.spectra[0].cluster)
        spectral = file["00000/embedding/spectral"]
        np.testing.assert_allclose(spectral.attrs["eigenvalue"], clusters.spectra[0].eigenvalues, atol=1e-6)


def test_an_interrupted_project_leaves_nothing(tmp_path):
    pytest.importorskip("h5py")
    images = marked.pictures(20, MARKED[:20])
    with pytest.raises(InputError, match="no class has"):
        onnxlrp.clusters_of(marked.model(), images, virelay=tmp_path / "project")
    assert not list((tmp_path / "project").iterdir())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model and pictures for it."""
    monkeypatch.chdir(tmp_path)
    onnx.save(marked.model(), "net.onnx")
    np.save("images.npy", marked.pictures(90, MARKED))
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_clusters(place):
    words = ("clusters", "net.onnx", "--data", "images.npy", "--neighbours", 6, "--side", 6, "-o", "found")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert "clusters of explanations apart from the rest of their class" in result.stdout
    assert "class 0" in result.stdout and (place / "found" / "clusters.png").exists()
    first = json.loads((place / "found" / "clusters.json").read_text())["apart"][0]
    assert sorted(one["sample"] for one in first["samples"]) == list(range(0, 90, 3))
    assert run(*words).exit_code == 2


def test_clusters_with_labels(place):
    np.save("labels.npy", np.ones(90, int))
    words = ("--data", "images.npy", "--neighbours", 6, "--labels", "labels.npy", "--json")
    result = run("clusters", "net.onnx", *words)
    assert result.exit_code == 0, result.output
    assert [*json.loads(result.stdout)["classes"]] == ["1"]
    assert run("clusters", "net.onnx", "--data", "images.npy", "--virelay").exit_code == 2
