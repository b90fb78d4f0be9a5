"""What the report says about speed: medians as bars, how the latencies are spread, all figures, what was tried."""

from converters.page import Bar, Bars, Block, Histogram, Spread, Table
from converters.quantities import counted, milliseconds, pace
from converters.report_rows import NAMES, timing_row, trial_row
from nearedge.release.sections import BenchmarkSection


def blocks(section: BenchmarkSection) -> list[Block]:
    """Bars and the table of timings; the histogram and the trials where the record has them."""
    found: list[Block] = [latency(section)]
    spread = histogram(section)
    if spread is not None:
        found.append(spread)
    found.append(timings_table(section))
    if section.trials:
        found.append(trials_table(section))
    return found


def latency(section: BenchmarkSection) -> Bars:
    """The three medians as bars."""
    return Bars(
        title="Latency at batch 1, median",
        note=f"Timed in turns within one run with {counted(section.threads, 'thread')}; shorter is better.",
        bars=[
            Bar(NAMES[one.name], one.detail, one.p50_ms, milliseconds(one.p50_ms), one.name == "deployed")
            for one in section.timings
        ],
    )


def histogram(section: BenchmarkSection) -> Histogram | None:
    """How the latencies of each are spread; None for a record without histograms."""
    series = [
        Spread(
            name=NAMES[one.name],
            label=f"median {milliseconds(one.p50_ms)}, p99 {milliseconds(one.p99_ms)}",
            edges=one.histogram.edges_ms,
            counts=one.histogram.counts,
            median=one.p50_ms,
            p99=one.p99_ms,
            marked=one.name == "deployed",
        )
        for one in section.timings
        if one.histogram is not None and any(one.histogram.counts)
    ]
    if not series:
        return None
    return Histogram(
        title="How the latencies are spread",
        note="Each row's highest bar is its most frequent latency. Lines: the median, and dashed the latency that one "
        "request in a hundred is over. The scale is logarithmic.",
        x_label="Latency of one request at batch 1",
        series=series,
    )


def timings_table(section: BenchmarkSection) -> Table:
    """All figures of what was timed."""
    other = f" ONNX Runtime: {section.onnxruntime}." if section.onnxruntime else ""
    return Table(
        title="Timings",
        note="Spread is the range of the repeats' medians over their median. In this run the f32 IR is "
        f"{pace(section.speedup_f32)} and the deployed IR {pace(section.speedup_deployed)} as the source. "
        "Faster: times the source's speed, with the 95 % interval."
        f"{other}",
        heads=["What", "How", "Median", "p90", "p99", "Worst", "A second", "Faster", "Repeats", "Spread"],
        rows=[timing_row(one) for one in section.timings],
        text_columns=2,
        marked=[number for number, one in enumerate(section.timings) if one.name == "deployed"],
    )


def trials_table(section: BenchmarkSection) -> Table:
    """The runtime configurations that were tried."""
    met = "" if section.goal_met else " No configuration met it."
    return Table(
        title="Runtime configurations",
        note=f"Goal: {section.goal}.{met} Each was measured with as many clients as it says, one request of each at a "
        "time, on the deployed IR.",
        heads=["Configuration", "Outcome", "Clients", "Median", "p99", "A second"],
        rows=[trial_row(one) for one in section.trials],
        text_columns=2,
        marked=[number for number, one in enumerate(section.trials) if one.outcome.startswith("chosen")],
    )
