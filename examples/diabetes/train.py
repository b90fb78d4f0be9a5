"""Train the progression network and write the SavedModel `model/` and `data.npz` beside a copy of model.yaml.

The data come with scikit-learn: 442 patients, ten measurements each, and a score of how the disease went on.
"""

import argparse
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_diabetes

TRAINING_ROWS = 300
EPOCHS = 60


def data() -> tuple[np.ndarray, np.ndarray]:
    """All patients [442,10] float32 in their own units and scores [442] float32, shuffled the same way every time."""
    patients, scores = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.default_rng(0).permutation(len(scores))
    return patients[order].astype(np.float32), scores[order].astype(np.float32)


def train(patients: np.ndarray, scores: np.ndarray, seed: int) -> keras.Model:
    """A trained model: normalisation, two hidden layers, one value."""
    keras.utils.set_random_seed(seed)
    normalise = keras.layers.Normalization()
    normalise.adapt(patients)
    inputs = keras.Input((10,), name="patient")
    hidden = keras.layers.Dense(64, activation="relu")(normalise(inputs))
    hidden = keras.layers.Dense(32, activation="relu")(keras.layers.Dropout(0.2)(hidden))
    model = keras.Model(
        inputs, keras.layers.Dense(1, name="progression", bias_initializer=keras.initializers.Constant(150.0))(hidden)
    )
    model.compile(optimizer=keras.optimizers.Adam(5e-3), loss="mse")
    model.fit(patients, scores, epochs=EPOCHS, batch_size=32, verbose=0)
    return model


def main() -> None:
    """Train and export; the folder then is all that `nearedge run model-to-edge` needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1, help="another seed trains another model")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    patients, scores = data()
    model = train(patients[:TRAINING_ROWS], scores[:TRAINING_ROWS], options.seed)
    error = np.abs(model.predict(patients[TRAINING_ROWS:], verbose=0)[:, 0] - scores[TRAINING_ROWS:]).mean()
    print(f"mean absolute error on patients it never saw: {error:.1f}")
    signature = [tf.TensorSpec((None, 10), tf.float32, name="patient")]
    model.export(options.out / "model", input_signature=signature, verbose=False)
    np.savez_compressed(options.out / "data.npz", patient=patients, progression=scores)
    shutil.copy(Path(__file__).with_name("model.yaml"), options.out)


if __name__ == "__main__":
    main()
