"""Files of figures, and figures in notebooks."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.view import figure_files
from onnxlrp.view.figures.show import thumbnail
from tests.view.figures.parts import explained

TABLE = np.array([[0.5, -1.5, 3.0]], np.float32)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_the_same_bytes_every_time(tmp_path, suffix):
    done = explained({"x": TABLE})
    contents = []
    for name in ("a", "b"):
        done.save(tmp_path / f"{name}{suffix}")
        contents.append((tmp_path / f"{name}{suffix}").read_bytes())
    assert contents[0] == contents[1]
    assert b"http://" not in contents[0] if suffix == ".html" else True


def test_names_are_escaped_in_a_page(tmp_path):
    done = explained({"x": TABLE}, target=np.zeros(1, np.int64))
    done.save(tmp_path / "a.html")
    assert "<title>cat, probability 0.09</title>" in (tmp_path / "a.html").read_text(encoding="utf-8")
    nasty = explained({"x": TABLE}, outputs={"<b>": np.ones((1, 3))})
    nasty.plot(labels=["<script>", "<script>", "\x1b[2J"]).savefig(io.BytesIO())


def test_a_sequence_moves(tmp_path):
    x = np.random.default_rng(0).normal(size=(1, 1, 7, 16, 16)).astype(np.float32)
    done = explained({"x": x})
    done.save(tmp_path / "a.gif")
    assert Image.open(tmp_path / "a.gif").n_frames == 7
    with pytest.raises(InputError, match=r"sequence of pictures: write \.png"):
        explained({"x": TABLE}).save(tmp_path / "b.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_a_notebook_shows_a_figure_and_a_thumbnail():
    done = explained({"x": TABLE})
    large, small = (Image.open(io.BytesIO(one)) for one in (done.plot()._repr_png_(), thumbnail(done)))
    assert large.width > small.width > 300


def test_the_callers_settings_stay():
    import matplotlib

    before = dict(matplotlib.rcParams)
    figure = explained({"x": TABLE}).plot()
    figure.savefig(io.BytesIO())
    assert dict(matplotlib.rcParams) == before


def test_without_matplotlib_pictures_are_written_and_others_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(figure_files.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    image = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    explained({"image": image}).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").size == (256, 256)
    with pytest.raises(OnnxLrpError, match="pip install matplotlib"):
        explained({"x": TABLE}).save(tmp_path / "b.png")
    with pytest.raises(OnnxLrpError, match="pip install matplotlib"):
        explained({"x": TABLE}).plot()


def test_nothing_loads_matplotlib_before_a_figure_is_asked_for():
    code = "import sys, onnxlrp.cli.explained_samples, onnxlrp.view.saving; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
