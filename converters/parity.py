"""How much the IR's answers differ from the source's on the same samples, and whether that is little enough."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from converters.arrays import Array
from nearedge.errors import GateError
from nearedge.release.description import Description
from nearedge.release.sections import OutputParity, Precision, Thresholds

Kind = Literal["class", "probabilities", "value", "discrete", "detections"]
"""class: scores along a class axis; probabilities: the same, adding up to one; value: numbers; discrete: integers or
booleans, which are decisions already; detections: rows in order of their scores, whose number and order may change."""
MOVING: tuple[Kind, ...] = ("probabilities", "detections")
"""Where another decision moves the numbers as far as they go."""
DECIDING: tuple[Kind, ...] = ("class", "probabilities")

SAME_TOP1 = 0.99
"""From here on top-1 agreement means that no decision may change but ties."""
TOP = 5
SMALL_NORM = 1e-3
"""Samples whose norm is below this share of the largest have no direction worth a cosine; max_relative judges them."""


class Difference:
    """Adds up, request by request, how one output differs. Memory does not grow with the output's size."""

    def __init__(self, name: str, rows_each: int = 1) -> None:
        """`rows_each`: samples a request holds along axis 0 where the output's axis 0 has that size."""
        self.name = name
        self.rows_each = rows_each
        self.largest = self.total = self.magnitude = 0.0
        self.count = self.same_top1 = self.tops = self.in_top5 = self.tops5 = 0
        self.dots: list[tuple[float, float, float]] = []
        self.kind: Kind = "value"

    def add(self, source: Array, converted: Array, kind: Kind) -> None:
        """Take one request's answers. Raises GateError where shapes differ or either holds NaN or infinity."""
        if kind == "detections" and source.ndim == converted.ndim:
            source, converted = padded(source, converted)
        if source.shape != converted.shape:
            raise GateError(
                f"output {self.name!r}: the IR answers with shape {list(converted.shape)}, the source with "
                f"{list(source.shape)}; the conversion is wrong"
            )
        self.kind = kind
        left, right = source.astype(np.float64), converted.astype(np.float64)
        for who, values in (("source", left), ("IR", right)):
            if not np.isfinite(values).all():
                raise GateError(
                    f"output {self.name!r}: the {who} answers with NaN or infinity; nothing can be proven by it"
                )
        if not left.size:
            return
        distance = np.abs(left - right)
        self.largest = max(self.largest, float(distance.max()))
        self.total += float(distance.sum())
        self.magnitude = max(self.magnitude, float(np.abs(left).max()))
        self.count += left.size
        self.add_directions(left, right)
        self.add_decisions(left, right)

    def add_directions(self, left: Array, right: Array) -> None:
        """Dot product and squared norms of each sample."""
        for one, other in zip(self.samples(left), self.samples(right), strict=True):
            self.dots.append((float(one @ other), float(one @ one), float(other @ other)))

    def samples(self, values: Array) -> Array:
        """[samples, values] of one request."""
        split = self.rows_each if values.ndim and values.shape[0] == self.rows_each else 1
        return values.reshape(split, -1)

    def add_decisions(self, left: Array, right: Array) -> None:
        """Count the decisions that are the same."""
        if self.kind in ("value", "detections"):
            return
        if self.kind in DECIDING:
            axis = class_axis(left.shape)
            self.add_top5(left, right, axis)
            left, right = left.argmax(axis), right.argmax(axis)
        self.same_top1 += int((left == right).sum())
        self.tops += left.size

    def add_top5(self, left: Array, right: Array, axis: int) -> None:
        """Count the source's decisions that are among the IR's five largest; five classes or less tell nothing."""
        if left.shape[axis] <= TOP:
            return
        chosen = np.take_along_axis(right, np.expand_dims(left.argmax(axis), axis), axis)
        larger = (right > chosen).sum(axis)
        self.in_top5 += int((larger < TOP).sum())
        self.tops5 += larger.size

    def cosine(self) -> float:
        """Lowest over the samples; of all samples as one vector where a sample is a single number."""
        if not self.dots:
            return 1.0
        if self.count == len(self.dots):
            sums = np.asarray(self.dots).sum(axis=0)
            return angle(float(sums[0]), float(sums[1]), float(sums[2]))
        largest = max(norm for _, norm, _ in self.dots)
        least = largest * SMALL_NORM**2
        return min((angle(*one) for one in self.dots if max(one[1:]) > least), default=1.0)

    def result(self) -> OutputParity:
        """The figures of all requests so far."""
        return OutputParity(
            name=self.name,
            max_abs=self.largest,
            mean_abs=self.total / max(self.count, 1),
            max_relative=self.largest / (self.magnitude or 1.0),
            cosine=self.cosine(),
            top1_agreement=self.same_top1 / self.tops if self.tops else None,
            top5_agreement=self.in_top5 / self.tops5 if self.tops5 else None,
        )


