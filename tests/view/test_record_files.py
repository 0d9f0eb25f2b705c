"""Records in files: every format has one, none changes what the file held, and damage shows."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from onnxlrp.errors import InputError
from onnxlrp.runtime.record import KEY, SCHEMA_FILE
from onnxlrp.view import binary_records
from onnxlrp.view.record_files import SUFFIXES, find_record, record_beside
from tests.runtime.recorded import explained_in, folder_of
from tests.view.explanations import churn


@pytest.fixture(scope="module")
def explanation(tmp_path_factory):
    return explained_in(folder_of(tmp_path_factory.mktemp("records"), ledger=True))


@pytest.mark.parametrize("suffix", [".json", ".npz", ".csv", ".parquet", ".png", ".svg", ".html"])
def test_every_format_has_a_record(explanation, tmp_path, suffix):
    """The rest of the file is what its hash says, and the record is what the schema says."""
    jsonschema = pytest.importorskip("jsonschema")
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"r{suffix}"
    explanation.save(path)
    found = find_record(path)
    assert found.content_sha256 == found.record.content_sha256 and found.file == path
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found.record.to_json(), schema)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_other_readers_find_it(explanation, tmp_path):
    """Pillow, an XML parser, numpy and json, without onnxlrp."""
    for suffix in (".png", ".svg", ".npz", ".json", ".csv"):
        explanation.save(tmp_path / f"r{suffix}")
    with Image.open(tmp_path / "r.png") as picture:
        picture.load()
        texts = [picture.text[KEY]]
    (element,) = (one for one in ElementTree.parse(tmp_path / "r.svg").iter() if one.get("id") == KEY)
    with np.load(tmp_path / "r.npz") as archive:
        texts += [str(element.text), str(archive[KEY])]
    texts += [json.dumps(json.loads((tmp_path / "r.json").read_text())["record"])]
    texts += [(tmp_path / "r.csv.record.json").read_text()]
    assert {json.loads(text)["composite"] for text in texts} == {"epsilon"}


def test_a_gif_is_the_same_with_a_record(tmp_path):
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 99)]
    frames[0].save(tmp_path / "plain.gif", save_all=True, append_images=frames[1:])
    content = (tmp_path / "plain.gif").read_bytes()
    text = json.dumps({"long": "x" * 600})
    with_record = binary_records.into_gif(content, text)
    assert binary_records.out_of_gif(with_record) == (text, content)
    assert binary_records.out_of_gif(content) == (None, content)
    (tmp_path / "with.gif").write_bytes(with_record)
    with Image.open(tmp_path / "with.gif") as moving:
        assert moving.n_frames == 2


def test_a_table_and_its_record_are_one(explanation, tmp_path):
    """A table without circumstances takes the record of another away; a record alone is no file of results."""
    path = tmp_path / "r.csv"
    explanation.save(path)
    assert find_record(record_beside(path)).file == path
    churn().save(path)
    assert not record_beside(path).exists()
    with pytest.raises(InputError, match="has no record"):
        find_record(path)
    explanation.save(path)
    path.unlink()
    with pytest.raises(InputError, match="is not beside it"):
        find_record(record_beside(path))


@pytest.mark.parametrize("suffix", [one for one in SUFFIXES if one not in (".csv", ".npy")])
def test_damaged_files_are_refused(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"r{suffix}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0" + b"{" * 30)
    with pytest.raises(InputError):
        find_record(path)
    with pytest.raises(InputError, match="no file"):
        find_record(tmp_path / f"none{suffix}")


def test_files_without_a_place_for_records(tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match="it is none of"):
        find_record(tmp_path / "a.txt")
