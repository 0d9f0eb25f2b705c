"""Keras MLP on scikit-learn's breast-cancer data, through tf2onnx: writes models/breast_cancer_mlp."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from common import folder, report, run_onnx, save_lines, save_samples
from sklearn.datasets import load_breast_cancer
from sklearn_data import split

SAMPLES = 16
EPOCHS = 60
OPSET = 17


def train(features: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Train two ReLU layers and a sigmoid on standardised features: the probability that the tumour is benign."""
    network = keras.Sequential(
        [
            keras.Input((features.shape[1],)),
            keras.layers.Dense(32, activation="relu", kernel_regularizer=keras.regularizers.l2(1e-3)),
            keras.layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.l2(1e-3)),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    network.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    network.fit(features, labels, batch_size=32, epochs=EPOCHS, verbose=0)
    return network


def main() -> None:
    keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    table = load_breast_cancer()
    data = split(table, stratify=True)
    mean, std = data.train_x.mean(0), data.train_x.std(0)
    network = train((data.train_x - mean) / std, data.train_y)

    # The standardisation is written out here: tf2onnx turns the tensors of Keras' Normalization into extra inputs.
    @tf.function(input_signature=[tf.TensorSpec([None, data.test_x.shape[1]], tf.float32, name="features")])
    def predict(features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probability": network((features - mean) / std)}

    expected = predict(data.test_x)["probability"].numpy()
    accuracy = ((expected[:, 0] > 0.5) == data.test_y).mean()
    print(f"breast_cancer_mlp: test accuracy {accuracy:.4f} on {len(data.test_y)} tumours")

    target = folder("breast_cancer_mlp")
    save_samples(target, {"features": data.test_x[:SAMPLES]}, data.test_y[:SAMPLES])
    save_lines(target / "features.txt", list(table.feature_names))
    path = target / "breast_cancer_mlp.onnx"
    tf2onnx.convert.from_function(predict, predict.input_signature, opset=OPSET, output_path=path)
    report(path, expected, run_onnx(path, {"features": data.test_x})[0])


if __name__ == "__main__":
    main()
