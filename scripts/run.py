"""`nearedge run`: run a Pipeline or Task of the catalog, or manifests of your own, on this machine."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nearedge.errors import UsageError
from nearedge.program import guarded, new_parser
from nearedge.runner import engine, request, store
from nearedge.runner.crew import PARALLEL
from nearedge.runner.display import Display
from nearedge.runner.events import Event
from nearedge.runner.plan import plans
from nearedge.runner.request import Request
from nearedge.runner.verdict import RunResult

NAME = "run"


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = new_parser(NAME, "Run a Pipeline or Task of the catalog, or manifests of your own, on this machine.")
    options.add_argument(
        "target", nargs="?", metavar="PIPELINE", help="a Pipeline or Task of the catalog or of the files"
    )
    options.add_argument(
        "-f", "--file", dest="files", type=Path, action="extend", nargs="+", default=[], metavar="FILE",
        help="manifests, as kubectl create -f takes them: Tasks, Pipelines, PipelineRuns, TaskRuns",
    )  # fmt: skip
    options.add_argument(
        "-p", "--param", dest="params", action="append", default=[], metavar="NAME=VALUE",
        help="a param; an array as JSON or a,b,c; an object as JSON or key:value,key:value",
    )  # fmt: skip
    options.add_argument(
        "-w", "--workspace", dest="workspaces", action="append", default=[], metavar="NAME=DIR",
        help="a workspace: a folder, or emptyDir for one of the run's own that goes when it ended well",
    )  # fmt: skip
    options.add_argument("--name", help="the run's name; made up where it is not given")
    options.add_argument("--on-host", action="store_true", help="run steps of foreign images on this machine itself")
    options.add_argument(
        "--resume", metavar="RUN", help="run RUN again, but for Tasks whose inputs and outputs did not change"
    )
    options.add_argument("--parallel", type=int, default=PARALLEL, metavar="N", help="Tasks at a time (%(default)s)")
    options.add_argument("--json", action="store_true", help="print the run's final document on stdout")
    options.add_argument("--quiet", action="store_true", help="show failures only")
    return options


def pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    """`NAME=VALUE` items as a map. Raises UsageError for one without `=`, or a name that comes twice."""
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} {item}: write it as NAME=VALUE")
        if name in found:
            raise UsageError(f"{flag} {name}: is given twice")
        found[name] = value
    return found


@contextmanager
def interrupts() -> Iterator[engine.Interrupts]:
    """Ctrl-C and SIGTERM go to the engine while the block runs."""
    handler = engine.Interrupts()
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handler
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def run(
    asked: Request, on_event: Callable[[Event], None], *, again: bool = False, parallel: int = PARALLEL
) -> list[RunResult]:
    """Run what is asked for, one run after the other, and stop after one that was interrupted.

    Raises InputError, UnsupportedError and UsageError before anything runs.
    """
    found = plans(asked)
    results = []
    with interrupts() as control:
        for plan in found:
            results.append(
                engine.start(
                    plan, on_event, again=again, parallel=parallel, control=control, asked=request.document(asked)
                )
            )
            if control.count:
                break
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options and run."""
    options = parser().parse_args(argv)

    def action() -> int:
        asked = Request(
            target=options.target,
            files=tuple(options.files),
            params=pairs(options.params, "-p"),
            workspaces=pairs(options.workspaces, "-w"),
            name=options.name,
            on_host=options.on_host,
        )
        if options.resume:
            asked = request.resumed(asked, options.resume)
        if options.parallel < 1:
            raise UsageError(f"--parallel {options.parallel}: must be at least 1")
        with ExitStack() as stack:
            display = stack.enter_context(Display(quiet=options.quiet))
            results = run(asked, display, again=bool(options.resume), parallel=options.parallel)
        if options.json:
            documents = [store.existing(result.name).read_run() for result in results]
            print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, ensure_ascii=False))
        return next((result.exit_status for result in results if result.exit_status), 0)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
