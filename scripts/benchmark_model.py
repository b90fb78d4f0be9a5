"""benchmark-model: measure the deployed model within the target's resources, and write the report a person reads."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from converters import benchmark, choice, regression, report, site_fit, telemetry, workspace
from converters.benchmark import Asked
from converters.quantities import milliseconds, pace
from nearedge.program import add_results, boolean, guarded, new_parser, write_results
from nearedge.progress import say
from nearedge.release import profile, sections, usage
from nearedge.release.sections import BenchmarkSection

NAME = "benchmark-model"
DEFAULT_SECONDS = 3.0
LONGEST_SECONDS = 3600.0
DEFAULT_SLOWDOWN = 0.1
MOST_SLOWDOWN = 100.0
REPORT = "report"


def seconds(text: str) -> float:
    """A time budget. Raises ArgumentTypeError for what is none."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds over 0 and up to {LONGEST_SECONDS:g}")
    return value


def slowdown(text: str) -> float:
    """A share over the other's time. Raises ArgumentTypeError for what is none."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= MOST_SLOWDOWN:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to {MOST_SLOWDOWN:g}, such as 0.1")
    return value


def parser() -> argparse.ArgumentParser:
    """The options of benchmark-model."""
    options = new_parser(NAME, "Measure the deployed model within the target's resources; write the report.")
    options.add_argument("--workspace", type=Path, required=True, help="the release's workspace")
    options.add_argument(
        "--seconds", type=seconds, default=DEFAULT_SECONDS, help="time that is spent on timing, after loading"
    )
    options.add_argument(
        "--remeasure",
        type=boolean,
        default=False,
        help="true: choose the runtime configuration anew where the previous release holds it",
    )
    options.add_argument(
        "--against",
        default="",
        metavar="RELEASE",
        help="folder in the workspace with an earlier release's model.xml, model.bin and release.json, which is timed "
        "in turns with this one; or 'previous' for what git says is deployed: its model where fetch-model brought it, "
        "else the figures of its record",
    )
    options.add_argument(
        "--allowed-slowdown",
        type=slowdown,
        default=DEFAULT_SLOWDOWN,
        metavar="SHARE",
        help=f"by how much it may be slower than RELEASE (default {DEFAULT_SLOWDOWN:g})",
    )
    options.add_argument("sites", nargs="*", metavar="SITE[=PROFILE]", help="sites to say the fit at, after --")
    add_results(
        options,
        p50_ms="median latency of the deployed model in milliseconds",
        speedup="how many times as fast as the source the deployed model is",
    )
    return options


def run(root: Path, asked: Asked, sites: Sequence[str] = ()) -> BenchmarkSection:
    """Measure, write the section with the fit at each of `sites` and `report/`, then hold the gates.

    Raises InputError where an earlier Task has not run, GateError where the model takes more memory than the profile
    has, surely misses the latency that was asked for, or is surely slower than an earlier release may be.
    """
    sections.clear(root, BenchmarkSection)
    shutil.rmtree(root / REPORT, ignore_errors=True)
    telemetry.off()
    work = workspace.read(root)
    running, nodes = usage.read(root), profile.by_site(sites, root / workspace.SOURCE)
    section = site_fit.added(benchmark.measure(work, asked), nodes, running, work)
    sections.write(root, section)
    for one in section.timings:
        times = f"median {milliseconds(one.p50_ms)}, p99 {milliseconds(one.p99_ms)}"
        say(f"{one.detail}: {times}, {one.throughput_per_s:,.0f} a second")
    say(f"deployed: {pace(section.speedup_deployed)} as the source; {section.fits_because}")
    for fit in section.sites:
        say(f"{fit.site}: {'fits' if fit.fits else 'does not fit'}: {fit.because}")
    if section.against is not None:
        say(regression.said(section.against))
    found = report.gather(root, work.description, work.profile)
    report.write(root / REPORT, found)
    choice.gate(work.description.target, section)
    if section.against is not None:
        regression.gate(section.against)
    return section


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options, measure, write the results."""
    options = parser().parse_args(argv)

    def action() -> None:
        asked = Asked(options.seconds, options.remeasure, options.against, options.allowed_slowdown)
        section = run(options.workspace, asked, options.sites)
        p50_ms = next(one.p50_ms for one in section.timings if one.name == "deployed")
        write_results(options, p50_ms=f"{p50_ms:.6g}", speedup=f"{section.speedup_deployed:.4g}")

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
