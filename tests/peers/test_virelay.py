"""ViRelAy's own loader opens the project that `clusters_of` writes."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from tests.concepts import marked

pytestmark = pytest.mark.peers
pytest.importorskip("sklearn")
pytest.importorskip("h5py")
virelay = pytest.importorskip("virelay.model")


def test_project(tmp_path):
    is_marked = np.arange(90) % 3 == 0
    images = marked.pictures(90, is_marked)
    clusters = onnxlrp.clusters_of(marked.model(), images, neighbours=6, side=6, virelay=tmp_path)
    project = virelay.Project(str(tmp_path / "project.yaml"))
    assert len(project.dataset) == 90
    (method,) = project.get_analysis_methods()
    assert [one.human_readable_name for one in project.get_analysis_categories(method)] == ["class 0"]
    (clustering,), (embedding,) = (
        project.get_analysis_clustering_names(method),
        project.get_analysis_embedding_names(method),
    )
    analysis = project.get_analysis(method, "00000", clustering, embedding)
    assert len({*analysis.clustering[is_marked].tolist()} & {*analysis.clustering[~is_marked].tolist()}) == 0
    np.testing.assert_array_equal(analysis.attribution_indices, clusters.rows[0])
    np.testing.assert_allclose(analysis.eigenvalues, clusters.spectra[0].eigenvalues, atol=1e-6)
    sample, attribution = project.get_sample(4), project.get_attribution(4)
    assert sample.data.shape == (12, 12, 3) and attribution.data.shape == (12, 12, 1)
    assert sample.labels[0].name == "class 0"
    assert attribution.render_heatmap("black-fire-red").shape == (12, 12, 3)
    project.close()
