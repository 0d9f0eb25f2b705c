"""StandardScaler and MLPClassifier on scikit-learn's wine data, through skl2onnx with its ZipMap: writes
models/wine_mlp."""

import numpy as np
from common import folder, report, run_onnx, save_lines, save_samples
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_wine
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_data import split

SAMPLES = 16
OPSETS = {"": 18, "ai.onnx.ml": 3}


def main() -> None:
    table = load_wine()
    data = split(table, stratify=True)
    classifier = MLPClassifier(hidden_layer_sizes=(16,), solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0)
    pipeline = make_pipeline(StandardScaler(), classifier).fit(data.train_x, data.train_y)
    print(f"wine_mlp: test accuracy {pipeline.score(data.test_x, data.test_y):.4f} on {len(data.test_y)} wines")

    target = folder("wine_mlp")
    save_samples(target, {"features": data.test_x[:SAMPLES]}, data.test_y[:SAMPLES])
    save_lines(target / "features.txt", list(table.feature_names))
    save_lines(target / "labels.txt", list(table.target_names))
    path = target / "wine_mlp.onnx"
    model = convert_sklearn(
        pipeline,
        name="wine_mlp",
        initial_types=[("features", FloatTensorType([None, data.test_x.shape[1]]))],
        target_opset=OPSETS,
        black_op={"Scaler"},
    )
    path.write_bytes(model.SerializeToString())
    label, maps = run_onnx(path, {"features": data.test_x})
    if not np.array_equal(label, pipeline.predict(data.test_x)):
        raise SystemExit(f"{path}: the labels differ")
    probabilities = np.array([[row[k] for k in classifier.classes_] for row in maps])
    report(path, pipeline.predict_proba(data.test_x), probabilities)


if __name__ == "__main__":
    main()
