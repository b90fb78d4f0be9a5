"""The blocks `data` and `metric` of a new model.yaml, from the data themselves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters import arrays, numpy_files, picture_folder, pictures, tables
from converters.numpy_files import Array
from converters.signature import Tensor
from converters.starter import scalar
from nearedge.errors import InputError

MOST_CALIBRATION = 300
CALIBRATION_SHARE = 3
FEWEST_ROWS = 2
MOST_CLASSES = 1000
LABEL_COLUMNS = ("label", "labels", "class", "target")
"""Columns of a CSV file that are taken for the labels without being asked."""
LABEL_LIST = "labels.csv"
IN_ORDER = "# CHECK: in the order of the model's output; by name, as most frameworks have it"
BOX_LABEL = 5
"""Numbers of a box's label: four of its place, and the class."""
RESIZED = "# CHECK: or stretch, as your clients do it; these are not of the input's size"


@dataclass(frozen=True)
class Found:
    """What data are: how many rows, their labels [rows] where they have some, and lines for model.yaml."""

    rows: int
    labels: Array | None
    lines: list[str] = field(default_factory=list)


def block(path: Path, relative: str, inputs: Sequence[Tensor], labels: str | None, outputs: Sequence[str]) -> str:
    """The text of `data`, and of `metric` where there are labels; `outputs` are the model's, by name.

    The first third of the rows, at most 300, calibrate; the others evaluate. Raises InputError where the data are not
    rows of the inputs.
    """
    form = arrays.form_of(path)
    if form == "numpy":
        found = numpy_data(path, inputs, labels)
    else:
        found = table(path, inputs, labels) if form == "table" else picture_data(path, inputs, labels)
    if found.rows < FEWEST_ROWS:
        raise InputError(f"{path}: holds {found.rows} rows; some to calibrate with and some to judge by are needed")
    split = max(1, min(MOST_CALIBRATION, found.rows // CALIBRATION_SHARE))
    lines = ["data:", f"  path: {scalar(relative)}", *found.lines]
    lines.append(f"  calibration: [0, {split}]       # rows that INT8 is calibrated with: best what it was trained on")
    lines.append(f"  evaluation: [{split}, {found.rows}]      # rows that it is judged by: best what it never saw")
    if found.labels is not None:
        lines.append(_metric(found.labels, outputs))
    return "\n".join(lines)


def numpy_data(path: Path, inputs: Sequence[Tensor], labels: str | None) -> Found:
    """Of numpy's files. Without `labels`, the only array that is no input is taken for them."""
    names = [tensor.name for tensor in inputs]
    label = labels if labels is not None else _only_other(path, names)
    found = numpy_files.load(path, [*names, *([] if label is None else [label])])
    rows = {name: array.shape[0] if array.ndim else 0 for name, array in found.items()}
    if len(set(rows.values())) > 1 or min(rows.values()) < FEWEST_ROWS:
        each = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise InputError(f"{path}: needs the same number of rows in all arrays, at least {FEWEST_ROWS}; it has {each}")
    lines = [] if label is None else [f"  labels: {scalar(label)}"]
    return Found(rows[names[0]], None if label is None else found[label], lines)


def table(path: Path, inputs: Sequence[Tensor], labels: str | None) -> Found:
    """Of a CSV file. Without `labels`, a column that is called so is taken for them.

    Raises InputError where none is, and the file has more columns than the input takes.
    """
    lines = tables.rows(path, tables.MOST_BYTES)
    header = next(lines)[1]
    label = labels if labels is not None else next((one for one in header if one.lower() in LABEL_COLUMNS), None)
    if label is None:
        taken = math.prod((inputs[0].shape or (-1,))[1:])
        if len(inputs) == 1 and 0 < taken < len(header):
            raise InputError(
                f"{path}: has {len(header)} columns, the input {inputs[0].name} takes {taken}; where one holds the "
                f"right answers name it: --labels COLUMN (the last is {header[-1]!r})"
            )
        return Found(sum(1 for _ in lines), None)
    at = tables.place(header, label, path)
    texts = [row[at] for _, row in lines]
    return Found(len(texts), *labelled(texts, label, str(path)))


def labelled(texts: Sequence[str], label: str, where: str) -> tuple[Array, list[str]]:
    """Labels as numbers, and their lines: where they are names, with the classes that they are.

    Raises InputError for names that are too many to be classes.
    """
    lines = [f"  labels: {scalar(label)}"]
    classes = classes_of(texts)
    if classes is not None:
        if len(classes) > MOST_CLASSES:
            raise InputError(f"{where}: labels {label!r} have {len(classes)} different names; are they the labels?")
        lines.append(f"  classes: [{', '.join(scalar(name) for name in classes)}]   {IN_ORDER}")
    read = tables.Labels(classes)
    for text in texts:
        read.add(text, where)
    return read.array(), lines


def classes_of(texts: Sequence[str]) -> list[str] | None:
    """The different names in order, None where all labels are numbers."""
    try:
        for text in texts:
            tables.finite(text)
    except ValueError:
        return sorted(set(texts))
    return None


def picture_data(path: Path, inputs: Sequence[Tensor], labels: str | None) -> Found:
    """Of a folder of pictures. Without `labels`, folders in it are its classes, and `labels.csv` lists them."""
    label = labels if labels is not None else _labels_of(path)
    lines: list[str] = []
    classes = None
    if label == picture_folder.BY_FOLDER:
        folders = [entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        lines = labelled(folders, label, str(path))[1]
        classes = classes_of(folders)
    elif label is not None:
        rows = tables.rows(path / label, picture_folder.MOST_LIST_BYTES) if (path / label).is_file() else iter([])
        at = tables.place(next(rows, (0, [picture_folder.LABEL]))[1], picture_folder.LABEL, path / label)
        texts = [row[at] for _, row in rows]
        lines = labelled(texts, label, str(path / label))[1]
        classes = classes_of(texts)
    files, numbers = picture_folder.rows(path, label, classes)
    if len(inputs) == 1 and not _fit(files, inputs[0]):
        lines.append(f"  resize: crop   {RESIZED}")
    return Found(len(files), numbers, lines)


def _labels_of(path: Path) -> str | None:
    """Where the labels of a folder of pictures seem to be."""
    if any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir()):
        return picture_folder.BY_FOLDER
    return LABEL_LIST if (path / LABEL_LIST).is_file() else None


def _fit(files: Sequence[Path], tensor: Tensor) -> bool:
    """Whether all pictures have a size that the input takes as it is, or that its shape does not tell."""
    sizes = list(tensor.shape or ())[1:]
    channels = [size for size in sizes if size in pictures.MODES]
    fixed = [size for size in sizes if size not in pictures.MODES]
    if len(channels) != 1 or len(fixed) != 2 or min(fixed) < 0:
        return True
    for path in files:
        with pictures.opened(path, channels[0]) as picture:
            if [picture.height, picture.width] != fixed:
                return False
    return True


def _only_other(path: Path, inputs: Sequence[str]) -> str | None:
    """The name of the only array that is no input; None where there is none, or more than one."""
    others = [name for name in numpy_files.names(path) if name not in inputs]
    return others[0] if len(others) == 1 else None


def _metric(labels: Array, outputs: Sequence[str]) -> str:
    """Accuracy for whole numbers, mean average precision for boxes.

    For others the mean error, with a hundredth of the labels' spread to lose.
    """
    output = scalar(outputs[0])
    if labels.ndim == len(("row", "box", "number")) and labels.shape[-1] == BOX_LABEL:
        return _boxes(outputs)
    if np.issubdtype(labels.dtype, np.integer):
        return f"metric: {{name: accuracy, output: {output}, allowed_drop: 0.01}}   # may lose one in a hundred"
    drop = float(f"{max(float(np.std(labels)) / 100, 1e-9):.2g}")
    return (
        f"metric: {{name: mae, output: {output}, allowed_drop: {drop}}}   "
        "# a hundredth of the labels' spread; put what you can bear"
    )


def _boxes(outputs: Sequence[str]) -> str:
    """Of a detection model: its outputs by their names, the first for the boxes where none is called so."""
    roles = {"boxes": ("box",), "scores": ("score", "conf"), "classes": ("class", "label")}
    found = {
        role: next((name for name in outputs if any(word in name.lower() for word in words)), None)
        for role, words in roles.items()
    }
    found["boxes"] = found["boxes"] or outputs[0]
    named = ", ".join(f"{role}: {scalar(name)}" for role, name in found.items() if name is not None)
    return (
        f"metric: {{name: map, detection: {{{named}, format: xyxy}}, allowed_drop: 0.01}}   "
        "# CHECK: which output is which; format xyxy, xywh or cxcywh"
    )
