"""What the report says about the deployment: requests and limits, the sites, the release before, the machine."""

from collections.abc import Sequence

from converters.page import Block, Table
from converters.quantities import counted, megabytes, milliseconds
from converters.report_findings import Findings
from converters.report_rows import configuration, interval
from nearedge.release.sections import BenchmarkSection, Regression


def blocks(found: Findings) -> list[Block]:
    """Resources and environment; sites and the release before where there are any."""
    parts: list[Block] = [resources(found)]
    if found.benchmark.sites:
        parts.append(sites_table(found.benchmark))
    if found.benchmark.against is not None:
        parts.append(against_table(found.benchmark.against))
    return [*parts, environment(found)]


def resources(found: Findings) -> Table:
    """Requests, limits, load and the fit."""
    section = found.benchmark
    rows = [("Memory request and limit", f"{section.memory_request_mib} MiB, {section.memory_limit_mib} MiB")]
    if section.cpu_request_m is not None and section.cpu_limit_m is not None:
        rows.append(("CPU request and limit", f"{section.cpu_request_m}m, {section.cpu_limit_m}m"))
    if section.server_rss_mib is not None:
        rows.append(("Predicted peak of the server with the model", f"{section.server_rss_mib} MiB"))
    rows.append(("Peak of a process with the model alone", f"{section.peak_rss_mib} MiB"))
    rows.append(("Time to load", milliseconds(section.load_ms)))
    if section.compile_ms is not None:
        rows.append(("Of which compiling", milliseconds(section.compile_ms)))
    rows.append(("First inference", milliseconds(section.first_inference_ms)))
    rows.append(("Golden samples in the image", str(found.golden.count) if found.golden else "none"))
    note = f"{section.fits_because[0].upper()}{section.fits_because[1:]}."
    return facts(f"On {found.profile.name}", note, rows)


def sites_table(section: BenchmarkSection) -> Table:
    """The fit at each site beside what runs there."""
    return Table(
        title="Sites",
        note=f"Beside what git says each site runs already, on a node of profile {section.profile}. Others count by "
        "their memory requests, this model by its limit.",
        heads=["Site", "Verdict", "Why", "Others", "Others' requests", "Free"],
        rows=[
            [
                one.site,
                "fits" if one.fits else "does not fit",
                one.because,
                ", ".join(one.others) or "none",
                f"{one.used_mib} MiB",
                f"{one.free_mib} MiB",
            ]
            for one in section.sites
        ],
        text_columns=4,
    )


def against_table(section: Regression) -> Table:
    """The release beside the one before it."""
    how = "both timed in turns in this run" if section.retimed else "the earlier figures are its record's; not gated"
    return facts(
        "Against an earlier release",
        f"{section.release}: {how}.",
        [
            ("Speed, this one over the earlier", interval(section.faster)),
            ("May be slower by", f"{section.allowed:.0%}"),
            ("Peak memory, difference", f"{section.memory_mib:+.0f} MiB"),
        ],
    )


def environment(found: Findings) -> Table:
    """What was measured where."""
    machine, runtime = found.benchmark.machine, found.benchmark.runtime or found.optimization.runtime
    rows = [
        ("Processor", f"{machine.cpu} ({machine.instruction_set})"),
        ("Cores and memory", f"{machine.cores}, {machine.memory_mib} MiB"),
        ("Held to the profile by", machine.limited_by),
    ]
    if machine.measured_cpu is not None:
        rows.append(("Most CPU that was had", f"{machine.measured_cpu:.2g} of {counted(machine.cores, 'core')}"))
    rows += [
        ("Runtime configuration", configuration(runtime)),
        ("OpenVINO", found.conversion.openvino),
        ("Source", f"{found.source.format}, {megabytes(found.source.size_bytes)}"),
        ("Source sha256", found.source.sha256),
        ("Deployed weights sha256", found.optimization.bin_sha256),
    ]
    return facts("Environment", "Times depend on the machine; compare them within this page only.", rows)


def facts(title: str, note: str, rows: Sequence[tuple[str, str]]) -> Table:
    """A table of names and values."""
    return Table(title=title, note=note, heads=["What", "Value"], rows=[list(row) for row in rows], text_columns=2)
