"""Counters, gauges and histograms in Prometheus' text format 0.0.4, as small as a node at the edge likes them.

https://prometheus.io/docs/instrumenting/exposition_formats/. Used from the event loop's thread only, so without locks.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Upper bounds of batch sizes."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds: 1 ms to 10 s."""

STEPS = (1.0, 1.5, 2.2, 3.3, 4.7, 6.8)
FINE = (*(float(f"{step}e{power}") for power in range(-4, 1) for step in STEPS), 10.0)
"""Upper bounds in seconds: 0.1 ms to 10 s, each at most 1.5 times the one before, so that a doubling always shows."""


class Metric:
    """A metric with labels: one number for each tuple of their values."""

    kind = "gauge"

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> None:
        """`labels` are the names; values are given in the same order."""
        self.name = name
        self.help_text = help_text
        self.labels = labels
        self.values: dict[tuple[str, ...], float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Set the number of these label values."""
        self.values[labels] = value

    def add(self, amount: float, *labels: str) -> None:
        """Add to the number of these label values."""
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def samples(self) -> Iterator[str]:
        """The lines behind HELP and TYPE."""
        for values, number in self.values.items():
            yield sample(self.name, zip(self.labels, values, strict=True), number)


class Counter(Metric):
    """A number that only grows; its name ends with _total."""

    kind = "counter"


class Histogram(Metric):
    """How many observations were at most as large as each bucket, and their sum."""

    kind = "histogram"

    def __init__(
        self, name: str, help_text: str, labels: tuple[str, ...] = (), bounds: Sequence[float] = BUCKETS
    ) -> None:
        """As for `Metric`; `bounds` are the upper bounds of the buckets, rising, without infinity."""
        super().__init__(name, help_text, labels)
        self.bounds = bounds
        self.counts: dict[tuple[str, ...], list[int]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        try:
            self.counts[labels][bisect_left(self.bounds, value)] += 1
            self.values[labels] += value
        except KeyError:
            self.counts[labels], self.values[labels] = [0] * (len(self.bounds) + 1), 0.0
            self.observe(value, *labels)

    def samples(self) -> Iterator[str]:
        """Cumulative buckets, sum and count."""
        for values, counts in self.counts.items():
            pairs = list(zip(self.labels, values, strict=True))
            total = 0
            for bound, count in zip((*map(str, self.bounds), "+Inf"), counts, strict=True):
                total += count
                yield sample(f"{self.name}_bucket", [*pairs, ("le", bound)], total)
            yield sample(f"{self.name}_sum", pairs, self.values[values])
            yield sample(f"{self.name}_count", pairs, total)


def sample(name: str, labels: Iterable[tuple[str, str]], number: float) -> str:
    """One line: the name, its labels escaped, the number."""
    inside = ",".join(f'{label}="{escaped(value)}"' for label, value in labels)
    shown = str(int(number)) if float(number).is_integer() else repr(float(number)).replace("inf", "+Inf")
    return f"{name}{{{inside}}} {shown}" if inside else f"{name} {shown}"


def escaped(value: str) -> str:
    """A label value as the format wants it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def render(metrics: Iterable[Metric]) -> bytes:
    """The whole text; metrics without a sample are left out."""
    lines: list[str] = []
    for metric in metrics:
        found = list(metric.samples())
        if found:
            lines += [f"# HELP {metric.name} {metric.help_text}", f"# TYPE {metric.name} {metric.kind}", *found]
    return ("\n".join(lines) + "\n").encode()
