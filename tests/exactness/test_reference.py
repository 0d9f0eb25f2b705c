"""The tests' own runner on cases small enough to do by hand; against torch: peers/test_reference.py."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracle.onnx_nodes import run_node

ROW = np.array([[[3.0, 1.0, 4.0, 1.0, 5.0]]])


def test_max_pool_gives_the_first_winner_as_index_into_the_whole_tensor():
    x = np.concatenate([ROW, np.array([[[2.0, 2.0, 2.0, 7.0, 7.0]]])])
    value, index = run_node("MaxPool", x, outputs=2, kernel_shape=[3])
    assert value.tolist() == [[[4, 4, 5]], [[2, 7, 7]]]
    assert index.tolist() == [[[2, 2, 4]], [[5, 8, 8]]]


def test_max_pool_never_chooses_padding():
    value, index = run_node("MaxPool", -ROW, outputs=2, kernel_shape=[3], strides=[2], pads=[2, 2])
    assert value.tolist() == [[[-3, -1, -1, -5]]]
    assert index.tolist() == [[[0, 1, 3, 4]]]


def test_max_pool_dilated_and_ceil():
    value, index = run_node("MaxPool", ROW, outputs=2, kernel_shape=[2], dilations=[3], strides=[2], ceil_mode=1)
    assert value.tolist() == [[[3, 4]]] and index.tolist() == [[[0, 2]]]


def test_max_pool_in_two_dimensions_counts_row_by_row():
    x = np.array([[[[1.0, 2.0, 3.0], [6.0, 5.0, 4.0]]]])
    value, index = run_node("MaxPool", x, outputs=2, kernel_shape=[2, 2])
    assert value.tolist() == [[[[6, 5]]]] and index.tolist() == [[[[3, 4]]]]


@pytest.mark.parametrize(
    ("include", "ceil", "expected"),
    [
        (0, 0, [3, 2.5, 3]),
        (1, 0, [1.5, 2.5, 3]),
        (0, 1, [3, 2.5, 3]),
    ],
)
def test_average_pool_counts_padding_only_if_told(include, ceil, expected):
    y = run_node(
        "AveragePool", ROW, kernel_shape=[2], strides=[2], pads=[1, 0], count_include_pad=include, ceil_mode=ceil
    )
    assert y.tolist() == [[expected]]


def test_average_pool_never_counts_what_ceil_mode_adds():
    y = run_node("AveragePool", ROW, kernel_shape=[2], strides=[2], ceil_mode=1, count_include_pad=1)
    assert y.tolist() == [[[2, 2.5, 5]]]


def test_average_pool_drops_a_window_that_starts_behind_the_data():
    y = run_node("AveragePool", ROW[..., :4], kernel_shape=[1], strides=[4], ceil_mode=1)
    assert y.tolist() == [[[3]]]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [1, 12, 23, 30]),
        ({"strides": [2]}, [1, 10, 2, 20, 3, 30]),
        ({"strides": [2], "pads": [1, 1]}, [10, 2, 20, 3]),
        ({"strides": [2], "output_padding": [1]}, [1, 10, 2, 20, 3, 30, 0]),
        ({"dilations": [2]}, [1, 2, 13, 20, 30]),
        ({"strides": [2], "auto_pad": "SAME_UPPER"}, [1, 10, 2, 20, 3, 30]),
        ({"strides": [2], "output_shape": [5]}, [10, 2, 20, 3, 30]),
        ({"strides": [2], "output_shape": [5], "auto_pad": "SAME_UPPER"}, [1, 10, 2, 20, 3]),
        ({"strides": [2], "output_shape": [5], "auto_pad": "SAME_LOWER"}, [10, 2, 20, 3, 30]),
    ],
)
def test_transposed_convolution(attributes, expected):
    y = run_node("ConvTranspose", np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 10.0]]]), **attributes)
    assert y.tolist() == [[expected]]


def test_transposed_convolution_in_groups():
    x, w = np.array([[[1.0], [2.0]]]), np.array([[[1.0, 2.0]], [[3.0, 4.0]]])
    assert run_node("ConvTranspose", x, w, np.array([0.5, 0.25]), group=2).tolist() == [[[1.5, 2.5], [6.25, 8.25]]]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [13, 41, 14, 51]),
        ({"pads": [1, 1]}, [30, 13, 41, 14, 51, 5]),
        ({"strides": [2]}, [13, 14]),
        ({"dilations": [2]}, [43, 11, 54]),
        ({"auto_pad": "SAME_UPPER", "strides": [2]}, [13, 14, 5]),
        ({"auto_pad": "SAME_LOWER"}, [30, 13, 41, 14, 51]),
        ({"auto_pad": "VALID"}, [13, 41, 14, 51]),
    ],
)
def test_convolution(attributes, expected):
    assert run_node("Conv", ROW, np.array([[[1.0, 10.0]]]), **attributes).tolist() == [[expected]]


def test_a_convolution_and_its_transpose_are_adjoint():
    """<r, A x> = <A' r, x>, over groups, strides, pads and dilations in one to three dimensions."""
    rng = np.random.default_rng(0)
    for rank in (1, 2, 3):
        geometry = {"group": 2, "strides": [2, 1, 1][:rank], "dilations": [1, 2, 1][:rank]}
        geometry["pads"] = [1, 0, 1][:rank] + [0, 1, 1][:rank]
        x, w = rng.normal(size=(2, 4, *[5, 6, 4][:rank])), rng.normal(size=(6, 2, *[2, 3, 2][:rank]))
        y = run_node("Conv", x, w, **geometry)
        r = rng.normal(size=y.shape)
        back = run_node("ConvTranspose", r, w, **geometry)
        assert back.shape == x.shape  # sizes chosen such that the last stride leaves nothing over
        assert np.isclose((r * y).sum(), (back * x).sum())


def test_local_response_norm_reaches_further_forward_when_even():
    x = np.array([[[[1.0]], [[2.0]], [[4.0]]]])
    y = run_node("LRN", x, size=2, alpha=2.0, beta=1.0, bias=0.0)
    assert y.ravel().tolist() == [1 / 5, 2 / 20, 4 / 16]
