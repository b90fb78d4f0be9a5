"""benchmark-model: measure the deployed model within the target's resources, and write the report a person reads."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from converters import benchmark, report, telemetry, workspace
from converters.quantities import milliseconds
from nearedge.files import new_directory, write_text
from nearedge.program import add_results, guarded, new_parser, write_results
from nearedge.progress import say
from nearedge.release import sections
from nearedge.release.sections import BenchmarkSection

NAME = "benchmark-model"
DEFAULT_SECONDS = 3.0
LONGEST_SECONDS = 3600.0
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


def parser() -> argparse.ArgumentParser:
    """The options of benchmark-model."""
    options = new_parser(NAME, "Measure the deployed model within the target's resources; write the report.")
    options.add_argument("--workspace", type=Path, required=True, help="the release's workspace")
    options.add_argument(
        "--seconds", type=seconds, default=DEFAULT_SECONDS, help="time that is spent on timing, after loading"
    )
    add_results(
        options,
        p50_ms="median latency of the deployed model in milliseconds",
        speedup="the source's median latency over the deployed model's",
    )
    return options


def run(root: Path, budget: float) -> BenchmarkSection:
    """Measure, write the section and `report/`. Raises InputError where an earlier Task has not run."""
    sections.clear(root, BenchmarkSection)
    shutil.rmtree(root / REPORT, ignore_errors=True)
    telemetry.off()
    work = workspace.read(root)
    section = benchmark.measure(work, budget)
    sections.write(root, section)
    for one in section.timings:
        times = f"median {milliseconds(one.p50_ms)}, p99 {milliseconds(one.p99_ms)}"
        say(f"{one.detail}: {times}, {one.throughput_per_s:,.0f} a second")
    say(f"deployed: {section.speedup_deployed:.1f} times as fast as the source; {section.fits_because}")
    found = report.gather(root, work.description, work.profile)
    with new_directory(root / REPORT) as folder:
        write_text(folder / "report.md", report.markdown(found))
        write_text(folder / "report.html", report.html(found))
    return section


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options, measure, write the results."""
    options = parser().parse_args(argv)

    def action() -> None:
        section = run(options.workspace, options.seconds)
        p50_ms = next(one.p50_ms for one in section.timings if one.name == "deployed")
        write_results(options, p50_ms=f"{p50_ms:.6g}", speedup=f"{section.speedup_deployed:.4g}")

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
