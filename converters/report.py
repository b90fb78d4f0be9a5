"""The report a person reads: a page of headline figures, tables and bars, a pure function of the record's sections."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters import report_candidates, report_html, report_markdown
from converters.page import Bar, Bars, Block, Headline, Page, Table
from converters.quantities import counted, megabytes, milliseconds, pace, share
from converters.report_rows import NAMES, NOT_MEASURED, parity_row, timing_row
from nearedge.release import sections
from nearedge.release.description import Description
from nearedge.release.profile import Profile
from nearedge.release.sections import (
    BenchmarkSection,
    ConversionSection,
    GoldenSection,
    OptimizationSection,
    SourceSection,
    VerificationDeployedSection,
    VerificationF32Section,
    VerificationSection,
)


@dataclass(frozen=True)
class Findings:
    """Everything the report is made of."""

    description: Description
    profile: Profile
    source: SourceSection
    conversion: ConversionSection
    f32: VerificationF32Section | None
    deployed: VerificationDeployedSection | None
    optimization: OptimizationSection
    golden: GoldenSection | None
    benchmark: BenchmarkSection


def gather(root: Path, description: Description, profile: Profile) -> Findings:
    """The sections in a workspace. Raises InputError where one that the report needs is missing."""
    return Findings(
        description=description,
        profile=profile,
        source=sections.read(root, SourceSection),
        conversion=sections.read(root, ConversionSection),
        f32=sections.read_optional(root, VerificationF32Section),
        deployed=sections.read_optional(root, VerificationDeployedSection),
        optimization=sections.read(root, OptimizationSection),
        golden=sections.read_optional(root, GoldenSection),
        benchmark=sections.read(root, BenchmarkSection),
    )


def markdown(found: Findings) -> str:
    """The report as Markdown."""
    return report_markdown.render(page(found))


def html(found: Findings) -> str:
    """The report as one HTML file that loads nothing."""
    return report_html.render(page(found))


def page(found: Findings) -> Page:
    """What the report says, in the order a person asks."""
    blocks: list[Block] = []
    for title, section in (("As deployed", found.deployed), ("The conversion alone, in f32", found.f32)):
        if section is not None:
            blocks.append(parity_table(title, section))
    blocks += report_candidates.blocks(found.optimization, found.profile, found.description.metric)
    blocks += [latency(found.benchmark), timings_table(found.benchmark)]
    blocks += [resources(found), environment(found)]
    return Page(
        title=f"{found.source.name}, version {found.source.version}",
        lead=found.description.description,
        headlines=headlines(found),
        blocks=blocks,
    )


def headlines(found: Findings) -> list[Headline]:
    """The figures that matter most."""
    lines = [accuracy(found.deployed)]
    if found.deployed is not None:
        worst = max(one.max_relative for one in found.deployed.outputs)
        kind = "synthetic samples" if found.deployed.synthetic else "samples"
        lines.append(
            Headline(
                "Largest difference", f"{worst:.2g}", f"of the output's magnitude, on {found.deployed.samples} {kind}"
            )
        )
    times = {one.name: one for one in found.benchmark.timings}
    lines += [
        Headline(
            "Latency, batch 1",
            milliseconds(times["deployed"].p50_ms),
            f"median; {milliseconds(times['source'].p50_ms)} in {times['source'].detail}, "
            f"{pace(found.benchmark.speedup_deployed)}",
        ),
        Headline(
            "Precision",
            found.optimization.precision,
            f"{megabytes(found.optimization.size_bytes)}; the f32 IR has {megabytes(found.conversion.size_bytes)}",
        ),
        Headline(
            "Memory",
            f"{found.benchmark.memory_limit_mib} MiB",
            f"limit; {'fits' if found.benchmark.fits else 'does not fit'} {found.profile.name}",
            good=found.benchmark.fits,
        ),
    ]
    return lines


def accuracy(deployed: VerificationSection | None) -> Headline:
    """The metric before and after, or that none was given."""
    if deployed is None or deployed.metric is None:
        return Headline("Accuracy", NOT_MEASURED, "no labels were given, so only parity was proven")
    metric = deployed.metric
    return Headline(
        metric.name.capitalize() if metric.name == "accuracy" else metric.name.upper(),
        f"{metric.source:.4f} → {metric.converted:.4f}",
        f"source to deployed on {metric.rows} rows; drop {share(metric.drop)}, allowed {metric.allowed_drop:g}",
        good=metric.drop <= metric.allowed_drop,
    )


def parity_table(title: str, section: VerificationSection) -> Table:
    """How each output differs from the source's."""
    limits = section.thresholds
    classes = any(one.top1_agreement is not None for one in section.outputs)
    top1 = f", top-1 agreement from {limits.min_top1_agreement:g}" if classes else ""
    if limits.min_top5_agreement is not None and any(one.top5_agreement is not None for one in section.outputs):
        top1 += f", top-5 agreement from {limits.min_top5_agreement:g}"
    return Table(
        title=f"Parity: {title[0].lower()}{title[1:]}",
        note=f"{section.samples} {'synthetic ' if section.synthetic else ''}samples, {section.precision}, on "
        f"{section.instruction_set}. Held to: relative difference up to {limits.max_relative:g}, cosine from "
        f"{limits.min_cosine:g}{top1}.",
        heads=["Output", "Largest", "Mean", "Relative", "Cosine", "Top-1 agreement", "Top-5 agreement"],
        rows=[parity_row(one) for one in section.outputs],
        text_columns=1,
    )


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


