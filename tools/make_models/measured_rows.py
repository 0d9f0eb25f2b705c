"""Further test rows of the networks that have scripts of their own: writes `measured.npz` beside them."""

import numpy as np
from common import MODELS, save_measured
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.model_selection import train_test_split
from sklearn_data import Split, split


def digits() -> Split:
    """Split the digits as the scripts of digits_cnn and digits_lstm do."""
    data = load_digits()
    images = data.images.astype(np.float32)
    return Split(*train_test_split(images, data.target, test_size=0.25, stratify=data.target, random_state=0))


def main() -> None:
    drawn = digits()
    rows = {
        "digits_cnn": ("image", drawn.test_x[:, None], drawn.test_y),
        "digits_lstm": ("rows", drawn.test_x, drawn.test_y),
    }
    tables = {
        "breast_cancer_mlp": load_breast_cancer(),
        "wine_mlp": load_wine(),
        "diabetes_regression": load_diabetes(scaled=False),
    }
    for name, table in tables.items():
        data = split(table, stratify=name != "diabetes_regression")
        rows[name] = "features", data.test_x, data.test_y
    for name, (key, inputs, labels) in rows.items():
        with np.load(MODELS / name / "samples.npz") as samples:
            count = len(samples["labels"])
            if not np.array_equal(samples[key], inputs[:count]):
                raise SystemExit(f"{name}: samples.npz holds other rows than the first of this split")
        save_measured(MODELS / name, {key: inputs[count:]}, labels[count:])


if __name__ == "__main__":
    main()
