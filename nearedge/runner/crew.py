"""The threads that run TaskRuns, and the queue on which they and Ctrl-C report to the thread that schedules."""

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from nearedge.runner import children, resume, verdict
from nearedge.runner.children import Child
from nearedge.runner.plan import Plan
from nearedge.runner.store import RunFolder

TICK_S = 0.5
# How many TaskRuns run at the same time, unless told otherwise; a cluster's nodes set this limit there.
PARALLEL = 8


@dataclass(frozen=True)
class Changed:
    """A TaskRun's status changed; `ended` says that it is over."""

    child: Child
    ended: bool


@dataclass(frozen=True)
class Interrupt:
    """Somebody wants the run to stop; `kill` at once."""

    kill: bool


class Crew:
    """Runs TaskRuns on threads of its own."""

    def __init__(self, plan: Plan, folder: RunFolder, parallel: int) -> None:
        """Nothing runs yet."""
        self.plan, self.folder = plan, folder
        self.queue: SimpleQueue[Changed | Interrupt] = SimpleQueue()
        self.pool = ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="taskrun")

    def submit(self, child: Child) -> None:
        """Run a TaskRun as soon as a thread is free; a `Changed` that ended follows in any case."""
        self.pool.submit(self.work, child)

    def work(self, child: Child) -> None:
        """Run a TaskRun; this is a thread of the pool."""
        try:
            if child.control.stopping.is_set():
                child.outcomes.append(verdict.not_started(child.control.message))
            else:
                before = resume.before(child, self.folder.path)
                children.run(child, self.plan, self.folder, lambda one: self.queue.put(Changed(one, ended=False)))
                with contextlib.suppress(OSError):  # without a record the Task runs again on --resume, no more
                    resume.record(child, before, self.plan, self.folder)
        except Exception as error:  # a bug, or a full disk, must end the run and not hang it
            child.outcomes.append(verdict.bug(error))
        self.queue.put(Changed(child, ended=True))

    def interrupt(self, kill: bool) -> None:
        """Pass on that the run shall stop. Safe in a signal handler: SimpleQueue.put is reentrant."""
        self.queue.put(Interrupt(kill))

    def next(self) -> Changed | Interrupt | None:
        """What happens next, None where nothing does for a tick."""
        try:
            return self.queue.get(timeout=TICK_S)
        except Empty:
            return None

    def stop(self, running: Iterable[Child], message: str, kill: bool) -> None:
        """Stop TaskRuns; `message` says why."""
        for child in running:
            child.control.stop(message, kill)

    def dismiss(self) -> None:
        """Wait for the threads to end."""
        self.pool.shutdown(wait=True)
