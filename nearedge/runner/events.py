"""What happens in a run, for whoever follows it: the display, an API, a program that calls the engine."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nearedge.runner.substitution import Value


@dataclass(frozen=True)
class RunStarted:
    """A run begins; `folder` keeps its state and logs."""

    name: str
    folder: Path
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Note:
    """Something to know before the run: a field without effect here, a doubt."""

    text: str
    warning: bool


@dataclass(frozen=True)
class TaskStarted:
    """A TaskRun begins. `label` is the Task's name, with a number where it has a matrix."""

    label: str
    attempt: int


@dataclass(frozen=True)
class StepStarted:
    """A step begins."""

    label: str
    step: str
    log: Path


@dataclass(frozen=True)
class SidecarStarted:
    """A sidecar runs; `backend` says on what."""

    label: str
    name: str
    backend: str


@dataclass(frozen=True)
class TaskEnded:
    """A TaskRun is over, all its retries used where it failed."""

    label: str
    succeeded: bool
    reason: str
    message: str
    duration_s: float
    exit_status: int
    log: Path | None
    results: dict[str, Value]
    ignored: bool = False


@dataclass(frozen=True)
class TaskRetried:
    """An attempt failed and another one follows."""

    label: str
    attempt: int
    exit_status: int
    message: str


@dataclass(frozen=True)
class TaskSkipped:
    """A Task does not run; `reason` in Tekton's words."""

    label: str
    reason: str


@dataclass(frozen=True)
class TaskReused:
    """A Task is not run again: its inputs and what it left behind are as they were."""

    label: str


@dataclass(frozen=True)
class RunEnded:
    """The run is over."""

    name: str
    succeeded: bool
    reason: str
    message: str
    duration_s: float
    exit_status: int
    results: dict[str, Value]


Event = (
    RunStarted
    | Note
    | TaskStarted
    | StepStarted
    | SidecarStarted
    | TaskEnded
    | TaskRetried
    | TaskSkipped
    | TaskReused
    | RunEnded
)
OnEvent = Callable[[Event], None]
