"""How fast, small and lean the server is, beside others and beside OpenVINO itself: `python benchmarks/serving`.

Server and client (wrk) share this machine's cores. The servers that are compared run side by side, each taking its turn
in every round. MLServer and KServe get environments of their own under --cache, which takes two minutes the first time.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import batching
import footprint
import models
import protocols
import report
import sizes
import speed

PARTS = ("speed", "batching", "protocols", "footprint", "growth", "sizes")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python benchmarks/serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearedge-benchmarks"
    made.add_argument("--cache", type=Path, default=default, help="folder for environments and models (%(default)s)")
    made.add_argument("--rounds", type=int, default=3, help="runs of each case; medians are taken (%(default)s)")
    made.add_argument("--seconds", type=float, default=5, help="length of one run (%(default)s)")
    made.add_argument("--requests", type=int, default=200_000, help="requests for the growth of memory (%(default)s)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write what was measured there, too")
    made.add_argument("--results", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    made.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure (all): {', '.join(PARTS)}")
    return made


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Every part that was asked for."""
    from converters import machine

    cache: Path = options.cache.resolve()
    folder = cache / "work"
    folder.mkdir(parents=True, exist_ok=True)
    models.write(folder)
    wanted = options.parts or PARTS
    found: dict[str, Any] = {
        "machine": machine.cpu_name(Path("/proc/cpuinfo").read_text()),
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "seconds": options.seconds,
    }
    take = {
        "speed": lambda: speed.measure(folder, cache, options.rounds, options.seconds),
        "batching": lambda: batching.measure(folder, options.rounds, options.seconds),
        "protocols": lambda: protocols.measure(folder, options.rounds),
        "footprint": lambda: footprint.measure(cache, options.rounds),
        "growth": lambda: footprint.growth(folder, options.requests),
        "sizes": sizes.measure,
    }
    return found | {part: take[part]() for part in PARTS if part in wanted}


def put(text: str, path: Path) -> None:
    """Put the tables between their marks in the file of results, at its end where there are none yet."""
    before = path.read_text(encoding="utf-8")
    if report.BEGIN not in before:
        before += f"\n## The server\n\n`python benchmarks/serving --results`\n\n{report.BEGIN}\n{report.END}\n"
    start, rest = before.split(report.BEGIN, 1)
    _, end = rest.split(report.END, 1)
    path.write_text(f"{start}{report.BEGIN}\n{text}{report.END}{end}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write where that is asked for."""
    options = parser().parse_args()
    if unknown := set(options.parts) - set(PARTS):
        raise SystemExit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    found = measured(options)
    text = report.markdown(found)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.results:
        put(text, Path(__file__).resolve().parents[1] / "RESULTS.md")


main()
