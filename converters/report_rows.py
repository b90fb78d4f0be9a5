"""Rows of the report's tables: what a section holds, as a person reads it."""

from collections.abc import Collection

from converters.quantities import counted, megabytes, milliseconds, share
from nearedge.release.sections import Candidate, OutputParity, Ratio, RuntimeConfiguration, Timing, Trial

NOT_MEASURED = "—"
NAMES = {"source": "Source", "onnxruntime": "ONNX Runtime", "f32": "f32 IR", "deployed": "Deployed IR"}


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
        NOT_MEASURED if one.p99_ms is None else milliseconds(one.p99_ms),
        either(one.peak_rss_mib, "{:.0f} MiB"),
        NOT_MEASURED if one.size_bytes is None else megabytes(one.size_bytes),
        NOT_MEASURED if one.p50_ms is None else "yes" if one.precision in front else "no",
    ]


def timing_row(one: Timing) -> list[str]:
    """One thing's figures."""
    times = [milliseconds(value) for value in (one.p50_ms, one.p90_ms, one.p99_ms, one.max_ms)]
    faster = NOT_MEASURED if one.faster is None else interval(one.faster)
    rest = [f"{one.throughput_per_s:,.0f}", faster, str(one.repeats), f"{one.spread:.0%}"]
    return [NAMES[one.name], one.detail, *times, *rest]


def trial_row(one: Trial) -> list[str]:
    """One runtime configuration's figures."""
    p99 = milliseconds(one.p99_ms)
    if one.p99_low_ms is not None and one.p99_high_ms is not None:
        p99 += f" ({milliseconds(one.p99_low_ms)} to {milliseconds(one.p99_high_ms)})"
    rest = [str(one.clients), milliseconds(one.p50_ms), p99, f"{one.throughput_per_s:,.0f}"]
    return [configuration(one.runtime), one.outcome, *rest]


def configuration(runtime: RuntimeConfiguration) -> str:
    """How the model is run, in one line."""
    parts = [runtime.inference_precision, runtime.performance_hint, counted(runtime.streams, "stream")]
    parts.append(counted(runtime.threads, "thread"))
    if runtime.max_batch > 1:
        parts.append(f"batches of up to {runtime.max_batch} within {runtime.max_wait_ms:g} ms")
    return ", ".join(parts)


def interval(ratio: Ratio) -> str:
    """A ratio with its confidence interval."""
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def either(value: float | None, form: str) -> str:
    """The number as `form` says, or that it was not measured."""
    return NOT_MEASURED if value is None else form.format(value)
