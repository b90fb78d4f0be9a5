"""Which precision candidates no other one beats in accuracy, latency and bytes at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from nearedge.release.sections import DOES_NOT_HOLD, Candidate


@dataclass(frozen=True)
class Place:
    """Where a candidate lies: what it loses against the source (0: nothing), its median in ms, its size in bytes."""

    candidate: Candidate
    loss: float
    p50_ms: float
    size_bytes: int

    def beats(self, other: "Place") -> bool:
        """Whether it is nowhere worse and somewhere better."""
        mine = (self.loss, self.p50_ms, self.size_bytes)
        theirs = (other.loss, other.p50_ms, other.size_bytes)
        return mine != theirs and all(one <= another for one, another in zip(mine, theirs, strict=True))

    @property
    def holds(self) -> bool:
        """Whether no gate refused it."""
        return not self.candidate.outcome.startswith(DOES_NOT_HOLD)


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
        Place(one, loss, one.p50_ms, one.size_bytes)
        for one in candidates
        if (loss := loss_of(one, kind)) is not None and one.p50_ms is not None and one.size_bytes is not None
    ]


def front(candidates: Sequence[Candidate]) -> set[str]:
    """The precisions that no other beats."""
    every = places(candidates)
    return {
        one.candidate.precision for one in every if not any(other.beats(one) for other in every if other is not one)
    }
