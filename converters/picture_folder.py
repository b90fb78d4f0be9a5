"""A folder of pictures: which files are its rows, in which order, and their labels."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from converters import tables
from nearedge.errors import InputError
from nearedge.files import inside

BY_FOLDER = "folders"
"""`data.labels` of pictures that lie in a folder for each class."""
FILE, LABEL = "file", "label"
"""The columns of a CSV file of labels."""
MOST_LIST_BYTES = 16 << 20
"""Of that CSV file; a path in memory takes several times its length."""


def rows(path: Path, labels: str | None, classes: Sequence[str] | None) -> tuple[list[Path], NDArray[Any] | None]:
    """The picture files in the order of their rows, and the labels [rows], None without `labels`.

    `labels` is `folders`, or the name of a CSV file in the folder. Raises InputError where that does not fit.
    """
    if labels is None:
        found, numbers = pictures_in(path), None
    elif labels == BY_FOLDER:
        found, numbers = by_folder(path, classes)
    elif labels.lower().endswith(".csv"):
        found, numbers = by_list(path, inside(path, labels), classes)
    else:
        raise InputError(f"data.labels: {labels!r}; of pictures they are {BY_FOLDER}, or a .csv file in {path.name}/")
    if not found:
        raise InputError(f"{path}: holds neither .npy files nor pictures")
    return found, numbers


def pictures_in(folder: Path) -> list[Path]:
    """The files of a folder by name, without hidden ones. Raises InputError where there is something else."""
    there = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for entry in there:
        if not entry.is_file():
            raise InputError(f"{entry}: is no picture; of folders in {folder.name}/ say data.labels: {BY_FOLDER}")
    return [inside(folder, entry.name) for entry in there]


def by_folder(path: Path, classes: Sequence[str] | None) -> tuple[list[Path], NDArray[Any]]:
    """Pictures in a folder for each class: the first of each class, then the second of each, and so on.

    So any run of rows holds the classes evenly. Classes come in the order of their numbers.
    """
    folders = {}
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            raise InputError(f"{entry}: is no folder; with data.labels: {BY_FOLDER} each picture lies in its class's")
        reading = tables.Labels(classes)
        reading.add(entry.name, str(path))
        folders[entry] = reading.array()[0]
    ordered = sorted(folders, key=lambda entry: (folders[entry], entry.name))
    turns = itertools.zip_longest(*([(file, entry.name) for file in pictures_in(entry)] for entry in ordered))
    rows = [row for turn in turns for row in turn if row is not None]
    labels = tables.Labels(classes)
    for _, name in rows:
        labels.add(name, str(path))
    return [file for file, _ in rows], labels.array()


def by_list(path: Path, file: Path, classes: Sequence[str] | None) -> tuple[list[Path], NDArray[Any]]:
    """The pictures that a CSV file names in its column `file`, in its order, with its column `label`."""
    if not file.is_file():
        raise InputError(f"{file}: no such file; data.labels of pictures lies in their folder")
    lines = tables.rows(file, MOST_LIST_BYTES)
    header = next(lines)[1]
    file_at, label_at = (tables.place(header, name, file) for name in (FILE, LABEL))
    found, labels = [], tables.Labels(classes)
    for number, row in lines:
        picture = inside(path, row[file_at]) if "\0" not in row[file_at] else path
        if not picture.is_file():
            raise InputError(f"{file}: line {number}: no picture {row[file_at][:80]!r} in {path.name}/")
        found.append(picture)
        labels.add(row[label_at], f"{file}: line {number}")
    return found, labels.array()
