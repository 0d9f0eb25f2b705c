"""StandardScaler and MLPRegressor on scikit-learn's diabetes data, by skl2onnx: writes models/diabetes_regression."""

import numpy as np
from common import folder, report, run_onnx, save_lines, save_samples
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_data import split

SAMPLES = 16
OPSETS = {"": 18, "ai.onnx.ml": 3}


def main() -> None:
    table = load_diabetes(scaled=False)
    data = split(table, stratify=False)
    regressor = MLPRegressor(hidden_layer_sizes=(16, 8), solver="lbfgs", alpha=1e4, max_iter=1000, random_state=0)
    pipeline = make_pipeline(StandardScaler(), regressor).fit(data.train_x, data.train_y)
    print(f"diabetes_regression: test R2 {pipeline.score(data.test_x, data.test_y):.4f} on {len(data.test_y)} patients")

    target = folder("diabetes_regression")
    save_samples(target, {"features": data.test_x[:SAMPLES]}, data.test_y[:SAMPLES].astype(np.float32))
    save_lines(target / "features.txt", list(table.feature_names))
    expected = pipeline.predict(data.test_x)[:, None]
    # skl2onnx uses Scaler of ai.onnx.ml by default, and Sub and Div of the default domain if that is forbidden.
    for name, forbidden in (("diabetes_regression", {"Scaler"}), ("diabetes_regression.scaler", set())):
        model = convert_sklearn(
            pipeline,
            name=name,
            initial_types=[("features", FloatTensorType([None, data.test_x.shape[1]]))],
            target_opset=OPSETS,
            black_op=forbidden,
        )
        path = target / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        report(path, expected, run_onnx(path, {"features": data.test_x})[0])


if __name__ == "__main__":
    main()
