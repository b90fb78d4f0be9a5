"""Running a plan: `run` for programs that call the runner, `start` for the command line.

Events are told on the calling thread; `Interrupts` hands Ctrl-C to the run that goes on.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from nearedge.errors import InputError
from nearedge.runner import occupied, resume, store
from nearedge.runner.crew import PARALLEL
from nearedge.runner.events import OnEvent
from nearedge.runner.plan import Plan
from nearedge.runner.process import end_strays
from nearedge.runner.schedule import Engine
from nearedge.runner.verdict import RunResult


def run(plan: Plan, on_event: OnEvent, *, root: Path | None = None, parallel: int = PARALLEL) -> RunResult:
    """Run a plan in a folder of its own under `root`. Raises InputError where a run of this name is there already."""
    return start(plan, on_event, again=False, root=root, parallel=parallel)


def start(
    plan: Plan,
    on_event: OnEvent,
    *,
    again: bool,
    root: Path | None = None,
    parallel: int = PARALLEL,
    control: "Interrupts | None" = None,
    asked: Mapping[str, object] | None = None,
) -> RunResult:
    """The same; with `again` in the folder of the run of this name, whose finished Tasks are kept where they can be.

    `control` is told of the engine, so that it can be interrupted; `asked` is kept for `--resume`.
    """
    folder = store.folder(plan.name, root)
    with folder.locked(), occupied.held(occupied.written(plan.pipeline, plan.sources)):
        there = (folder.path / "run.json").is_file()
        if there and not again:
            raise InputError(f"run {plan.name}: is there already; give another --name, or --resume {plan.name}")
        past = resume.Past.read(folder) if there else None
        if there:
            end_strays(folder.path / "work")
            shutil.rmtree(folder.path / "work", ignore_errors=True)
        if asked is not None:
            folder.write_request(asked)
        engine = Engine(plan, folder, on_event, parallel)
        if control is not None:
            control.engine = engine
        return engine.run(past)


class Interrupts:
    """Stops whichever engine runs now. An instance is also a signal handler."""

    def __init__(self) -> None:
        """No engine yet."""
        self.engine: Engine | None = None
        self.count = 0

    def stop(self) -> None:
        """Stop the run: the first call stops its Tasks and lets `finally` run, the second stops everything at once."""
        self.count += 1
        if self.engine is None:
            raise KeyboardInterrupt
        self.engine.interrupt(kill=self.count > 1)

    def __call__(self, number: int, frame: object) -> None:  # noqa: ARG002  (a signal handler's arguments)
        """Ctrl-C or SIGTERM arrived."""
        self.stop()
