"""What the report says about correctness: the metric, and how each output differs from the source's."""

from converters import confidence, thresholds
from converters.page import Headline, Table
from converters.quantities import share
from converters.report_rows import NOT_MEASURED, parity_row
from nearedge.release.sections import VerificationSection


def titled_sections(
    deployed: VerificationSection | None, f32: VerificationSection | None
) -> list[tuple[str, VerificationSection]]:
    """The sections that there are, with what to call them."""
    there = (("As deployed", deployed), ("The conversion alone, in f32", f32))
    return [(title, section) for title, section in there if section is not None]


OWN = "the user's own function, not nearedge's: "


def accuracy(deployed: VerificationSection | None) -> Headline:
    """The metric before and after, or that none was given."""
    if deployed is None or deployed.metric is None:
        return Headline("Accuracy", NOT_MEASURED, "no labels were given, so only parity was proven")
    metric = deployed.metric
    sure = confidence.words(metric)
    ours = metric.name.capitalize() if metric.name == "accuracy" else metric.name.upper()
    return Headline(
        metric.name if metric.own else ours,
        f"{metric.source:.4f} → {metric.converted:.4f}",
        f"{OWN if metric.own else ''}source to deployed on {metric.rows} rows; "
        f"drop {share(metric.drop)}, allowed {metric.allowed_drop:g}"
        f"{'; ' if sure else ''}{sure}",
        good=metric.drop <= metric.allowed_drop,
    )


def parity_table(title: str, section: VerificationSection) -> Table:
    """How each output differs from the source's."""
    limits = section.thresholds
    classes = any(one.top1_agreement is not None for one in section.outputs)
    top1 = f", top-1 agreement from {limits.min_top1_agreement:g}" if classes else ""
    if limits.min_top5_agreement is not None and any(one.top5_agreement is not None for one in section.outputs):
        top1 += f", top-5 agreement from {limits.min_top5_agreement:g}"
    weaker = thresholds.weaker(limits, section.precision)
    lowered = f" Weaker than nearedge's own by model.yaml: {weaker}." if weaker else ""
    return Table(
        title=f"Parity: {title[0].lower()}{title[1:]}",
        note=f"{section.samples} {'synthetic ' if section.synthetic else ''}samples, {section.precision}, on "
        f"{section.instruction_set}. Held to: relative difference up to {limits.max_relative:g}, cosine from "
        f"{limits.min_cosine:g}{top1}.{lowered}",
        heads=["Output", "Largest", "Mean", "Relative", "Cosine", "Top-1 agreement", "Top-5 agreement"],
        rows=[parity_row(one) for one in section.outputs],
        text_columns=1,
    )
