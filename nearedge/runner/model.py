"""Tasks and Pipelines as the runner sees them: parsed, defaulted, references not yet replaced."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nearedge.runner.fields import Document
from nearedge.runner.substitution import Value


@dataclass(frozen=True)
class Param:
    """A declared param. `keys` are an object's properties; `default` None means that a value must be given."""

    name: str
    type: str
    default: Value | None
    enum: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """A declared result. `value` is set for a Pipeline's results and for a Task's that come from a step's."""

    name: str
    type: str
    value: Value | None


@dataclass(frozen=True)
class Workspace:
    """A declared workspace."""

    name: str
    optional: bool


@dataclass(frozen=True)
class Task:
    """A Task's spec; steps and sidecars are documents with the stepTemplate merged in."""

    name: str
    params: tuple[Param, ...]
    results: tuple[Result, ...]
    workspaces: tuple[Workspace, ...]
    steps: tuple[Document, ...]
    sidecars: tuple[Document, ...]
    spec: Document


@dataclass(frozen=True)
class When:
    """One guard: `input` is in, or notin, `values`."""

    input: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Binding:
    """A Task's workspace `name` is the Pipeline's `workspace`, or a folder in it."""

    name: str
    workspace: str
    sub_path: str


@dataclass(frozen=True)
class Matrix:
    """Fan-out: every combination of `params`, then what `include` adds."""

    params: dict[str, Value]
    include: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class PipelineTask:
    """One Task of a Pipeline. `embedded` says that its spec stands in the Pipeline and sees the Pipeline's params."""

    name: str
    task: Task
    embedded: bool
    params: dict[str, Value] = field(default_factory=dict)
    matrix: Matrix | None = None
    workspaces: tuple[Binding, ...] = ()
    when: tuple[When, ...] = ()
    run_after: tuple[str, ...] = ()
    retries: int = 0
    timeout_s: float | None = None
    ignore_failure: bool = False

    def templates(self) -> Iterator[Any]:
        """Everything in it that may hold references to other Tasks."""
        yield self.params
        if self.matrix is not None:
            yield self.matrix.params
            yield list(self.matrix.include)
        for guard in self.when:
            yield [guard.input, *guard.values]
        yield [binding.sub_path for binding in self.workspaces]
        if self.embedded:
            yield self.task.spec


@dataclass(frozen=True)
class Pipeline:
    """A Pipeline; `final` are the Tasks of `finally`."""

    name: str
    params: tuple[Param, ...]
    results: tuple[Result, ...]
    workspaces: tuple[Workspace, ...]
    tasks: tuple[PipelineTask, ...]
    final: tuple[PipelineTask, ...]
    spec: Document

    def every(self) -> tuple[PipelineTask, ...]:
        """The Tasks of `tasks`, then those of `finally`."""
        return self.tasks + self.final
