"""How a run ends: the states of its Tasks, its own condition and exit status, its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.errors import BUG, INTERRUPTED, InputError, MachineError
from nearedge.runner import results, substitution
from nearedge.runner.children import Child
from nearedge.runner.conditions import Skip, State
from nearedge.runner.durations import go
from nearedge.runner.model import PipelineTask
from nearedge.runner.outcome import Outcome, now
from nearedge.runner.plan import Plan
from nearedge.runner.substitution import Scope, Value, references


@dataclass
class Verdict:
    """What has gone wrong so far."""

    stopping: bool = False
    cancelled: bool = False
    killed: bool = False
    missing: str = ""
    timed_out: str = ""
    finally_timed_out: bool = False
    failed: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    exit_status: int = 0
    reused: dict[str, list[dict[str, Value]]] = field(default_factory=dict)

    def note(self, task: PipelineTask, state: State, runs: Sequence[Child], final: bool) -> None:
        """A Task has ended; the first that fails settles the exit status."""
        if state is State.SUCCEEDED:
            return
        if task.ignore_failure and state is State.FAILED:
            self.ignored.append(task.name)
            return
        if state is State.FAILED:
            self.failed.append(task.name)
            statuses = [child.last.exit_status for child in runs if child.last.exit_status]
            self.exit_status = self.exit_status or (statuses[0] if statuses else 1)
        self.stopping = self.stopping or not final


@dataclass(frozen=True)
class TaskResult:
    """What became of one Task. `results` has a map for each TaskRun: one, or one for each combination of a matrix."""

    name: str
    state: State
    skipped: Skip | None
    reused: bool
    results: tuple[dict[str, Value], ...]
    duration_s: float
    exit_status: int
    message: str
    log: Path | None


@dataclass(frozen=True)
class RunResult:
    """What became of a run. `exit_status` is that of the first failed Task's step; 130 where it was interrupted."""

    name: str
    folder: Path
    succeeded: bool
    reason: str
    message: str
    exit_status: int
    duration_s: float
    results: dict[str, Value]
    tasks: dict[str, TaskResult]


def state_of(runs: Sequence[Child]) -> State:
    """The state of a Task whose TaskRuns are all over."""
    if all(child.last.succeeded for child in runs):
        return State.SUCCEEDED
    cancelled = any(child.last.reason == "TaskRunCancelled" for child in runs)
    failed = any(not child.last.succeeded and child.last.reason != "TaskRunCancelled" for child in runs)
    return State.CANCELLED if cancelled and not failed else State.FAILED


def reason_of(runs: Sequence[Child], state: State) -> str:
    """`$(tasks.X.reason)`: the reason of the TaskRun, of the first failed one where there are more."""
    if state in (State.SKIPPED, State.WAITING):
        return "None"
    return next((child.last.reason for child in runs if not child.last.succeeded), "Succeeded")


def not_started(message: str) -> Outcome:
    """The outcome of a TaskRun that was cancelled before it started."""
    outcome = Outcome(started=now(), finished=now())
    outcome.end("TaskRunCancelled", message, INTERRUPTED)
    return outcome


def bug(error: Exception) -> Outcome:
    """The outcome of a TaskRun that a fault of ours, or of the machine, ended."""
    outcome = Outcome(started=now(), finished=now())
    if isinstance(error, OSError):
        outcome.end("Failed", f"{error.filename}: {(error.strerror or str(error)).lower()}", MachineError.status)
    outcome.end("Failed", f"a bug of nearedge: {type(error).__name__}: {error}", BUG)
    return outcome


