"""What the report says about the precision candidates: a table and, of those that were timed, a plot."""

from converters import pareto
from converters.page import Block, Point, Scatter, Table
from converters.quantities import megabytes, milliseconds, share
from converters.report_rows import candidate_row
from nearedge.release.metric import Metric
from nearedge.release.profile import Profile
from nearedge.release.sections import OptimizationSection


def blocks(section: OptimizationSection, profile: Profile, metric: Metric | None) -> list[Block]:
    """The table, and the plot where there are two points to compare."""
    found: list[Block] = [candidates_table(section, profile)]
    if len(pareto.places(section.candidates)) > 1:
        found.append(trade(section, metric))
    return found


def candidates_table(section: OptimizationSection, profile: Profile) -> Table:
    """What was considered, and why what was chosen was."""
    made_up = " INT8 is calibrated with made-up samples." if section.synthetic_calibration else ""
    kept = " The previous release's choice was kept." if section.reused else ""
    return Table(
        title="Precision candidates",
        note=f"Asked for: {section.requested}. Chosen: {section.precision}.{kept} Differences are from the f32 IR. "
        f"Timed with no more than the instruction set of {profile.name}, {profile.instruction_set}. "
        f"Pareto: no other candidate is as good in accuracy, median, memory and size at once.{made_up}",
        heads=[
            "Precision",
            "Outcome",
            "Metric",
            "Drop",
            "Relative",
            "Top-1",
            "Median",
            "p99",
            "Memory",
            "Size",
            "Pareto",
        ],
        rows=[candidate_row(one, pareto.front(section.candidates)) for one in section.candidates],
        text_columns=2,
        marked=[number for number, one in enumerate(section.candidates) if one.precision == section.precision],
    )


LOSSES = {
    "drop": "Drop of {metric}: less is higher up",
    "top1": "Decisions that differ: fewer are higher up",
    "relative": "Relative difference: less is higher up",
}


def trade(section: OptimizationSection, metric: Metric | None) -> Scatter:
    """What each candidate gives for what it loses."""
    kind = pareto.measure(section.candidates)
    points = []
    for one in pareto.places(section.candidates):
        loss = share(one.loss) if kind == "drop" else f"{one.loss:.2%}" if kind == "top1" else f"{one.loss:.2g}"
        label = f"{loss}, {milliseconds(one.p50_ms)}, {megabytes(one.size_bytes)}"
        chosen = one.candidate.precision == section.precision
        points.append(Point(one.candidate.precision, label, one.p50_ms, one.loss, one.holds, chosen))
    return Scatter(
        title="Accuracy against latency",
        note="The best place is the upper left. Beside each name: what it loses, median latency, size. A ring is a "
        "candidate that a gate refused.",
        x_label="Median latency, from 0",
        y_label=LOSSES[kind].format(metric=metric.name if metric else "the metric"),
        points=points,
        limit=metric.allowed_drop if metric and kind == "drop" else None,
        limit_label=f"allowed drop {metric.allowed_drop:g}" if metric else "",
    )
