"""Tables of scikit-learn as float32, split equally for every model trained on them."""

from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch


class Split(NamedTuple):
    """Training and test rows of a table."""

    train_x: np.ndarray
    test_x: np.ndarray
    train_y: np.ndarray
    test_y: np.ndarray


def split(table: Bunch, *, stratify: bool) -> Split:
    """Split a table: three quarters to train, one quarter to test; `stratify` keeps the share of each class."""
    classes = table.target if stratify else None
    features = table.data.astype(np.float32)
    return Split(*train_test_split(features, table.target, test_size=0.25, stratify=classes, random_state=0))
