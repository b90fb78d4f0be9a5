"""What requests and answers look like where all is well, for the site to hold its own against: the drift reference.

Each row of a tensor is summed up in one number: the mean of its values, or the class it decides for. The reference is
how those numbers of the evaluation rows fall into bins, deciles where they are continuous; the server counts into the
same bins, and the population stability index compares the two (sum over bins of (a - e) ln(a / e); Siddiqi, Credit Risk
Scorecards, 2006). Shares alone are kept, no row of the data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.arrays import Array
from converters.parity import DECIDING, Kind
from converters.proof import Predict
from converters.samples import Feed
from nearedge.progress import say
from nearedge.release.sections import DriftReference, DriftSummary

BINS = 10
LEAST_ROWS = 100
"""Fewer say too little: with 10 bins the index of two equal samples of 100 rows is 0.18 on average already."""
MOST_TENSORS = 8
SUMMARIES: tuple[DriftSummary, ...] = ("mean", "top1")
DIGITS = 6
"""Significant digits of edges and shares, so that the last bits of an answer do not make another release."""

Numbers = NDArray[np.float64]


@dataclass
class Watched:
    """An IR that is listened to while it answers: one number for each row of each tensor."""

    predict_: Predict
    rows_each: int
    inputs: dict[str, list[Numbers]] = field(default_factory=dict)
    outputs: dict[str, list[dict[DriftSummary, Numbers]]] = field(default_factory=dict)
    batched: bool = True

    def predict(self, feed: Feed) -> Mapping[str, Array]:
        """The IR's answers."""
        answers = self.predict_(feed)
        everything = [*feed.values(), *answers.values()]
        self.batched &= all(array.ndim > 0 and array.shape[0] == self.rows_each for array in everything)
        for name, array in feed.items():
            self.inputs.setdefault(name, []).append(self.summed(array, "mean"))
        for name, array in answers.items():
            found: dict[DriftSummary, Numbers] = {how: self.summed(array, how) for how in SUMMARIES}
            self.outputs.setdefault(name, []).append(found)
        return answers

    def summed(self, array: Array, summary: DriftSummary) -> Numbers:
        """One number for each row; the whole request is one where its axis 0 is not the rows."""
        rows = self.rows_each if array.ndim and array.shape[0] == self.rows_each else 1
        flat = array.reshape(rows, -1)
        found = flat.mean(axis=1, dtype=np.float64) if summary == "mean" else flat.argmax(axis=1)
        return np.asarray(found, np.float64)

    def references(self, kinds: Mapping[str, Kind], rows: int) -> list[DriftReference]:
        """What to hold requests and answers against; nothing, which is said, where there are too few rows."""
        if rows < LEAST_ROWS:
            say(f"drift: {rows} evaluation rows are too few for a reference ({LEAST_ROWS} are needed); none is shipped")
            return []
        found = [self.reference(name, "mean", parts, "input") for name, parts in self.inputs.items()]
        for name, kind in kinds.items():
            summary = summary_of(kind)
            if summary is not None:
                found.append(self.reference(name, summary, [part[summary] for part in self.outputs[name]], "output"))
        kept = [one for one in found if one is not None][:MOST_TENSORS]
        if kept:
            named = ", ".join(f"{one.of} {one.tensor}" for one in kept)
            say(f"drift: the image will carry how {named} lie in {rows} rows")
        return kept

    def reference(self, name: str, summary: DriftSummary, parts: Sequence[Numbers], of: str) -> DriftReference | None:
        """The bins of one tensor; None, which is said, where all rows are alike and nothing could differ."""
        values = np.concatenate(parts)
        edges = edges_of(values, summary)
        if not edges:
            say(f"drift: {of} {name!r}: its {summary} is the same in all rows; it is not watched")
            return None
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        expected = [rounded(count / values.size) for count in counts]
        return DriftReference.model_validate({
            "tensor": name, "of": of, "summary": summary, "batched": self.batched, "edges": edges,
            "expected": expected, "rows": int(values.size),
        })  # fmt: skip


def summary_of(kind: Kind) -> DriftSummary | None:
    """How an output is summed up: by its decision where it is one; detections come in any number and are left out."""
    if kind in DECIDING:
        return "top1"
    return None if kind == "detections" else "mean"


def edges_of(values: Numbers, summary: DriftSummary) -> list[float]:
    """Lower edges of the bins but the first. A bin for each class where there are few, else the deciles, each once."""
    there = np.unique(values)
    if summary == "top1" and there.size <= 2 * BINS:
        return [float(value) for value in there[1:]]
    deciles = np.quantile(values, np.arange(1, BINS) / BINS)
    edges = sorted({rounded(value) for value in deciles})
    return [edge for edge in edges if there[0] < edge <= there[-1]]


def rounded(value: float) -> float:
    """`value` to DIGITS significant digits."""
    return float(f"{value:.{DIGITS}g}")