def settle(
    plan: Plan,
    verdict: Verdict,
    states: Mapping[str, State],
    runs: Mapping[str, Sequence[Child]],
    skipped: Mapping[str, Skip],
    scope: Scope,
    folder: Path,
    duration_s: float,
) -> RunResult:
    """The run's result, once nothing runs any more."""
    reason, message, exit_status = judge(plan, verdict, states)
    found, faults = pipeline_results(plan, states, runs, scope)
    if faults and reason in ("Succeeded", "Completed"):
        reason, exit_status = "CouldntGetPipelineResult", InputError.status
        message = f"results {', '.join(faults)}: a Task that succeeded did not give what they are made of"
    return RunResult(
        name=plan.name,
        folder=folder,
        succeeded=reason in ("Succeeded", "Completed"),
        reason=reason,
        message=message,
        exit_status=exit_status,
        duration_s=duration_s,
        results=found,
        tasks={name: task_result(name, states, runs, skipped, verdict) for name in states},
    )


def judge(plan: Plan, verdict: Verdict, states: Mapping[str, State]) -> tuple[str, str, int]:
    """Reason, message and exit status, as Tekton counts."""
    count = {state: sum(1 for found in states.values() if found is state) for state in State}
    done = sum(count.values()) - count[State.SKIPPED]
    ignored = f" (Ignored: {len(verdict.ignored)})" if verdict.ignored else ""
    counts = (
        f"Tasks Completed: {done} (Failed: {count[State.FAILED]}{ignored}, Cancelled {count[State.CANCELLED]}), "
        f"Skipped: {count[State.SKIPPED]}"
    )
    if verdict.cancelled:
        return "Cancelled", counts, INTERRUPTED
    if verdict.timed_out == "pipeline":
        return "PipelineRunTimeout", f"failed to finish within {go(plan.timeouts.pipeline_s or 0)}", 1
    if verdict.timed_out == "tasks":
        return "PipelineRunTimeout", f"tasks failed to finish within {go(plan.timeouts.tasks_s or 0)}", 1
    if verdict.missing:
        return "InvalidTaskResultReference", verdict.missing, InputError.status
    if verdict.failed or verdict.finally_timed_out or count[State.CANCELLED]:
        return "Failed", counts, verdict.exit_status or 1
    return ("Completed" if count[State.SKIPPED] else "Succeeded"), counts, 0


def pipeline_results(
    plan: Plan, states: Mapping[str, State], runs: Mapping[str, Sequence[Child]], scope: Scope
) -> tuple[dict[str, Value], list[str]]:
    """The Pipeline's results, and the names of those that a successful Task owes; those of other Tasks are left out."""
    whole = Scope(scope.values)
    for task in plan.pipeline.final:
        if states[task.name].done and runs[task.name]:
            given = results.of_tasks(
                [child.last.results for child in runs[task.name]], task.name, task.matrix is not None
            )
            whole.values |= {("finally", *key[1:]): value for key, value in given.items()}
    found: dict[str, Value] = {}
    faults = []
    for result in plan.pipeline.results:
        template = result.value or ""
        try:
            absent = [reference for reference in references(template) if whole.find(reference) is None]
            if not absent:
                found[result.name] = substitution.value(template, whole)
        except InputError:
            faults.append(result.name)
            continue
        if any(states.get(reference.key[1]) is State.SUCCEEDED for reference in absent):
            faults.append(result.name)
    return found, faults


def task_result(
    name: str,
    states: Mapping[str, State],
    runs: Mapping[str, Sequence[Child]],
    skipped: Mapping[str, Skip],
    verdict: Verdict,
) -> TaskResult:
    """What became of one Task."""
    mine = [child for child in runs[name] if child.outcomes]
    failed = next((child.last for child in mine if not child.last.succeeded), None)
    last = failed or (mine[-1].last if mine else None)
    return TaskResult(
        name=name,
        state=states[name],
        skipped=skipped.get(name),
        reused=name in verdict.reused,
        results=tuple(verdict.reused.get(name) or [dict(child.last.results) for child in mine]),
        duration_s=max((child.last.duration_s for child in mine), default=0.0),
        exit_status=last.exit_status if last else 0,
        message=last.message if last else "",
        log=last.log if last else None,
    )
