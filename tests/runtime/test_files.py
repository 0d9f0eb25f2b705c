from __future__ import annotations

import ast
import concurrent.futures
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from onnxlrp.errors import InputError
from onnxlrp.runtime.files import PREPROCESS, Preprocess, join, load, picture_layout
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.samples import Files


def port(dtype, *shape, name="x"):
    return TensorSpec(name, np.dtype(dtype), shape)


@pytest.fixture
def picture(tmp_path):
    """6 wide, 4 high: left half red, right half blue."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, :3, 0] = 255
    pixels[:, 3:, 2] = 255
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        (("N", 3, 224, 224), "NCHW"),
        (("N", 224, 224, 3), "NHWC"),
        (("N", 1, 8, 8), "NCHW"),
        (("N", "C", "H", "W"), "NCHW"),
        ((3, 8, 8), "CHW"),
        ((8, 8, 3), "HWC"),
        (("N", 28, 28), "NHW"),
        (("N", 16, 8, 8), None),
        (("N", 30), None),
    ],
)
def test_layouts(shape, layout):
    assert picture_layout(port(np.float32, *shape)) == layout


def test_a_picture_channels_first_and_last(picture):
    first = load(picture, port(np.float32, "N", 3, 4, 6)).array
    assert first.shape == (1, 3, 4, 6) and first.dtype == np.float32
    assert first[0, :, 0, 0].tolist() == [255, 0, 0] and first[0, :, 0, 5].tolist() == [0, 0, 255]
    last = load(picture, port(np.uint8, 1, 4, 6, 3)).array
    assert last.shape == (1, 4, 6, 3) and last.dtype == np.uint8
    np.testing.assert_array_equal(last.transpose(0, 3, 1, 2), first)


def test_a_picture_is_resized_whole_and_its_size_is_kept(picture):
    loaded = load(picture, port(np.float32, "N", 3, 10, 10))
    assert loaded.array.shape == (1, 3, 10, 10)
    assert loaded.array[0, 0, 5, 0] == 255 and loaded.array[0, 2, 5, 9] == 255
    assert loaded.sizes == ((6, 4),)
    free = load(picture, port(np.float32, "N", 3, "H", "W"))
    assert free.array.shape == (1, 3, 4, 6)


def test_grey_pictures(picture):
    assert load(picture, port(np.float32, "N", 1, 4, 6)).array.shape == (1, 1, 4, 6)
    assert load(picture, port(np.float32, "N", 8, 8)).array.shape == (1, 8, 8)


def test_transparent_is_white_and_sixteen_bits_are_scaled(tmp_path):
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(clear)
    assert load(clear, port(np.uint8, "N", 3, 4, 4)).array.min() == 255
    deep = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 32768, np.uint16)).save(deep)
    assert load(deep, port(np.uint8, "N", 1, 4, 4)).array.max() == 127


def test_the_camera_held_sideways(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(path, exif=exif)
    assert load(path, port(np.uint8, "N", 3, "H", "W")).array.shape == (1, 3, 8, 4)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("raw", 0, 255), ("unit", 0, 1), ("signed", -1, 1), ("0.5/0.25", -2, 2)]
)
def test_preprocessing(picture, name, low, high):
    array = load(picture, port(np.float32, "N", 3, 4, 6), Preprocess.parse(name)).array
    assert array.min() == pytest.approx(low) and array.max() == pytest.approx(high)


def test_imagenet_preprocessing_is_torchvisions(picture):
    array = load(picture, port(np.float32, "N", 3, 4, 6), PREPROCESS["imagenet"]).array
    np.testing.assert_allclose(
        array[0, :, 0, 0], (np.array([1, 0, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], 1e-6
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["raw", "unit", "imagenet", "0.1,0.2,0.3/0.4,0.5,0.6"])
def test_every_value_of_a_pixel_is_scaled_in_float64(tmp_path, name, dtype):
    """Equal to the last bit to the arithmetic on whole pictures, in every order of the axes."""
    pixels = np.arange(16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "all.png")
    how = Preprocess.parse(name)
    expected = how(pixels).astype(dtype)
    first = load(tmp_path / "all.png", port(dtype, "N", 3, 16, 16), how).array
    np.testing.assert_array_equal(first[0], expected.transpose(2, 0, 1))
    last = load(tmp_path / "all.png", port(dtype, 16, 16, 3), how).array
    np.testing.assert_array_equal(last, expected)
    assert first.dtype == last.dtype == dtype
    assert first.flags.c_contiguous and last.flags.c_contiguous


def test_only_pixels_that_are_there_can_be_too_large(picture):
    """Under this scale bright pixels leave the range of float16, and dark ones do not."""
    x, how = port(np.float16, "N", 3, 4, 6), Preprocess.parse("0/0.00001")
    with pytest.raises(InputError, match="float16, which cannot hold"):
        load(picture, x, how)
    dark = picture.with_name("dark.png")
    Image.new("RGB", (6, 4), (9, 0, 0)).save(dark)
    assert load(dark, x, how).array.max() == pytest.approx(9 / 255 / 0.00001, rel=1e-3)


@pytest.mark.parametrize("name", ["image", "1,2/3/4", "0.5/0", "1,2/1,2,3", "a/b"])
def test_nonsense_preprocessing(name):
    with pytest.raises(InputError, match="imagenet"):
        Preprocess.parse(name)


def test_pictures_that_do_not_fit(picture):
    with pytest.raises(InputError, match="pixels of 0 to 255"):
        load(picture, port(np.uint8, "N", 3, 4, 6), PREPROCESS["unit"])
    with pytest.raises(InputError, match="int8"):
        load(picture, port(np.int8, "N", 3, 4, 6))
    with pytest.raises(InputError, match="is a picture"):
        load(picture, port(np.float32, "N", 30))
    with pytest.raises(InputError, match="3 channels"):
        load(picture, port(np.float32, "N", 1, 4, 6), PREPROCESS["imagenet"])


def test_arrays(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(load(tmp_path / "a.npy", port(np.float32, "N", 3)).array, array)
    np.savez(tmp_path / "one.npz", other=array)
    np.testing.assert_array_equal(load(tmp_path / "one.npz", port(np.float32, "N", 3)).array, array)
    np.savez(tmp_path / "two.npz", other=0 * array, x=array)
    np.testing.assert_array_equal(load(tmp_path / "two.npz", port(np.float32, "N", 3)).array, array)
    with pytest.raises(InputError, match="holds other, x"):
        load(tmp_path / "two.npz", port(np.float32, "N", 3, name="z"))


def test_threads_parse_headers_one_at_a_time(tmp_path, monkeypatch):
    """CPython 3.11 counts the recursion of `ast.literal_eval`, which numpy parses headers with, for all threads at
    once."""
    np.save(tmp_path / "a.npy", np.ones((2, 3)))
    np.savez(tmp_path / "b.npz", x=np.ones((2, 3)))
    parse, inside, most = ast.literal_eval, [], []

    def slowly(text):
        inside.append(text)
        most.append(len(inside))
        time.sleep(0.005)
        inside.pop()
        return parse(text)

    monkeypatch.setattr(ast, "literal_eval", slowly)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda name: load(tmp_path / name, port(np.float64, "N", 3)), ["a.npy", "b.npz"] * 4))
    assert len(most) == 8 and max(most) == 1
    assert all(np.array_equal(each.array, np.ones((2, 3))) for each in loaded)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.png", "a.jpg", "a.csv", "a.txt", "a.bin"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff\xfe broken \x80", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00 no"]
)
def test_broken_files_are_input_errors(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError):
        load(path, port(np.float32, "N", 3, 8, 8))


def test_cut_off_files_are_input_errors(tmp_path, picture):
    np.savez(tmp_path / "whole.npz", x=np.zeros((50, 50)))
    Image.effect_noise((64, 64), 50).save(tmp_path / "whole.jpg")
    for name in ("whole.npz", "whole.jpg"):
        data = (tmp_path / name).read_bytes()
        path = tmp_path / name.replace("whole", "cut")
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match="damaged"):
            load(path, port(np.float32, "N", 3, 8, 8))


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError):
        load(tmp_path / "p.npy", port(np.float32, "N"))


def test_archives_that_hold_no_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x", "a text")
    np.savez(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", x=np.array([{}], object), allow_pickle=True)
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(InputError, match=name):
            load(tmp_path / name, port(np.float32, "N", 3))


def test_headers_of_arrays_that_end_too_early(tmp_path):
    """Numpy reads the header as Python text, so that its errors are those of a parser too."""
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    data = (tmp_path / "a.npy").read_bytes()
    for place in range(8, 80):
        for other in b"'(\n\xff":
            (tmp_path / "b.npy").write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
            try:
                load(tmp_path / "b.npy", port(np.float64, "N", 3))
            except InputError as error:
                assert "b.npy" in str(error)


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match="no file"):
        load(tmp_path / "nothing.png", port(np.float32, "N", 3, 8, 8))
    with pytest.raises(InputError, match="folder"):
        load(tmp_path, port(np.float32, "N", 3, 8, 8))


def test_csv_with_and_without_a_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("age;mass\n1;2.5\n3;\n")
    loaded = load(path, port(np.float32, "N", 2))
    assert loaded.columns == ("age", "mass")
    np.testing.assert_array_equal(loaded.array, np.array([[1, 2.5], [3, np.nan]], np.float32))
    path.write_text("1,2\n3,4\n")
    loaded = load(path, port(np.int64, "N", 2))
    assert loaded.columns == () and loaded.array.tolist() == [[1, 2], [3, 4]] and loaded.array.dtype == np.int64


def test_csv_with_a_column_per_input(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("age,town\n31,Berlin\n42,Paris\n")
    assert load(path, port(object, "N", 1, name="town")).array.tolist() == [["Berlin"], ["Paris"]]
    assert load(path, port(np.int64, "N", 1, name="age")).array.tolist() == [[31], [42]]
    assert load(path, port(np.int64, "N", name="age")).array.tolist() == [31, 42]


def test_csv_of_a_time_series_and_of_flattened_samples(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("1,2,3\n4,5,6\n")
    assert load(path, port(np.float32, "N", "T", 3)).array.shape == (1, 2, 3)
    assert load(path, port(np.float32, "N", 3, 1)).array.shape == (2, 3, 1)
    with pytest.raises(InputError, match="2 rows of 3 values"):
        load(path, port(np.float32, "N", 2, 2))


@pytest.mark.parametrize("content", ["1,2\n3\n", "", "a,b\n", "a,b\nc,d\n", "1,2\n3,x\n"])
def test_csv_that_is_no_table(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=r"t\.csv"):
        load(path, port(np.float32, "N", 2))


def test_text(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("101 7 102\n")
    assert load(path, port(np.int64, "N", "T")).array.tolist() == [[101, 7, 102]]
    path.write_text("one line\nanother\n")
    assert load(path, port(object, "N")).array.tolist() == ["one line", "another"]
    assert load(path, port(object, "N", 1)).array.shape == (2, 1)
    path.write_text("a great film\n")
    with pytest.raises(InputError, match="tokenizer"):
        load(path, port(np.int64, "N", "T"))


def test_numbers_too_large(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("300\n")
    with pytest.raises(InputError, match="too large"):
        load(path, port(np.uint8, "N", 1))


def test_several_files_are_a_batch(picture, tmp_path):
    x = port(np.float32, "N", 3, 4, 6)
    both = join([load(picture, x), load(picture, x)], x)
    assert both.array.shape == (2, 3, 4, 6) and len(both.sizes) == 2
    free = port(np.float32, "N", 3, "H", "W")
    Image.new("RGB", (5, 5)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="no batch"):
        join([load(picture, free), load(tmp_path / "other.png", free)], free)


def test_names_of_many_pictures_are_listed_once(picture):
    """Every batch asks for its own, so that listing all of them each time would take a square of their number."""
    pictures = Files([picture] * 3, port(np.float32, "N", 3, 4, 6), PREPROCESS["auto"])
    assert pictures.names == [str(picture)] * 3
    assert pictures.names is pictures.names
