"""What timing a subject gave, and the figures a record keeps of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from converters import intervals
from converters.arrays import Array
from nearedge.release.sections import Histogram, Timing

BINS = 40
SHORTEST_MS = 1e-6
"""What a clock can tell; a latency of 0 has no place among ratios."""


@dataclass
class Measured:
    """What a child reported. Times in milliseconds; `cores` and `per_second` are of each repeat.

    `inner` are each repeat's median of what OpenVINO itself counts for an inference.
    """

    load_ms: float
    first_ms: float
    repeats: list[list[float]] = field(default_factory=list)
    peak_mib: float = 0.0
    compile_ms: float | None = None
    cores: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    inner: list[float] = field(default_factory=list)

    def add(self, found: Mapping[str, Any]) -> None:
        """Take the child's answer to one turn."""
        self.repeats.append(found["latencies"])
        self.per_second.append(found["per_second"])
        self.cores.append(found["cores"])
        self.inner += [float(np.median(found["inner"]))] if found["inner"] else []
        self.peak_mib = found["peak_mib"]

    def medians(self) -> list[float]:
        """The median of each repeat."""
        return [float(np.median(one)) for one in self.repeats]

    def p50_ms(self) -> float:
        """The median of the repeats' medians."""
        return float(np.median(self.medians()))

    def timing(
        self, name: Literal["source", "f32", "deployed"], detail: str, source: "Measured | None" = None
    ) -> Timing:
        """The section's entry; percentiles are of all latencies, throughput is of one request after the other."""
        every, medians = np.concatenate(self.repeats), self.medians()
        return Timing(
            name=name,
            detail=detail,
            p50_ms=self.p50_ms(),
            p90_ms=float(np.percentile(every, 90)),
            p99_ms=float(np.percentile(every, 99)),
            max_ms=float(every.max()),
            throughput_per_s=float(1000 / every.mean()),
            repeats=len(self.repeats),
            spread=(max(medians) - min(medians)) / self.p50_ms(),
            histogram=histogram(every),
            inference_ms=float(np.median(self.inner)) if self.inner else None,
            faster=None if source is None else intervals.faster(source.medians(), medians),
        )


def histogram(latencies: Array) -> Histogram:
    """Bins of equal ratio, since latencies have long tails: one stray request must not leave the rest in one bin."""
    low, high = max(float(latencies.min()), SHORTEST_MS), float(latencies.max())
    edges = np.geomspace(low, max(high, low * 1.001), BINS + 1)
    edges[0], edges[-1] = min(edges[0], float(latencies.min())), max(edges[-1], high)  # whatever rounding does
    counts, _ = np.histogram(latencies, edges)
    return Histogram(edges_ms=[float(edge) for edge in edges], counts=[int(count) for count in counts])
