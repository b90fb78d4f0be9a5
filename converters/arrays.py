"""Reading model.yaml's data in whichever form they are, checked against the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converters import numpy_files, picture_folder, tables
from converters.pictures import Form as PictureForm
from converters.pictures import Pictures
from nearedge.errors import InputError, UnsupportedError
from nearedge.files import inside
from nearedge.release.description import Data, Description
from nearedge.release.inputs import Input, shown

Array = numpy_files.Array
Rows = Array | Pictures
"""What can be cut into requests: axis 0 is the row."""

Form = Literal["numpy", "table", "pictures"]
OPTIONS: dict[str, tuple[Form, ...]] = {
    "columns": ("table",), "classes": ("table", "pictures"), "resize": ("pictures",),
}  # fmt: skip
"""Which options of `data` mean something for which form."""

DTYPES: dict[str, str] = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
"""numpy's name of each of Open Inference Protocol's element types that numpy has."""


@dataclass(frozen=True)
class Arrays:
    """The data of a model: rows for each input, and the labels of the same rows."""

    inputs: Mapping[str, Rows]
    labels: Array | None
    rows: int


def dtype_of(one: Input) -> np.dtype[Any]:
    """The dtype numpy has for an input. Raises UnsupportedError for BF16, which numpy has not."""
    if one.dtype not in DTYPES:
        raise UnsupportedError(f"inputs.{one.name}: {one.dtype} data cannot be read; use FP32 at the model's input")
    return np.dtype(DTYPES[one.dtype])


def read(description: Description, folder: Path) -> Arrays:
    """The data that model.yaml in `folder` names: numpy's files, a .csv file, or a folder of pictures.

    Raises InputError where they are missing, damaged, or do not fit the inputs.
    """
    data = description.data
    if data is None:
        raise InputError("data: model.yaml names none")
    path = inside(folder, data.path)
    form = form_of(path)
    refuse_options(data, form)
    if form == "numpy":
        return from_numpy(description.inputs, data, path)
    if len(description.inputs) > 1:
        raise InputError(f"{path}: {form} hold one input's data, the model has {len(description.inputs)}; give an .npz")
    one = description.inputs[0]
    return from_pictures(one, data, path) if form == "pictures" else from_table(one, data, path)


def form_of(path: Path) -> Form:
    """What data are there. A folder without .npy files is one of pictures. Raises InputError where there is nothing."""
    if not path.exists():
        raise InputError(f"{path}: no such data; data.path of model.yaml is relative to it")
    if path.is_dir():
        return "numpy" if next(path.glob("*.npy"), None) else "pictures"
    return "table" if path.suffix.lower() == ".csv" else "numpy"


def refuse_options(data: Data, form: Form) -> None:
    """Raise InputError for an option that means nothing for data of this form."""
    for name, forms in OPTIONS.items():
        if getattr(data, name) is not None and form not in forms:
            raise InputError(f"data.{name}: is for {' and '.join(forms)}, {data.path} is {form}; remove it")


def from_numpy(inputs: Sequence[Input], data: Data, path: Path) -> Arrays:
    """An array for each input by its name, and the labels' array."""
    wanted = [one.name for one in inputs] + ([] if data.labels is None else [data.labels])
    found = numpy_files.load(path, wanted)
    for one in inputs:
        check(one, found[one.name], path)
    labels = None if data.labels is None else found[data.labels]
    if labels is not None:
        check_labels(labels, f"{path}: labels {data.labels!r}")
    return Arrays({one.name: found[one.name] for one in inputs}, labels, same_rows(found, data, path))


def check_labels(labels: Array, where: str) -> None:
    """Raise InputError for a label that nothing can be compared with; `where` names them."""
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        row = int(np.argwhere(~np.isfinite(labels))[0][0])
        raise InputError(f"{where} hold NaN or infinity, first in row {row}; correct or leave out such rows")


def from_table(one: Input, data: Data, path: Path) -> Arrays:
    """The columns of a CSV file."""
    found, labels = tables.features(path, data.columns, data.labels, data.classes, dtype_of(one))
    check(one, found, path)
    return Arrays({one.name: found}, labels, same_rows({one.name: found}, data, path))


def from_pictures(one: Input, data: Data, path: Path) -> Arrays:
    """The pictures of a folder, decoded row by row."""
    files, labels = picture_folder.rows(path, data.labels, data.classes)
    found = Pictures(files, PictureForm.of(one, dtype_of(one)), data.resize)
    return Arrays({one.name: found}, labels, len(files))


def check(one: Input, array: Array, path: Path) -> None:
    """Raise InputError where `array` is not rows of what the input takes."""
    where = f"{path}: data of input {one.name!r}"
    check_dtype(array, dtype_of(one), f"{where} are {array.dtype}, the input takes {one.dtype}")
    dims, shape = list(array.shape), one.bounds
    if len(dims) == len(shape) and dims:
        dims, shape = dims[1:], shape[1:]
    elif len(dims) == len(shape) + 1:
        dims = dims[1:]
    else:
        raise InputError(f"{where} have shape {list(array.shape)}, which are no rows of {shown(one.shape)}")
    if any(have < least or (most is not None and have > most) for have, (least, most) in zip(dims, shape, strict=True)):
        raise InputError(
            f"{where} have shape {list(array.shape)}, the input takes {shown(one.shape)}; axis 0 is the row"
        )


def check_dtype(array: Array, wanted: np.dtype[Any], message: str) -> None:
    """Raise InputError with `message` where values could change on their way to dtype `wanted`.

    A narrower float is taken as it is, since models are trained in it; a narrower integer where all values fit.
    """
    have = array.dtype
    if np.can_cast(have, wanted, "same_kind") and not (wanted.kind in "iu" and have.kind in "iu"):
        return
    if have.kind in "iu" and wanted.kind in "iu" and fits(array, wanted):
        return
    raise InputError(f"{message}; convert them")


def fits(array: Array, wanted: np.dtype[Any]) -> bool:
    """Whether all integers of `array` are in the range of `wanted`."""
    limits = np.iinfo(wanted)
    return array.size == 0 or (int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def same_rows(found: Mapping[str, Array], data: Data, path: Path) -> int:
    """The number of rows, the same in all arrays. Raises InputError where it is not, or where there are none."""
    rows = {name: array.shape[0] if array.ndim else 0 for name, array in found.items()}
    counts = set(rows.values())
    if len(counts) > 1:
        each = ", ".join(f"{name} {count}{' (labels)' if name == data.labels else ''}" for name, count in rows.items())
        raise InputError(f"{path}: arrays have different numbers of rows: {each}")
    if counts == {0}:
        raise InputError(f"{path}: holds no rows")
    return counts.pop()
