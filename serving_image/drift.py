"""Counts requests and answers into the bins of the record's drift reference; Prometheus holds the two shares together.

Off where the record has no reference. Each row is summed up as converters/drift.py did it for the evaluation rows.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from serving_image.metrics import Counter, Metric
from serving_image.record import DriftReference
from serving_image.tensors import Array, Spec

UNWATCHED = ("BYTES", "BF16")
"""Datatypes whose values numpy cannot add up."""


@dataclass(frozen=True)
class Watched:
    """One tensor of a model: its place among the inputs or outputs, the reference, and the labels of its bins."""

    at: int
    reference: DriftReference
    bins: list[tuple[str, ...]]


class Drift:
    """The bins of one model."""

    def __init__(
        self, references: Sequence[DriftReference], inputs: Sequence[Spec], outputs: Sequence[Spec],
        labels: tuple[str, str], rows: Counter,
    ) -> None:  # fmt: skip
        """`labels` are the model and its version. Every bin is counted from 0 on, so that rates are right."""
        self.rows = rows
        self.inputs = list(watched(references, "input", inputs, labels))
        self.outputs = list(watched(references, "output", outputs, labels))
        for one in (*self.inputs, *self.outputs):
            for bin_labels in one.bins:
                rows.add(0, *bin_labels)

    def show(self, expected: Metric) -> None:
        """Set the shares that the reference says."""
        for one in (*self.inputs, *self.outputs):
            for share, labels in zip(one.reference.expected, one.bins, strict=True):
                expected.set(share, *labels)

    def observe(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Count the rows of one request and its answer."""
        for watching, arrays in ((self.inputs, inputs), (self.outputs, outputs)):
            for one in watching:
                for value in summed(one.reference, arrays[one.at]):
                    self.rows.add(1, *one.bins[bisect_right(one.reference.edges, value)])


def watched(
    references: Sequence[DriftReference], of: str, specs: Sequence[Spec], labels: tuple[str, str]
) -> Iterator[Watched]:
    """The references of inputs, or of outputs, that the model has."""
    places = {spec.name: at for at, spec in enumerate(specs) if spec.datatype not in UNWATCHED}
    for one in references:
        if one.of == of and one.tensor in places:
            bins: list[tuple[str, ...]] = [(*labels, one.tensor, of, str(at)) for at in range(len(one.expected))]
            yield Watched(places[one.tensor], one, bins)


def summed(reference: DriftReference, array: Array) -> list[float]:
    """One number for each row; none where there are no values. Half precision is added up in double."""
    if not array.size:
        return []
    flat = array.reshape(array.shape[0] if reference.batched and array.ndim else 1, -1)
    found = flat.argmax(axis=1) if reference.summary == "top1" else flat.mean(axis=1, dtype=np.float64)
    values: list[float] = found.tolist()
    return values
