"""Keeping a run's state on disk as it goes, and telling whoever follows it."""

from collections.abc import Sequence
from typing import Any

from nearedge.runner import events
from nearedge.runner.children import Child
from nearedge.runner.conditions import Skip
from nearedge.runner.events import OnEvent
from nearedge.runner.model import PipelineTask
from nearedge.runner.outcome import Outcome, now
from nearedge.runner.plan import Plan
from nearedge.runner.status import RunStatus, precise, taskrun
from nearedge.runner.store import RunFolder
from nearedge.runner.verdict import RunResult


class Journal:
    """One run's documents, its `run.log` and its events. Used by one thread only."""

    def __init__(self, plan: Plan, folder: RunFolder, on_event: OnEvent) -> None:
        """The run starts now."""
        self.plan, self.folder, self.on_event = plan, folder, on_event
        self.status = RunStatus(plan)
        self.seen: set[tuple[str, int, str]] = set()

    def say(self, event: events.Event) -> None:
        """Write an event to run.log and hand it on."""
        with self.folder.log.open("a", encoding="utf-8") as file:
            file.write(f"{precise(now())} {event}\n")
        self.on_event(event)

    def save(self) -> None:
        """Write run.json."""
        self.folder.write_run(self.status.document)

    def begin(self, names: Sequence[str]) -> None:
        """The run has begun; doubts first, then the fields that have no effect here."""
        self.save()
        self.say(events.RunStarted(self.plan.name, self.folder.path, tuple(names)))
        for text in self.plan.warnings:
            self.say(events.Note(text, warning=True))
        for path in self.plan.accepted:
            self.say(events.Note(f"{path}: accepted without effect on this machine", warning=False))

    def reused(self, label: str, reference: dict[str, Any]) -> None:
        """A TaskRun of an earlier run is taken over; its document is there already."""
        self.status.status["childReferences"].append(reference)
        self.say(events.TaskReused(label))

    def skipped(self, task: PipelineTask, reason: Skip) -> None:
        """A Task will not run."""
        self.status.add_skipped(task, reason)
        self.save()
        self.say(events.TaskSkipped(task.name, reason.value))

    def first(self, *what: Any) -> bool:  # label, attempt, what of it
        """Whether this is seen for the first time."""
        if what in self.seen:
            return False
        self.seen.add(what)
        return True

    def changed(self, child: Child) -> None:
        """Keep a TaskRun's state, and tell of attempts, sidecars and steps that began."""
        for number, outcome in enumerate(list(child.outcomes)):
            self.tell(child, number, outcome)
        self.keep(child)

    def tell(self, child: Child, number: int, outcome: Outcome) -> None:
        """Tell what of one attempt was not told yet."""
        if self.first(child.label, number, ""):
            if number:
                last = child.outcomes[number - 1]
                self.say(events.TaskRetried(child.label, number, last.exit_status, last.message))
            self.say(events.TaskStarted(child.label, number))
        for name, backend in list(outcome.sidecars):
            if self.first(child.label, number, f"sidecar {name}"):
                self.say(events.SidecarStarted(child.label, name, backend))
        for step in list(outcome.steps):
            if step.started is not None and self.first(child.label, number, step.name):
                self.say(events.StepStarted(child.label, step.name, step.log))

    def keep(self, child: Child) -> None:
        """Write a TaskRun's document, and the run's."""
        self.folder.write_taskrun(child.label, taskrun(child, self.plan))
        self.status.add_child(child)
        self.save()

    def ended(self, child: Child) -> None:
        """A TaskRun is over."""
        self.keep(child)
        last = child.last
        self.say(
            events.TaskEnded(
                label=child.label,
                succeeded=last.succeeded,
                reason=last.reason,
                message=last.message,
                duration_s=last.duration_s,
                exit_status=last.exit_status,
                log=last.log,
                results=dict(last.results),
                ignored=not last.succeeded and child.task.ignore_failure,
            )
        )

    def end(self, found: RunResult) -> None:
        """The run is over."""
        self.status.end(found.reason, found.message, found.succeeded, found.results)
        self.save()
        self.say(
            events.RunEnded(
                name=found.name,
                succeeded=found.succeeded,
                reason=found.reason,
                message=found.message,
                duration_s=found.duration_s,
                exit_status=found.exit_status,
                results=found.results,
            )
        )
