"""Rows of the report's tables: what a section holds, as a person reads it."""

from collections.abc import Collection

from converters.quantities import megabytes, milliseconds, share
from nearedge.release.sections import Candidate, OutputParity, Timing

NOT_MEASURED = "—"
NAMES = {"source": "Source", "f32": "f32 IR", "deployed": "Deployed IR"}


def parity_row(one: OutputParity) -> list[str]:
    """One output's figures."""
    agreements = [either(value, "{:.2%}") for value in (one.top1_agreement, one.top5_agreement)]
    figures = [f"{value:.3g}" for value in (one.max_abs, one.mean_abs, one.max_relative)]
    return [one.name, *figures, f"{one.cosine:.6f}", *agreements]


def candidate_row(one: Candidate, front: Collection[str]) -> list[str]:
    """One candidate's figures; `front` names those that no other beats."""
    return [
        one.precision,
        one.outcome,
        either(one.metric, "{:.4f}"),
        NOT_MEASURED if one.drop is None else share(one.drop),
        either(one.max_relative, "{:.2g}"),
        either(one.top1_agreement, "{:.2%}"),
        NOT_MEASURED if one.p50_ms is None else milliseconds(one.p50_ms),
        NOT_MEASURED if one.size_bytes is None else megabytes(one.size_bytes),
        NOT_MEASURED if one.p50_ms is None else "yes" if one.precision in front else "no",
    ]


def timing_row(one: Timing) -> list[str]:
    """One thing's figures."""
    times = [milliseconds(value) for value in (one.p50_ms, one.p90_ms, one.p99_ms, one.max_ms)]
    return [NAMES[one.name], one.detail, *times, f"{one.throughput_per_s:,.0f}", str(one.repeats), f"{one.spread:.0%}"]


def either(value: float | None, form: str) -> str:
    """The number as `form` says, or that it was not measured."""
    return NOT_MEASURED if value is None else form.format(value)
