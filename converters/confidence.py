"""How sure a drop is: its 95 % interval, from the same rows answered by the source and by the IR.

Accuracy of one decision a row: the interval for a difference of paired proportions by Agresti and Min (Statistics in
Medicine 24, 2005, "Wald + 2"): half a row is added to each of the four cells, so that rows of which none changed do
not claim certainty. Every other metric of ours: the percentile bootstrap over rows, paired, with a fixed seed; for
those in [0, 1] never narrower than Wald + 2 is where no row changed, as a resample cannot show what no row shows.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import detection
from converters.quantities import share
from nearedge.release.sections import MetricResult

Numbers = NDArray[np.float64]
Weighted = Callable[[NDArray[Any]], float]
"""The metric where row i counts weights[i] times."""

NORMAL = 1.959963984540054
"""Of a normal distribution 95 % lies within so many standard deviations of the middle."""
SEED = 20260101
RESAMPLES = 1000
RESAMPLES_OF_BOXES = 200
"""Sorting boxes anew costs more than adding numbers up."""
MOST_COUNTS = 20_000_000
"""Rows times classes that f1's counts are kept for; beyond it there is no interval."""


def accuracy(answers: Numbers, labels: Numbers, rows: int) -> Weighted | None:
    """Share of the places that are right."""
    return average((answers == labels).reshape(rows, -1).mean(1))


def mae(answers: Numbers, labels: Numbers, rows: int) -> Weighted | None:
    """Mean absolute error."""
    return average(np.abs(answers - labels).reshape(rows, -1).mean(1))


def rmse(answers: Numbers, labels: Numbers, rows: int) -> Weighted | None:
    """Root of the mean squared error."""
    squared = average(((answers - labels) ** 2).reshape(rows, -1).mean(1))
    return lambda weights: math.sqrt(squared(weights))


def average(each: Numbers) -> Weighted:
    """The mean of a number for each row."""
    return lambda weights: float(each @ weights / weights.sum())


def f1(answers: Numbers, labels: Numbers, rows: int) -> Weighted | None:
    """Mean over the classes, from each row's counts of right answers, of answers, and of labels."""
    classes, numbers = np.unique(np.concatenate([answers, labels]), return_inverse=True)
    if rows * len(classes) > MOST_COUNTS:
        return None
    row = np.repeat(np.arange(rows), len(answers) // rows)
    given, wanted = np.split(numbers.ravel(), 2)
    right = given == wanted
    counts = np.zeros((3, rows, len(classes)), np.float32)
    for at, (which, places) in enumerate(((given[right], row[right]), (given, row), (wanted, row))):
        np.add.at(counts[at], (places, which), 1)

    def weighted(weights: NDArray[Any]) -> float:
        hit, answered, labelled = (weights @ part for part in counts)
        there = (answered + labelled) > 0
        return float((2 * hit[there] / (answered + labelled)[there]).mean())

    return weighted


def boxes(name: str) -> Callable[[Numbers, Numbers, int], Weighted | None]:
    """Of map or map50: a row is an image."""

    def of(answers: Numbers, labels: Numbers, rows: int) -> Weighted | None:
        matches = detection.match(answers, labels, rows)
        return lambda weights: detection.mean(matches, weights, name)

    return of


WEIGHTED: dict[str, Callable[[Numbers, Numbers, int], Weighted | None]] = {
    "accuracy": accuracy, "f1": f1, "mae": mae, "rmse": rmse, "map": boxes("map"), "map50": boxes("map50"),
}  # fmt: skip
BOUNDED = ("accuracy", "f1", "map", "map50")


def paired(lost: int, won: int, rows: int) -> tuple[float, float]:
    """The interval of the drop where `lost` rows were right in the source alone, and `won` in the IR alone."""
    low, more = lost + 0.5, won + 0.5
    total = rows + 2
    middle = (low - more) / total
    width = NORMAL * math.sqrt(max(low + more - (low - more) ** 2 / total, 0.0)) / total
    return middle - width, middle + width


def least_width(rows: int) -> float:
    """Half of the interval's width where no row changed."""
    return paired(0, 0, rows)[1]


def interval(
    name: str, rises: bool, source: tuple[Numbers, Numbers], converted: tuple[Numbers, Numbers], rows: int
) -> tuple[float, float] | None:
    """The 95 % interval of the drop; None where there are fewer than two rows, or no way known for the metric.

    `source` and `converted`: answers and labels as `metrics.Score.gathered` gives them.
    """
    if rows < 2 or name not in WEIGHTED:
        return None
    if name == "accuracy" and source[1].size == rows:
        before, after = (answers == labels for answers, labels in (source, converted))
        return paired(int((before & ~after).sum()), int((after & ~before).sum()), rows)
    one, other = (WEIGHTED[name](answers, labels, rows) for answers, labels in (source, converted))
    if one is None or other is None:
        return None

    def drop(weights: NDArray[Any]) -> float:
        lost = one(weights) - other(weights)
        return lost if rises else -lost

    low, high = resampled(drop, rows, RESAMPLES_OF_BOXES if name in ("map", "map50") else RESAMPLES)
    if name in BOUNDED:
        point, least = drop(np.ones(rows)), least_width(rows)
        low, high = min(low, point - least), max(high, point + least)
    return low, high


def resampled(drop: Weighted, rows: int, times: int) -> tuple[float, float]:
    """The middle 95 % of the drops of rows drawn with replacement."""
    generator = np.random.default_rng(SEED)
    drops = [drop(np.bincount(generator.integers(0, rows, rows), minlength=rows)) for _ in range(times)]
    low, high = np.percentile(drops, [2.5, 97.5])
    return float(low), float(high)


def words(found: MetricResult) -> str:
    """The interval for a person, and where it holds the allowed drop that the rows are too few; empty without one."""
    if found.drop_low is None or found.drop_high is None:
        return ""
    text = f"95 % interval {share(found.drop_low)} to {share(found.drop_high)}"
    if found.certain():
        return text
    apart = (found.drop_high - found.drop_low) / 2
    return f"{text}: {found.rows} rows tell drops of {apart:.2g} apart, too few to be sure about {found.allowed_drop:g}"
