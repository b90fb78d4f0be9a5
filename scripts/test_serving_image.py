"""test-serving-image: repeat the golden samples against the image under test, which runs beside this program."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nearedge.delivery.acceptance import Outcome, accept
from nearedge.program import add_results, guarded, new_parser, write_results
from nearedge.progress import say
from nearedge.release import sections
from nearedge.release.sections import TestSection

NAME = "test-serving-image"
BACKEND_VARIABLE = "NEAREDGE_SIDECAR_BACKEND"
"""What ran the image under test, where that was not a kubelet: the local runner says podman, chroot or process."""


def parser() -> argparse.ArgumentParser:
    """The options of test-serving-image."""
    options = new_parser(NAME, "Hold the running serving image against the release in the workspace.")
    options.add_argument("--workspace", type=Path, required=True, help="the release's workspace")
    options.add_argument("--serving-image", required=True, help="reference of the image that runs beside us")
    options.add_argument("--port", type=port_number, required=True, help="port it listens on, on this machine")
    options.add_argument("--timeout-seconds", type=seconds, required=True, help="how long it may take to become ready")
    add_results(
        options,
        ready_ms="milliseconds from the start of the server's process until it was ready",
        samples="golden samples that were repeated",
    )
    return options


def port_number(text: str) -> int:
    """A TCP port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """A time of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return value


def run(workspace: Path, serving_image: str, port: int, timeout: float, backend: str) -> Outcome:
    """Test the image, write the section. Raises what `accept` raises; no section is left then."""
    sections.clear(workspace, TestSection)
    say(f"{serving_image}: run by {backend}, waiting until it is ready")
    outcome = accept(workspace, port, timeout)
    section = TestSection(
        image=serving_image,
        backend=backend,
        ready_ms=outcome.ready_ms,
        samples=outcome.samples,
        largest_difference=outcome.largest_difference,
        decisions_held=outcome.decisions_held,
    )
    sections.write(workspace, section)
    return outcome


def main(argv: Sequence[str] | None = None) -> int:
    """Read the options, test, write the results."""
    options = parser().parse_args(argv)

    def action() -> None:
        backend = os.environ.get(BACKEND_VARIABLE) or "kubelet"
        outcome = run(options.workspace, options.serving_image, options.port, options.timeout_seconds, backend)
        write_results(options, ready_ms=f"{outcome.ready_ms:.0f}", samples=str(outcome.samples))

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
