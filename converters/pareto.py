"""Which precision candidates no other one beats in accuracy, latency, memory and bytes at once.

Latency is the median. The 99th percentile is shown, but candidates are timed for a fraction of a second each, so that
it is of what else ran on the machine then: on that axis whoever was lucky would be on the front.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nearedge.release.sections import DOES_NOT_HOLD, Candidate


@dataclass(frozen=True)
class Place:
    """Where a candidate lies: what it loses against the source (0: nothing), its median in ms, its size in bytes.

    `peak_mib` is the peak memory of a process that runs it alone; 0 in records that do not tell.
    """

    candidate: Candidate
    loss: float
    p50_ms: float
    size_bytes: int
    peak_mib: float = 0.0

    @property
    def costs(self) -> tuple[float, float, float, int]:
        """What is compared: less is better. What was measured, to the two digits that come out alike twice."""
        return self.loss, digits(self.p50_ms), digits(self.peak_mib), self.size_bytes

    def beats(self, other: "Place") -> bool:
        """Whether it is nowhere worse and somewhere better."""
        mine, theirs = self.costs, other.costs
        return mine != theirs and all(one <= another for one, another in zip(mine, theirs, strict=True))

    @property
    def holds(self) -> bool:
        """Whether no gate refused it."""
        return not self.candidate.outcome.startswith(DOES_NOT_HOLD)


def digits(value: float) -> float:
    """The value to two significant digits."""
    return float(f"{value:.2g}")


def measure(candidates: Sequence[Candidate]) -> str:
    """What loss means for them all: the metric's drop, else decisions that differ, else the relative difference."""
    made = [one for one in candidates if one.max_relative is not None]
    if all(one.drop is not None for one in made):
        return "drop"
    return "top1" if all(one.top1_agreement is not None for one in made) else "relative"


def loss_of(one: Candidate, kind: str) -> float | None:
    """A candidate's loss of that kind, None where it was not measured."""
    if kind == "drop":
        return one.drop
    if kind == "top1":
        return None if one.top1_agreement is None else 1 - one.top1_agreement
    return one.max_relative


def places(candidates: Sequence[Candidate]) -> list[Place]:
    """The candidates that were judged and timed, in their order."""
    kind = measure(candidates)
    return [
        Place(one, loss, one.p50_ms, one.size_bytes, one.peak_rss_mib or 0.0)
        for one in candidates
        if (loss := loss_of(one, kind)) is not None and one.p50_ms is not None and one.size_bytes is not None
    ]


def front(candidates: Sequence[Candidate]) -> set[str]:
    """The precisions that no other beats."""
    every = places(candidates)
    return {
        one.candidate.precision for one in every if not any(other.beats(one) for other in every if other is not one)
    }
