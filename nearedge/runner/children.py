"""From a Task of a Pipeline to its TaskRuns: params resolved, workspaces found, and the attempts run on a thread."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.errors import NearedgeError
from nearedge.runner import matrix, parameters, scopes, substitution, taskrun, workspaces
from nearedge.runner.model import PipelineTask
from nearedge.runner.outcome import Control, Outcome, now
from nearedge.runner.plan import Plan
from nearedge.runner.scopes import Places, TaskIdentity
from nearedge.runner.store import RunFolder
from nearedge.runner.substitution import Scope, Value
from nearedge.runner.taskrun import Attempt
from nearedge.runner.workspaces import Source

# Name of a child as Kubernetes limits it.
MOST_NAME = 63


@dataclass
class Child:
    """One TaskRun. `folders` are its workspaces here, None for an optional one that is not bound."""

    label: str
    name: str
    uid: str
    task: PipelineTask
    params: dict[str, Value]
    scope: Scope
    folders: dict[str, Path | None] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    control: Control = field(default_factory=Control)

    @property
    def last(self) -> Outcome:
        """The current attempt, or the last one."""
        return self.outcomes[-1]


def label(task: PipelineTask, number: int, count: int) -> str:
    """The Task's name, with the number of the combination where it has a matrix; no Task's name has a dot."""
    return task.name if task.matrix is None or count == 1 else f"{task.name}.{number}"


def resolve(task: PipelineTask, plan: Plan, scope: Scope) -> list[tuple[str, dict[str, Value]]]:
    """The label and the params of each TaskRun of a Task. Raises InputError where a param does not fit."""
    own = Scope(scope.values | {("context", "pipelineTask", "retries"): str(task.retries)})
    given = {name: substitution.value(template, own) for name, template in task.params.items()}
    if task.embedded:
        inherited = {param.name for param in task.task.params if param.default is None} & set(plan.params)
        given = {name: plan.params[name] for name in inherited} | given
    combinations = [{}] if task.matrix is None else matrix.combinations(task.matrix, own)
    return [
        (
            label(task, number, len(combinations)),
            parameters.resolve(task.task.params, given | combination, f"Task {task.name}"),
        )
        for number, combination in enumerate(combinations)
    ]


def around(task: PipelineTask, scope: Scope) -> Scope:
    """What the Task sees of its Pipeline: everything where its spec stands in it, else nothing."""
    return scope if task.embedded else Scope({})


def child_name(run: str, tail: str) -> str:
    """`RUN-TASK`, cut where Kubernetes would not take it."""
    return f"{run}-{tail.replace('.', '-')}"[:MOST_NAME].rstrip("-.")


def bind(child: Child, plan: Plan, sources: dict[str, Source], scope: Scope, private: Path) -> None:
    """Find, or make, the folders of a TaskRun's workspaces. Raises InputError where a subPath leads out of one."""
    found: dict[str, Path | None] = {workspace.name: None for workspace in child.task.task.workspaces}
    for name, binding in workspaces.bindings(child.task, sources).items():
        source = sources.get(binding.workspace)
        if source is not None:
            sub_path = substitution.text(binding.sub_path, scope)
            found[name] = workspaces.folder(source, sub_path, private)
    if child.task.embedded:
        for workspace in plan.pipeline.workspaces:
            found.setdefault(workspace.name, None)
    child.folders = found


def run(child: Child, plan: Plan, folder: RunFolder, changed: Callable[[Child], None]) -> None:
    """Run a TaskRun, with its retries, on this thread; `changed` is called whenever its status does."""
    private = folder.work(child.label)
    shutil.rmtree(folder.logs(child.label), ignore_errors=True)
    limit = plan.task_timeouts.get(child.task.name, child.task.timeout_s)
    try:
        for number in range(child.task.retries + 1):
            run_attempt(child, plan, folder, limit, number, changed)
            if child.last.succeeded or child.control.stopping.is_set():
                break
    finally:
        shutil.rmtree(private, ignore_errors=True)


def run_attempt(
    child: Child, plan: Plan, folder: RunFolder, limit: float | None, number: int, changed: Callable[[Child], None]
) -> None:
    """Run one attempt and keep its outcome in `child.outcomes`."""
    places = Places(folder.work(child.label) / f"attempt-{number}", child.folders)
    child.outcomes.append(Outcome(started=now()))
    changed(child)
    identity = TaskIdentity(child.name, child.uid, number)

    def follow(outcome: Outcome) -> None:
        child.outcomes[-1] = outcome
        changed(child)

    attempt = Attempt(
        task=child.task.task,
        scope=scopes.of_task(child.task.task, child.params, places, identity, around(child.task, child.scope)),
        places=places,
        logs=folder.logs(child.label),
        log_suffix="" if number == 0 else f".retry-{number}",
        timeout_s=limit,
        on_host=plan.on_host,
        control=child.control,
        changed=follow,
    )
    child.outcomes[-1] = taskrun.run(attempt)
    changed(child)


def fault(error: NearedgeError) -> Outcome:
    """The outcome of a TaskRun that could not even start."""
    outcome = Outcome(started=now())
    outcome.end("TaskRunValidationFailed", str(error), error.status)
    outcome.finished = now()
    return outcome