def timings_table(section: BenchmarkSection) -> Table:
    """All figures of the three."""
    return Table(
        title="Timings",
        note="Spread is the range of the repeats' medians over their median. In this run the f32 IR is "
        f"{pace(section.speedup_f32)} and the deployed IR {pace(section.speedup_deployed)} as the source, which is "
        "given samples that are preprocessed already.",
        heads=["What", "How", "Median", "p90", "p99", "Worst", "A second", "Repeats", "Spread"],
        rows=[timing_row(one) for one in section.timings],
        text_columns=2,
        marked=[number for number, one in enumerate(section.timings) if one.name == "deployed"],
    )


def resources(found: Findings) -> Table:
    """Memory, load and the fit."""
    section = found.benchmark
    return facts(
        f"On {found.profile.name}",
        f"{section.fits_because[0].upper()}{section.fits_because[1:]}.",
        [
            ("Memory request and limit", f"{section.memory_request_mib} MiB, {section.memory_limit_mib} MiB"),
            ("Peak of a process with the model alone", f"{section.peak_rss_mib} MiB"),
            ("Time to load", milliseconds(section.load_ms)),
            ("First inference", milliseconds(section.first_inference_ms)),
            ("Golden samples in the image", str(found.golden.count) if found.golden else "none"),
        ],
    )


def environment(found: Findings) -> Table:
    """What was measured where."""
    machine, runtime = found.benchmark.machine, found.optimization.runtime
    how = (
        f"{runtime.inference_precision}, {runtime.performance_hint}, {counted(runtime.streams, 'stream')}, "
        f"{counted(runtime.threads, 'thread')}"
    )
    return facts(
        "Environment",
        "Times depend on the machine; compare them within this page only.",
        [
            ("Processor", f"{machine.cpu} ({machine.instruction_set})"),
            ("Cores and memory", f"{machine.cores}, {machine.memory_mib} MiB"),
            ("Held to the profile by", machine.limited_by),
            ("Runtime configuration", how),
            ("OpenVINO", found.conversion.openvino),
            ("Source", f"{found.source.format}, {megabytes(found.source.size_bytes)}"),
            ("Source sha256", found.source.sha256),
            ("Deployed weights sha256", found.optimization.bin_sha256),
        ],
    )


def facts(title: str, note: str, rows: Sequence[tuple[str, str]]) -> Table:
    """A table of names and values."""
    return Table(title=title, note=note, heads=["What", "Value"], rows=[list(row) for row in rows], text_columns=2)
