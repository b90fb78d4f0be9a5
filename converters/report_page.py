"""What the report says, and in which order: a pure function of the record's sections."""

from collections.abc import Sequence
from dataclasses import replace

from converters import report_candidates, report_fit, report_latency
from converters.page import Block, Headline, Page
from converters.quantities import megabytes, milliseconds, pace
from converters.report_findings import Findings
from converters.report_parity import accuracy, parity_table, titled_sections


def page(found: Findings) -> Page:
    """What the report says, in the order a person asks."""
    blocks: list[Block] = [
        parity_table(title, section) for title, section in titled_sections(found.deployed, found.f32)
    ]
    blocks += report_candidates.blocks(found.optimization, found.profile, found.description.metric)
    blocks += [*report_latency.blocks(found.benchmark), *report_fit.blocks(found)]
    return titled(found, blocks)


def titled(found: Findings, blocks: Sequence[Block]) -> Page:
    """A page of these blocks under the release's title and headlines."""
    return Page(
        title=f"{found.source.name}, version {found.source.version}",
        lead=found.description.description,
        headlines=headlines(found),
        blocks=blocks,
    )


def summary(found: Findings) -> Page:
    """What a reviewer of a pull request wants: the headlines, what could stop the release, the rest folded."""
    section = found.benchmark
    blocks: list[Block] = []
    if found.deployed is not None:
        blocks.append(parity_table("As deployed", found.deployed))
    if section.sites:
        blocks.append(report_fit.sites_table(section))
    if section.against is not None:
        blocks.append(report_fit.against_table(section.against))
    if not section.fits:
        blocks.append(report_fit.resources(found))
    rest = [
        report_latency.timings_table(section),
        report_candidates.candidates_table(found.optimization, found.profile),
        *([report_fit.resources(found)] if section.fits else []),
        report_fit.environment(found),
    ]
    return titled(found, [*blocks, *(replace(one, folded=True) for one in rest)])


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