def padded(source: Array, converted: Array) -> tuple[Array, Array]:
    """Both in the size of the larger one, with zeros: a missing detection is a difference, not a wrong shape."""
    size = np.maximum(source.shape, converted.shape)
    one, other = (
        np.pad(part, [(0, int(most) - have) for most, have in zip(size, part.shape, strict=True)])
        for part in (source, converted)
    )
    return one, other


def angle(dot: float, norm: float, other: float) -> float:
    """Cosine from a dot product and two squared norms: two zero vectors agree, one does not."""
    if not norm or not other:
        return 1.0 if norm == other else 0.0
    return max(-1.0, min(1.0, dot / math.sqrt(norm * other)))


def class_axis(shape: Sequence[int]) -> int:
    """Where class scores lie: axis 1 of [batch, class, height, width] and the like, the last axis otherwise."""
    return 1 if len(shape) >= 4 else -1


def kind_of(description: Description, name: str, first: Array) -> Kind:
    """What an output's numbers mean, by its `first` answer from the source.

    Scores where the metric is accuracy or f1; values where it is mae or rmse; else scores where they are
    probabilities of more than one class, or one row of more than one number for each sample. What a metric of boxes
    judges are detections.
    """
    judged = None if description.metric and description.metric.own else description.metric
    if judged and judged.detection and name in judged.detection.outputs():
        return "detections"
    if first.dtype.kind in "iub":
        return "discrete"
    if judged and name == (judged.output or description.outputs[0].name):
        several = first.ndim > 0 and first.shape[class_axis(first.shape)] > 1
        return scores(first) if judged.name in ("accuracy", "f1") and several else "value"
    if first.ndim == 2 and first.shape[-1] > 1 and (judged is None or is_probabilities(first)):
        return scores(first)
    return "value"


def scores(first: Array) -> Kind:
    """Which kind of scores these are."""
    return "probabilities" if is_probabilities(first) else "class"


def is_probabilities(values: Array) -> bool:
    """Whether numbers along the class axis are probabilities that add up to one."""
    if not values.ndim or not values.size:
        return False
    sums = values.astype(np.float64).sum(axis=class_axis(values.shape))
    return bool((values >= 0).all() and (values <= 1).all() and np.allclose(sums, 1.0, atol=1e-2))


def faults(parity: OutputParity, limits: Thresholds, kind: Kind) -> list[str]:
    """What does not hold, each with the figure and the threshold.

    Decisions count by themselves: how far apart two class numbers are means nothing. And where some of the decisions
    may be others, the probabilities of such a sample go from one class to another: only the top-1 tells. Detections
    change places alike: only the metric tells.
    """
    found = []
    decisions = kind == "discrete" or (kind in MOVING and limits.min_top1_agreement < SAME_TOP1)
    if not decisions and not parity.max_relative <= limits.max_relative:
        found.append(f"max_relative {parity.max_relative:.3g} is over {limits.max_relative:g}")
    if not decisions and not parity.cosine >= limits.min_cosine:
        found.append(f"cosine {parity.cosine:.5g} is under {limits.min_cosine:g}")
    if parity.top1_agreement is not None and not parity.top1_agreement >= limits.min_top1_agreement:
        found.append(f"top1_agreement {parity.top1_agreement:.4g} is under {limits.min_top1_agreement:g}")
    least = limits.min_top5_agreement
    if parity.top5_agreement is not None and least is not None and not parity.top5_agreement >= least:
        found.append(f"top5_agreement {parity.top5_agreement:.4g} is under {least:g}")
    return found


def gate(results: Sequence[tuple[OutputParity, Kind]], limits: Thresholds, precision: Precision) -> None:
    """Raise GateError where an output differs by more than the thresholds of that precision allow."""
    for parity, kind in results:
        for fault in faults(parity, limits, kind):
            raise GateError(
                f"output {parity.name!r}: {fault} for {precision}; the IR does not predict what the source predicts"
            )
