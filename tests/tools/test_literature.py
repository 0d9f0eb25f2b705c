"""Applications from the literature: their arithmetic on small arrays, which needs neither torch nor data."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnxruntime")
from tools.literature import additive, apart, el_nino, figures, pages, picture_rules, sentiment, video
from tools.literature.package_files import MissingData, package_file, source_archive


def test_tables_stand_between_their_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "PAGES", tmp_path)
    page = tmp_path / "one.md"
    page.write_text("Text.\n<!-- table a -->\nold\n<!-- end -->\nMore.\n", encoding="utf-8")
    pages.write("one", pages.Found({}, {"a": pages.table(["name", "value"], [["x", 0.12345]])}, {}))
    assert "| --- | --: |\n| x | 0.123 |" in page.read_text(encoding="utf-8")
    assert "old" not in page.read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match="table b"):
        pages.write("one", pages.Found({}, {"b": ""}, {}))


def test_missing_data_names_what_to_install(tmp_path, monkeypatch):
    with pytest.raises(MissingData, match=r"pip install --no-deps no_such==1\.0"):
        package_file("no_such_package_at_all", "x", "no_such==1.0")
    monkeypatch.setenv("LITERATURE_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="pip download"):
        source_archive("*.tar.gz", "no_such==1.0")


def test_a_framework_in_the_explaining_process_is_an_error(monkeypatch):
    monkeypatch.setattr(apart, "FRAMEWORKS", ("numpy",))
    with pytest.raises(AssertionError, match="numpy"):
        apart.check_absent()


def test_the_rank_of_a_box():
    """Three boxes of 1 × 2 hold more than the framed one; windows over land alone do not count."""
    positive = np.array([[0.0, 1.0, 5.0, 5.0, 0.0, 9.0, 9.0]])
    box = np.array([[True, True, False, False, False, False, False]])
    sea = np.array([[True, True, True, True, True, False, False]])
    assert el_nino._rank(positive, box, sea) == 5
    assert el_nino._rank(positive, np.roll(box, 2, axis=1), sea) == 1


def test_correlations_row_by_row():
    shares = np.array([[1.0, 2, 3], [1, 2, 3], [1, 2, 3]])
    found = additive._correlations(np.array([[2.0, 4, 6], [3, 2, 1], [0, 0, 0]]), shares)
    np.testing.assert_allclose(found, [1, -1, 0], atol=1e-12)


def test_frames_at_a_jump():
    frames = np.array([[0.0, 3, 1, -5], [4, 0, 0, 1]])
    share, hits = video._located(frames, np.array([2, 2]))
    assert share == pytest.approx((4 / 4 + 0 / 5) / 2)
    assert hits == 0.5


def test_agreement_with_people():
    """Relevance for "bad" counts against "good"."""
    ids, labels = np.array([[2, 3], [4, 0]]), np.array([1, 0])
    one = sentiment.Measured(1.0, ids, labels, {"one": np.array([[3.0, 1], [2, 0]])}, {})
    assert sentiment._agreement(one, "one", np.array([np.nan, np.nan, 2.0, 0.5, -3])) == pytest.approx(1)
    assert sentiment._agreement(one, "one", np.array([np.nan, np.nan, -2.0, 0.5, 3])) == pytest.approx(-1)


def test_outlined_objects_lie_in_their_pictures():
    images, classes, masks = picture_rules.hand_drawn()
    assert images.shape[0] == len(classes) == len(masks)
    assert masks.shape[1:] == images.shape[2:]
    assert all(0.02 < mask.mean() < 0.5 for mask in masks)
    names = (picture_rules.CLASSIFIER.parent / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert [names[one] for one in classes] == ["espresso", "tripod", "space shuttle"]


def test_moving_pictures_get_smaller(tmp_path):
    frames = [Image.new("RGB", (40, 20), (shade, 0, 0)) for shade in (0, 120, 240)]
    frames[0].save(tmp_path / "one.gif", save_all=True, append_images=frames[1:], duration=100)
    (tmp_path / "two.gif").write_bytes(figures.smaller(tmp_path / "one.gif"))
    with Image.open(tmp_path / "two.gif") as smaller:
        assert smaller.size == (20, 10)
        assert smaller.n_frames == 3
