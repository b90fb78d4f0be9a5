"""The figures of two releases side by side, and which is better where a larger or a smaller one is known to be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from nearedge.delivery.gitops.figures import figures
from nearedge.release.metric import HIGHER_IS_BETTER
from nearedge.release.record import Record
from nearedge.release.sections import MetricResult

Better = Literal["a", "b", "same"]


@dataclass(frozen=True)
class Number:
    """A figure as a number in `unit`; `larger` is better, or smaller (False), or neither is known to be (None)."""

    value: float
    unit: str
    larger: bool | None


@dataclass(frozen=True)
class Row:
    """One figure of both: as a person reads it, as a number, and which is better. None: not measured, not known."""

    name: str
    a: str | None
    b: str | None
    a_number: Number | None
    b_number: Number | None
    better: Better | None


def compared(a: Record, b: Record) -> list[Row]:
    """The figures of both, those of `a` first, in the order of `figures.figures`."""
    texts = figures(a), figures(b)
    numbers_of = numbers(a), numbers(b)
    found = []
    for name in dict.fromkeys([*texts[0], *texts[1]]):
        first, second = (some.get(name) for some in numbers_of)
        found.append(Row(name, texts[0].get(name), texts[1].get(name), first, second, better(first, second)))
    return found


def better(a: Number | None, b: Number | None) -> Better | None:
    """Which of two numbers is better."""
    if a is None or b is None or a.unit != b.unit:
        return None
    if a.value == b.value:
        return "same"
    if a.larger is None or a.larger != b.larger:
        return None
    return "a" if (a.value > b.value) == a.larger else "b"


def numbers(record: Record) -> dict[str, Number]:
    """The figures of a record as numbers, by the names that `figures.figures` gives them."""
    found: dict[str, Number] = {}
    for part in PARTS:
        found |= part(record)
    return {name: number for name, number in found.items() if name in figures(record)}


def quality(record: Record) -> dict[str, Number]:
    """The task's metric, and how near the answers are to the source's."""
    verified = record.evidence.verification_deployed
    if verified is None:
        return {}
    found = {}
    if verified.metric is not None:
        found[verified.metric.name] = Number(verified.metric.converted, "", rises(verified.metric))
    worst = Number(max(output.max_relative for output in verified.outputs), "", False)
    return found | dict.fromkeys(("parity with the source", "parity with the source on synthetic samples"), worst)


def rises(metric: MetricResult) -> bool | None:
    """Whether a larger value is better; of a user's own metric, as the sign of its drop tells."""
    if metric.name in HIGHER_IS_BETTER:
        return HIGHER_IS_BETTER[metric.name]
    lost = metric.source - metric.converted
    return None if not lost or not metric.drop else (lost > 0) == (metric.drop > 0)


def speed(record: Record) -> dict[str, Number]:
    """Latency and memory of what runs."""
    measured = record.evidence.benchmark
    if measured is None:
        return {}
    found = {"memory limit": Number(measured.memory_limit_mib, "MiB", False)}
    for timing in measured.timings:
        if timing.name == "deployed":
            found |= {
                "deployed p50": Number(timing.p50_ms, "ms", False), "deployed p99": Number(timing.p99_ms, "ms", False),
            }  # fmt: skip
    return found


def image(record: Record) -> dict[str, Number]:
    """The image's size, and what a site with the release before pulls; that depends on which that was."""
    made = record.evidence.image
    if made is None:
        return {}
    found = {"image": Number(made.size_bytes, "bytes", False)}
    if made.upgrade_bytes is not None:
        found["a site pulls"] = Number(made.upgrade_bytes, "bytes", None)
    return found


def test(record: Record) -> dict[str, Number]:
    """The share of golden samples that held."""
    seen = record.evidence.test
    return {} if seen is None or not seen.samples else {
        "golden samples held": Number(seen.decisions_held / seen.samples, "", True)
    }  # fmt: skip


PARTS: tuple[Callable[[Record], Mapping[str, Number]], ...] = (quality, speed, image, test)
