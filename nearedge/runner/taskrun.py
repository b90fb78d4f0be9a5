"""One attempt at a TaskRun: its steps in order, beside its sidecars, within its time."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from nearedge.errors import INTERRUPTED, InputError, NearedgeError
from nearedge.runner import backend, containers, results, sidecars, substitution
from nearedge.runner.durations import go, seconds
from nearedge.runner.fields import Document
from nearedge.runner.model import Task
from nearedge.runner.outcome import Control, Outcome, StepStatus, now
from nearedge.runner.process import GRACE_S, Running
from nearedge.runner.scopes import Places
from nearedge.runner.substitution import Scope

POLL_S = 0.05
# How long a step has to end by itself once nobody wants to wait any more.
HURRIED_S = 0.2
# The exit status of a program that could not be started, as shells have it.
NOT_STARTED = 127


@dataclass(frozen=True)
class Attempt:
    """Everything an attempt needs, resolved but for what its own steps produce."""

    task: Task
    scope: Scope
    places: Places
    logs: Path
    log_suffix: str
    timeout_s: float | None
    on_host: bool
    control: Control
    changed: Callable[[Outcome], None]


class StepError(Exception):
    """A step ended the TaskRun."""

    def __init__(self, reason: str, message: str, exit_status: int) -> None:
        """Keep what the status says."""
        super().__init__(message)
        self.reason, self.exit_status = reason, exit_status


def run(attempt: Attempt) -> Outcome:
    """Run it to its end. Never raises for what a step, a result or the machine does: the outcome says it."""
    outcome = Outcome(started=now())
    outcome.steps = [
        StepStatus(step["name"], step["image"], attempt.logs / f"{step['name']}{attempt.log_suffix}.log")
        for step in attempt.task.steps
    ]
    started: list[sidecars.Sidecar] = []
    try:
        containers.prepare(attempt.places)
        backends = start_sidecars(attempt, started, outcome)
        run_steps(attempt, outcome, backends)
        outcome.end("Succeeded", "All Steps have completed executing", 0)
    except StepError as fault:
        outcome.end(fault.reason, str(fault), fault.exit_status)
    except NearedgeError as error:
        outcome.end("TaskRunValidationFailed", str(error), error.status)
    except OSError as error:
        outcome.end("Failed", f"{error.filename or attempt.task.name}: {(error.strerror or str(error)).lower()}", 6)
    finally:
        for sidecar in reversed(started):
            with contextlib.suppress(OSError, NearedgeError):
                sidecar.stop()
        read_results(attempt, outcome)
        outcome.finished = now()
    return outcome


def start_sidecars(attempt: Attempt, started: list[sidecars.Sidecar], outcome: Outcome) -> dict[str, str]:
    """Start the sidecars; the variable that tells the steps what they run on. Raises what `sidecars.start` raises."""
    for sidecar in attempt.task.sidecars:
        container = containers.sidecar(sidecar, attempt.scope, attempt.places, attempt.logs, attempt.log_suffix)
        running = sidecars.start(container)
        started.append(running)
        outcome.sidecars.append((sidecar["name"], running.backend))
        outcome.log = container.log
    kinds = sorted({kind for _, kind in outcome.sidecars})
    return {"NEAREDGE_SIDECAR_BACKEND": ",".join(kinds)} if kinds else {}


def run_steps(attempt: Attempt, outcome: Outcome, extra: Mapping[str, str]) -> None:
    """Run the steps one after the other. Raises StepError for the one that ends the TaskRun."""
    deadline = None if not attempt.timeout_s else time.monotonic() + attempt.timeout_s
    scope = Scope(attempt.scope.values)
    for step, status in zip(attempt.task.steps, outcome.steps, strict=True):
        outcome.log = status.log
        try:
            run_step(attempt, step, status, scope, extra, deadline, outcome)
        except StepError:
            skip_rest(outcome)
            raise
        scope.values |= results.of_step(step, attempt.places.steps)


def run_step(
    attempt: Attempt,
    step: Document,
    status: StepStatus,
    scope: Scope,
    extra: Mapping[str, str],
    deadline: float | None,
    outcome: Outcome,
) -> None:
    """Run one step. Raises StepError where it fails and may not, is stopped, or runs out of time."""
    own = (
        seconds(substitution.text(step["timeout"], scope), f"step {step['name']}.timeout") if step.get("timeout") else 0
    )
    status.started = now()
    local = Scope(scope.values)
    container = containers.step(step, local, attempt.places, status.log, extra, attempt.on_host)
    status.image = container.image
    attempt.changed(outcome)
    try:
        running = backend.start(container, attempt.on_host)
    except OSError as error:
        finish(status, NOT_STARTED, "Error")
        program = error.filename or (container.command[0] if container.command else container.image)
        fault = f"step {step['name']}: cannot start {program}: {(error.strerror or str(error)).lower()}"
        raise StepError("Failed", fault, NOT_STARTED) from error
    wait(running, attempt, status, deadline, own)
    record_exit_code(attempt.places, step["name"], status.exit_code or 0)
    if status.exit_code and step.get("onError") == "continue":
        status.reason = "Continued"
    elif status.exit_code:
        raise StepError("Failed", f'"step-{step["name"]}" exited with code {status.exit_code}', status.exit_code)
    attempt.changed(outcome)


def wait(running: Running, attempt: Attempt, status: StepStatus, deadline: float | None, own_s: float) -> None:
    """Wait until a step ends, is told to stop, or is out of its own time (`own_s`, 0 for none) or the Task's."""
    step_deadline = time.monotonic() + own_s if own_s else None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            finish(status, running.wait(POLL_S), "")
            running.clean_up()
            status.reason = "Error" if status.exit_code else "Completed"
            return
        if attempt.control.stopping.is_set():
            halt(running, attempt, status, "Cancelled")
            raise StepError("TaskRunCancelled", attempt.control.message, INTERRUPTED)
        if deadline is not None and time.monotonic() > deadline:
            halt(running, attempt, status, "TimeoutExceeded")
            raise StepError("TaskRunTimeout", f"TaskRun failed to finish within {go(attempt.timeout_s or 0)}", 1)
        if step_deadline is not None and time.monotonic() > step_deadline:
            halt(running, attempt, status, "TimeoutExceeded")
            raise StepError("Failed", f'"step-{status.name}" exceeded its timeout of {go(own_s)}', 1)


