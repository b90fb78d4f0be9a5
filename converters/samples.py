"""The samples of model.yaml's data, as requests to a model; the rule is in docs/architecture.md, "Samples".

A feed is one whole request: an array for each input, by the input's name, raw as a client sends it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from converters import arrays, synthetic
from converters.arrays import Array
from nearedge.errors import InputError
from nearedge.release.description import Description
from nearedge.release.inputs import Input

Feed = dict[str, Array]


class Requests(Sequence[Feed]):
    """Requests made from rows `first` to `last` of the arrays, cut when asked for; a last incomplete batch is left out.

    `rows_each` rows go into a request: the static batch of the model, the least it takes where it has bounds, else 1.
    """

    def __init__(self, inputs: Sequence[Input], data: Mapping[str, arrays.Rows], first: int, last: int) -> None:
        """Keep views of `data`; nothing is copied yet."""
        self.inputs = inputs
        self.data = data
        self.first = first
        self.rows_each = rows_each(inputs, data)
        self.total = (last - first) // self.rows_each

    def __len__(self) -> int:
        """Whole requests there are."""
        return self.total

    @overload
    def __getitem__(self, index: int) -> Feed: ...
    @overload
    def __getitem__(self, index: slice) -> list[Feed]: ...
    def __getitem__(self, index: int | slice) -> Feed | list[Feed]:
        """The request of that number, of each input's dtype."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self.total))]
        if not 0 <= index < self.total:
            raise IndexError(index)
        row = self.first + index * self.rows_each
        return {one.name: self.cut(one, row) for one in self.inputs}

    def cut(self, one: Input, row: int) -> Array:
        """One input of the request that begins at `row`."""
        array = self.data[one.name]
        part = array[row] if array.ndim > len(one.shape) else array[row : row + self.rows_each]
        return np.array(part, dtype=arrays.dtype_of(one), order="C")


@dataclass(frozen=True)
class Samples:
    """Requests with what is known about them. `labels` has axis 0 the row; `rows` counts the rows in the requests."""

    feeds: Sequence[Feed]
    labels: NDArray[Any] | None
    rows: int
    rows_each: int
    synthetic: bool

    def labels_of(self, request: int) -> NDArray[Any] | None:
        """The labels of one request's rows."""
        if self.labels is None:
            return None
        return self.labels[request * self.rows_each : (request + 1) * self.rows_each]


def rows_each(inputs: Sequence[Input], data: Mapping[str, arrays.Rows]) -> int:
    """Rows that one request takes. Raises InputError where the inputs disagree about it."""
    taken = {
        one.name: max(one.bounds[0][0], 1) if one.shape and data[one.name].ndim == len(one.shape) else 1
        for one in inputs
    }
    if len(set(taken.values())) > 1:
        each = ", ".join(f"{name} {count}" for name, count in taken.items())
        raise InputError(f"inputs: each takes another number of rows a request ({each}); make their batch the same")
    return next(iter(taken.values()))


def evaluation(description: Description, folder: Path) -> Samples:
    """What accuracy and parity are measured on: the evaluation rows, else all that are not for calibration.

    Without data, samples derived from the signature, marked synthetic. `folder` is the one model.yaml lies in.
    Raises InputError where the data do not fit the inputs.
    """
    if description.data is None:
        feeds = synthetic.feeds(description.inputs)
        return Samples(feeds, None, len(feeds), 1, synthetic=True)
    data = arrays.read(description, folder)
    given = description.data.evaluation
    first, last = given or rest(data.rows, description.data.calibration)
    return select(description, data, first, last, "evaluation")


def calibration(description: Description, folder: Path, allow_synthetic: bool = False) -> Samples | None:
    """The rows INT8 is calibrated with; None where model.yaml gives none.

    With `allow_synthetic` made-up samples then, marked so; never those that parity is judged on.
    """
    if description.data is None or description.data.calibration is None:
        if not allow_synthetic:
            return None
        feeds = synthetic.feeds(description.inputs, synthetic.CALIBRATION_COUNT, synthetic.CALIBRATION_SEED)
        return Samples(feeds, None, len(feeds), 1, synthetic=True)
    data = arrays.read(description, folder)
    return select(description, data, *description.data.calibration, "calibration")


def golden(description: Description, folder: Path) -> Samples | None:
    """The rows golden samples may be taken from; None where model.yaml allows none to be shipped."""
    if description.golden is None:
        return None
    data = arrays.read(description, folder)
    return select(description, data, *description.golden.rows, "golden")


def rest(rows: int, taken: tuple[int, int] | None) -> tuple[int, int]:
    """The longer run of rows beside `taken`, all of them where none are. Raises InputError where nothing is left."""
    if taken is None:
        return 0, rows
    first, last = max((0, taken[0]), (taken[1], rows), key=lambda run: run[1] - run[0])
    if last <= first:
        raise InputError(f"data.calibration: takes all {rows} rows; leave some to judge the model by")
    return first, last


def select(description: Description, data: arrays.Arrays, first: int, last: int, what: str) -> Samples:
    """Samples of rows `first` to `last`. Raises InputError where there are not so many, or not one whole batch."""
    if last > data.rows:
        raise InputError(f"{what} rows: [{first}, {last}] ends after the data, which have {data.rows} rows; correct it")
    requests = Requests(description.inputs, data.inputs, first, last)
    if not len(requests):
        raise InputError(f"{what} rows: {last - first} are fewer than the model's batch of {requests.rows_each}")
    rows = len(requests) * requests.rows_each
    labels = None if data.labels is None else data.labels[first : first + rows]
    return Samples(requests, labels, rows, requests.rows_each, synthetic=False)
