"""The values that references may name: in a Pipeline, in its results, and in the steps of one TaskRun."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.runner.model import Pipeline, Task
from nearedge.runner.substitution import Key, Scope, Value

NAMESPACE = "local"
TASK_CONTEXT = {
    ("taskRun", "name"),
    ("taskRun", "namespace"),
    ("taskRun", "uid"),
    ("task", "name"),
    ("task", "retry-count"),
}
# What a Task may name beside that where its spec stands in the Pipeline.
EMBEDDED_CONTEXT = TASK_CONTEXT | {
    ("pipelineRun", "name"),
    ("pipelineRun", "namespace"),
    ("pipelineRun", "uid"),
    ("pipeline", "name"),
}


@dataclass(frozen=True)
class Identity:
    """What `$(context...)` says of a run."""

    name: str
    uid: str
    pipeline: str

    def values(self) -> dict[Key, Value]:
        """The references and their values."""
        return {
            ("context", "pipelineRun", "name"): self.name,
            ("context", "pipelineRun", "namespace"): NAMESPACE,
            ("context", "pipelineRun", "uid"): self.uid,
            ("context", "pipeline", "name"): self.pipeline,
        }


def of_pipeline(pipeline: Pipeline, params: Mapping[str, Value], bound: set[str], identity: Identity) -> Scope:
    """Params, context and `workspaces.X.bound`; results come in as Tasks end."""
    values: dict[Key, Value] = identity.values()
    values |= {("params", name): value for name, value in params.items()}
    for workspace in pipeline.workspaces:
        values[("workspaces", workspace.name, "bound")] = str(workspace.name in bound).lower()
    return Scope(values)


@dataclass(frozen=True)
class Places:
    """The folders of one attempt at a TaskRun; all are private to it but the workspaces."""

    root: Path
    workspaces: dict[str, Path | None] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        """Where the steps write the Task's results."""
        return self.root / "results"

    @property
    def steps(self) -> Path:
        """Where steps keep their own results and exit codes."""
        return self.root / "steps"

    @property
    def home(self) -> Path:
        """What /tekton/home is here."""
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        """TMPDIR of the steps."""
        return self.root / "tmp"

    @property
    def work(self) -> Path:
        """Where steps start that name no workingDir."""
        return self.root / "work"


@dataclass(frozen=True)
class TaskIdentity:
    """What `$(context...)` says of a TaskRun."""

    name: str
    uid: str
    attempt: int


def of_task(task: Task, params: Mapping[str, Value], places: Places, identity: TaskIdentity, around: Scope) -> Scope:
    """What a TaskRun's steps may name, laid over what its Pipeline offers (`around`)."""
    values: dict[Key, Value] = dict(around.values)
    values |= {("params", name): value for name, value in params.items()}
    values |= {
        ("context", "taskRun", "name"): identity.name,
        ("context", "taskRun", "namespace"): NAMESPACE,
        ("context", "taskRun", "uid"): identity.uid,
        ("context", "task", "name"): task.name,
        ("context", "task", "retry-count"): str(identity.attempt),
        ("credentials", "path"): str(places.home),
    }
    for name, folder in places.workspaces.items():
        values[("workspaces", name, "path")] = "" if folder is None else str(folder)
        values[("workspaces", name, "bound")] = str(folder is not None).lower()
        values[("workspaces", name, "claim")] = ""
        values[("workspaces", name, "volume")] = "" if folder is None else f"ws-{name}"
    for result in task.results:
        values[("results", result.name, "path")] = str(places.results / result.name)
    for step in task.steps:
        values[("steps", f"step-{step['name']}", "exitCode", "path")] = str(places.steps / step["name"] / "exitCode")
    return Scope(values)


def step_results(step: Mapping[str, object], places: Places) -> dict[Key, Value]:
    """`$(step.results.NAME.path)` of one step."""
    declared = step.get("results")
    names = [item["name"] for item in declared] if isinstance(declared, list) else []
    folder = places.steps / str(step["name"]) / "results"
    return {("step", "results", name, "path"): str(folder / name) for name in names}
