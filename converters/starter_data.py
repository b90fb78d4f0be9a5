"""The blocks `data` and `metric` of a new model.yaml, from the data themselves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converters import arrays, numpy_files
from converters.numpy_files import Array
from converters.signature import Tensor
from converters.starter import scalar
from nearedge.errors import InputError

MOST_CALIBRATION = 300
CALIBRATION_SHARE = 3
FEWEST_ROWS = 2


def block(path: Path, relative: str, inputs: Sequence[Tensor], labels: str | None, output: str) -> str:
    """The text of `data`, and of `metric` where there are labels.

    The first third of the rows, at most 300, calibrate; the others evaluate. Without `labels`, the only array that is
    no input is taken for them. Raises InputError where the data are not rows of the inputs.
    """
    if arrays.form_of(path) != "numpy":
        raise InputError(
            f"{path}: is no .npz or folder of .npy; write `data` as docs/model-yaml.md says, init does not"
        )
    names = [tensor.name for tensor in inputs]
    label = labels if labels is not None else _only_other(path, names)
    found = numpy_files.load(path, [*names, *([] if label is None else [label])])
    rows = {name: array.shape[0] if array.ndim else 0 for name, array in found.items()}
    if len(set(rows.values())) > 1 or min(rows.values()) < FEWEST_ROWS:
        each = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise InputError(f"{path}: needs the same number of rows in all arrays, at least {FEWEST_ROWS}; it has {each}")
    total = rows[names[0]]
    split = max(1, min(MOST_CALIBRATION, total // CALIBRATION_SHARE))
    lines = ["data:", f"  path: {scalar(relative)}"]
    if label is not None:
        lines.append(f"  labels: {scalar(label)}")
    lines.append(f"  calibration: [0, {split}]       # rows that INT8 is calibrated with: best what it was trained on")
    lines.append(f"  evaluation: [{split}, {total}]      # rows that it is judged by: best what it never saw")
    if label is not None:
        lines.append(_metric(found[label], output))
    return "\n".join(lines)


def _only_other(path: Path, inputs: Sequence[str]) -> str | None:
    """The name of the only array that is no input; None where there is none, or more than one."""
    others = [name for name in numpy_files.names(path) if name not in inputs]
    return others[0] if len(others) == 1 else None


def _metric(labels: Array, output: str) -> str:
    """Accuracy for whole numbers; for others the mean error, with a hundredth of the labels' spread to lose."""
    if np.issubdtype(labels.dtype, np.integer):
        return f"metric: {{name: accuracy, output: {scalar(output)}, allowed_drop: 0.01}}   # may lose one in a hundred"
    drop = float(f"{max(float(np.std(labels)) / 100, 1e-9):.2g}")
    return (
        f"metric: {{name: mae, output: {scalar(output)}, allowed_drop: {drop}}}   "
        "# a hundredth of the labels' spread; put what you can bear"
    )
