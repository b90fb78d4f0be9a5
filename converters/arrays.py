"""Reading model.yaml's data: an .npz file or a folder of .npy files, checked against the inputs; never unpickled."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearedge.errors import InputError, UnsupportedError
from nearedge.files import inside
from nearedge.release.description import Data, Description
from nearedge.release.inputs import Input, shown

Array = NDArray[Any]

DTYPES: dict[str, str] = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64",
    "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip
"""numpy's name of each of Open Inference Protocol's element types that numpy has."""


@dataclass(frozen=True)
class Arrays:
    """The data of a model: an array for each input, axis 0 the row, and the labels of the same rows."""

    inputs: Mapping[str, Array]
    labels: Array | None
    rows: int


def dtype_of(one: Input) -> np.dtype[Any]:
    """The dtype numpy has for an input. Raises UnsupportedError for BF16, which numpy has not."""
    if one.dtype not in DTYPES:
        raise UnsupportedError(f"inputs.{one.name}: {one.dtype} data cannot be read; use FP32 at the model's input")
    return np.dtype(DTYPES[one.dtype])


def read(description: Description, folder: Path) -> Arrays:
    """The arrays that model.yaml in `folder` names.

    Raises InputError where they are missing, damaged, or do not fit the inputs.
    """
    if description.data is None:
        raise InputError("data: model.yaml names none")
    path = inside(folder, description.data.path)
    wanted = [one.name for one in description.inputs]
    wanted += [] if description.data.labels is None else [description.data.labels]
    found = load(path, wanted)
    inputs = {one.name: found[one.name] for one in description.inputs}
    for one in description.inputs:
        check(one, inputs[one.name], path)
    labels = None if description.data.labels is None else found[description.data.labels]
    return Arrays(inputs, labels, same_rows(found, description.data, path))


def load(path: Path, wanted: list[str]) -> dict[str, Array]:
    """The wanted arrays of an .npz file, or of a folder of .npy files (mapped, not read). Raises InputError."""
    if not path.exists():
        raise InputError(f"{path}: no such data; data.path of model.yaml is relative to it")
    try:
        return load_folder(path, wanted) if path.is_dir() else load_npz(path, wanted)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: damaged or no numpy data ({' '.join(str(error).split())[:120]}); save it anew"
        ) from None


def load_folder(path: Path, wanted: list[str]) -> dict[str, Array]:
    """`NAME.npy` of each wanted name."""
    found = {}
    for name in wanted:
        file = inside(path, f"{name}.npy")
        if not file.is_file():
            there = ", ".join(sorted(one.stem for one in path.glob("*.npy"))) or "none"
            raise InputError(f"{path}: no array {name!r}; there are: {there}")
        found[name] = np.load(file, mmap_mode="r", allow_pickle=False)
    return found


def load_npz(path: Path, wanted: list[str]) -> dict[str, Array]:
    """The wanted members of an .npz file."""
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError(f"{path}: is a single array; save one for each input with numpy.savez")
        for name in wanted:
            if name not in archive.files:
                raise InputError(f"{path}: no array {name!r}; there are: {', '.join(sorted(archive.files)) or 'none'}")
        return {name: archive[name] for name in wanted}


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