def halt(running: Running, attempt: Attempt, status: StepStatus, reason: str) -> None:
    """Stop a step and all it started; the grace that it has to end by itself ends when `Control.killing` is set."""
    gentle = Thread(target=running.stop, args=(GRACE_S,), daemon=True)
    gentle.start()
    while gentle.is_alive() and not attempt.control.killing.is_set():
        gentle.join(POLL_S)
    finish(status, running.stop(HURRIED_S) if gentle.is_alive() else running.wait(), reason)
    running.clean_up()


def finish(status: StepStatus, exit_code: int, reason: str) -> None:
    """Record the end of a step."""
    status.exit_code, status.reason, status.finished = exit_code, reason, now()


def skip_rest(outcome: Outcome) -> None:
    """Mark the steps that will not run, and one that was never started."""
    for status in outcome.steps:
        if status.exit_code is None:
            status.started = status.started or now()
            finish(status, 1, "Skipped")


def record_exit_code(places: Places, step: str, exit_code: int) -> None:
    """Write the file that `$(steps.step-NAME.exitCode.path)` names."""
    folder = places.steps / step
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "exitCode").write_text(str(exit_code))


def read_results(attempt: Attempt, outcome: Outcome) -> None:
    """Read the results, those of a TaskRun that failed too, as Tekton does; bad ones fail it."""
    scope = Scope({})
    try:
        for step in attempt.task.steps:
            scope.values |= results.of_step(step, attempt.places.steps)
        outcome.results = results.read(attempt.task, attempt.places.results, scope)
    except results.ResultsError as error:
        if outcome.succeeded:
            outcome.reason, outcome.message, outcome.exit_status = error.reason, str(error), InputError.status
