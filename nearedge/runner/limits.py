"""The time limits of a run."""

import time

from nearedge.runner.durations import go
from nearedge.runner.plan import Timeouts
from nearedge.runner.verdict import Verdict


class Clock:
    """Knows since when the run, and its `finally`, go on."""

    def __init__(self, limits: Timeouts) -> None:
        """The run starts now."""
        self.limits = limits
        self.started = time.monotonic()
        self.finals_started: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run started."""
        return time.monotonic() - self.started

    def begin_finally(self) -> None:
        """The Tasks of `finally` start now."""
        self.finals_started = time.monotonic()

    def overdue(self, verdict: Verdict) -> str | None:
        """Note in `verdict` a limit that has passed; the reason to stop what runs, None where none has passed anew."""
        limits = self.limits
        if limits.pipeline_s and self.elapsed_s > limits.pipeline_s and verdict.timed_out != "pipeline":
            verdict.timed_out = "pipeline"
            return f"the run failed to finish within {go(limits.pipeline_s)}"
        if self.finals_started is not None:
            return self.overdue_finally(time.monotonic() - self.finals_started, verdict)
        if limits.tasks_s and self.elapsed_s > limits.tasks_s and not verdict.timed_out:
            verdict.timed_out = "tasks"
            return f"the Tasks failed to finish within {go(limits.tasks_s)}"
        return None

    def overdue_finally(self, elapsed_s: float, verdict: Verdict) -> str | None:
        """The same for the limit of `finally`."""
        limit = self.limits.finally_s
        if not limit or elapsed_s <= limit or verdict.finally_timed_out:
            return None
        verdict.finally_timed_out = True
        return f"finally failed to finish within {go(limit)}"
