"""What becomes of a TaskRun and its steps, and how it is told to stop."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from nearedge.runner.substitution import Value


def now() -> datetime:
    """The current moment, in UTC."""
    return datetime.now(UTC)


class Control:
    """How a TaskRun is told to stop; any thread may call it."""

    def __init__(self) -> None:
        """Nothing to stop yet."""
        self.stopping = Event()
        self.killing = Event()
        self.message = ""

    def stop(self, message: str, kill: bool = False) -> None:
        """Ask the step to end, and with `kill` end it at once; `message` goes into the status."""
        self.message = self.message or message
        if kill:
            self.killing.set()
        self.stopping.set()


@dataclass
class StepStatus:
    """What became of a step. `reason` is Tekton's terminationReason; `exit_code` is None until it ends."""

    name: str
    image: str
    log: Path
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    reason: str = ""


@dataclass
class Outcome:
    """What became of an attempt. `reason` is Tekton's; `exit_status` that of what ended it, a step or a fault."""

    started: datetime
    finished: datetime | None = None
    reason: str = "Running"
    message: str = ""
    exit_status: int = 0
    results: dict[str, Value] = field(default_factory=dict)
    steps: list[StepStatus] = field(default_factory=list)
    sidecars: list[tuple[str, str]] = field(default_factory=list)
    log: Path | None = None

    @property
    def succeeded(self) -> bool:
        """Whether every step ended well, or was allowed not to."""
        return self.reason == "Succeeded"

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return ((self.finished or now()) - self.started).total_seconds()

    def end(self, reason: str, message: str, exit_status: int) -> None:
        """Record how it ended, unless that is already known."""
        if self.reason == "Running":
            self.reason, self.message, self.exit_status = reason, message, exit_status
