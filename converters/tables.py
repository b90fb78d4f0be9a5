"""CSV files as a model's data: columns of finite numbers, and a column of labels. RFC 4180, UTF-8, names in line 1."""

import csv
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearedge.errors import InputError

MOST_BYTES = 256 << 20
"""Of one file. A cell takes two bytes at least and becomes eight, so an array has four times as many at most."""

EXACT = 2.0**53
"""Up to here float64 holds every whole number."""

Cell = Callable[[str], float | int]


def features(
    path: Path, columns: Sequence[str] | None, label: str | None, classes: Sequence[str] | None, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The columns as [rows, columns] of `dtype` or wider, and the labels [rows], None without `label`.

    Without `columns`, all but the label's, as they come. Raises InputError with the line for what does not fit.
    """
    lines = rows(path, MOST_BYTES)
    header = next(lines)[1]
    chosen = [name for name in header if name != label] if columns is None else list(columns)
    places = [place(header, name, path) for name in chosen]
    label_at = None if label is None else place(header, label, path)
    if not places:
        raise InputError(f"{path}: has no column beside the labels")
    reads = reader(dtype)
    values: array[Any] = array("d" if dtype.kind == "f" else "q")
    labels = Labels(classes)
    for number, row in lines:
        for name, at in zip(chosen, places, strict=True):
            try:
                values.append(reads(row[at]))
            except (ValueError, OverflowError) as error:
                raise InputError(f"{path}: line {number}, column {name!r}: {row[at][:40]!r} {error}") from None
        if label_at is not None:
            labels.add(row[label_at], f"{path}: line {number}, column {label!r}")
    found = np.frombuffer(values, values.typecode).reshape(-1, len(places))
    return (found.astype(bool) if dtype.kind == "b" else found), (None if label is None else labels.array())


def rows(path: Path, most_bytes: int) -> Iterator[tuple[int, list[str]]]:
    """The number and cells of each line that is not empty, first the names. Raises InputError for no such table."""
    if path.stat().st_size > most_bytes:
        raise InputError(f"{path}: has more than {most_bytes >> 20} MB; leave rows out, or give the data as .npz")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            if not header:
                raise InputError(f"{path}: line 1 does not name the columns")
            name, times = Counter(header).most_common(1)[0]
            if times > 1:
                raise InputError(f"{path}: line 1 names column {name[:40]!r} {times} times; name each once")
            yield 1, header
            for row in lines:
                if row and len(row) != len(header):
                    raise InputError(f"{path}: line {lines.line_num} has {len(row)} cells, line 1 has {len(header)}")
                if row:
                    yield lines.line_num, row
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as CSV") from None
    except csv.Error as error:
        raise InputError(f"{path}: line {lines.line_num}: no CSV ({error}); save it anew") from None


def place(header: Sequence[str], name: str, path: Path) -> int:
    """Where a column is. Raises InputError where there is none of that name."""
    if name not in header:
        raise InputError(f"{path}: no column {name!r}; there are: {' '.join(', '.join(header).split())[:200]}")
    return header.index(name)


def reader(dtype: np.dtype[Any]) -> Cell:
    """The function that reads a cell of an input of `dtype`; it raises ValueError with what is wrong."""
    if dtype.kind == "f":
        return lambda text: finite(text, float(np.finfo(dtype).max))
    if dtype.kind == "b":
        return lambda text: whole(text, 0, 1)
    limits = np.iinfo(dtype)
    most = min(int(limits.max), np.iinfo(np.int64).max)
    return lambda text: whole(text, int(limits.min), most)


def finite(text: str, most: float = math.inf) -> float:
    """A number in Python's form, without its underscores."""
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > most:
        raise ValueError("is no finite number that the input holds")
    return value


def whole(text: str, least: int, most: int) -> int:
    """A whole number in that range; 20 characters hold any of 64 bits."""
    stripped = text.strip()
    try:
        value = int(stripped) if len(stripped) <= 20 and "_" not in stripped else most + 1
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise ValueError(f"is no whole number from {least} to {most}")
    return value


class Labels:
    """Labels gathered as numbers, eight bytes each: the place in `classes` where they are given, else the number."""

    def __init__(self, classes: Sequence[str] | None) -> None:
        """Nothing gathered yet."""
        self.known = None if classes is None else {name: number for number, name in enumerate(classes)}
        self.found = array("d")

    def add(self, text: str, where: str) -> None:
        """Take one label. Raises InputError, which begins with `where`, for what is no class or number."""
        if self.known is not None:
            if text not in self.known:
                raise InputError(f"{where}: {text[:40]!r} is none of data.classes; add it at its place, or correct it")
            self.found.append(self.known[text])
            return
        try:
            self.found.append(finite(text))
        except ValueError:
            raise InputError(
                f"{where}: {text[:40]!r} is no number; list the names in data.classes, in the order of the output"
            ) from None

    def array(self) -> NDArray[Any]:
        """[rows]: int64 where all are whole, as classes are, else float64."""
        found = np.frombuffer(self.found, np.float64)
        whole_ones = (np.abs(found) <= EXACT).all() and (found == np.floor(found)).all()
        return found.astype(np.int64) if whole_ones else found
