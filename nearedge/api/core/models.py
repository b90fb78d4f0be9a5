"""Documents of the core's API about Pipelines and runs."""

from typing import Annotated, Literal

from pydantic import Field

from nearedge.api.models import Document

Value = str | list[str] | dict[str, str]
State = Literal["Pending", "Running", "Succeeded", "Failed", "Cancelled", "Lost"]
"""Lost: the process that ran it ended without a word."""
TaskState = Literal["Pending", "Running", "Succeeded", "Failed", "Cancelled", "Lost", "Skipped"]
ENDED: tuple[State, ...] = ("Succeeded", "Failed", "Cancelled", "Lost")
RunName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]

LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]{0,251}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")]


class Param(Document):
    """A param that a Pipeline or Task declares."""

    name: str
    type: Literal["string", "array", "object"]
    description: str
    default: Value | None = Field(description="null: it has to be given")
    enum: list[str] = Field(default=[])


class Workspace(Document):
    """A workspace that is declared."""

    name: str
    description: str
    optional: bool


class Declared(Document):
    """A Pipeline or Task of the catalog."""

    kind: Literal["Pipeline", "Task"]
    name: str
    version: str
    title: str
    description: str
    params: list[Param]
    workspaces: list[Workspace]
    results: dict[str, str] = Field(description="what each result is")
    tasks: list[str] = Field(description="of a Pipeline, in the order of its file")


class NewRun(Document):
    """What to run. A param that the Pipeline does not declare, or of another type, is refused."""

    pipeline: str
    params: dict[str, Value] = Field(default={})
    workspaces: dict[str, str] = Field(
        default={},
        description="locally a folder or emptyDir; on a cluster the name of a claim, secret:NAME, configMap:NAME",
    )
    name: RunName | None = Field(default=None, description="made up where it is not given")
    labels: dict[LabelKey, LabelValue] = Field(default={}, max_length=64)
    reuse: bool = Field(
        default=False, description="a run that ended well with the same Pipeline, params and workspaces is given back"
    )


class Step(Document):
    """One step of a Task."""

    name: str
    state: State
    exit_code: int | None
    started: str | None
    ended: str | None


class TaskStatus(Document):
    """One Task of a run, or one combination of a matrix, which has a name like TASK.0."""

    name: str
    state: TaskState
    reason: str
    message: str
    started: str | None
    ended: str | None
    steps: list[Step]
    results: dict[str, Value]


class RunSummary(Document):
    """A run in a list. Times are RFC 3339 in UTC."""

    name: str
    pipeline: str
    state: State
    reason: str
    message: str
    started: str | None
    ended: str | None
    labels: dict[str, str]


class Run(RunSummary):
    """A whole run."""

    params: dict[str, Value]
    results: dict[str, Value]
    tasks: list[TaskStatus]
    reused: bool = Field(default=False, description="true: it had ended before it was asked for, see NewRun.reuse")


class LogLine(Document):
    """One line that a step printed."""

    task: str
    step: str
    number: int = Field(description="of the line in its log, from 1; 0: it is in no log, but said of one")
    text: str


class Results(Document):
    """The results of a run."""

    results: dict[str, Value]


class ReportFile(Document):
    """One file of a report."""

    name: str
    media_type: str
    href: str = Field(description="path on this server")


class ReportFiles(Document):
    """The files of a report; report.html is the whole of it."""

    files: list[ReportFile]
