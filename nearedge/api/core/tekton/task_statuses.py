"""How each Task and step of a PipelineRun stands, from the run and its TaskRuns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from nearedge.api.cluster.resources import Object
from nearedge.api.core.models import State, Step, TaskState, TaskStatus
from nearedge.api.core.tekton.summaries import condition_of, named, one_line, state_of

WAITS = ("Pending", "Started")
"""Reasons of a TaskRun whose pod has not begun; other ones of its beginning name what is wrong with it."""
ORDINARY = ("PodInitializing", "ContainerCreating", "")
"""Reasons to wait that each pod has for a while."""


class Child(NamedTuple):
    """A Task of the run under its name, or a combination of a matrix under TASK.0, and its TaskRun.

    `reference` None: there is no TaskRun yet, or there never will be; `taskrun` None beside one: it is gone.
    """

    name: str
    reference: Mapping[str, Any] | None
    taskrun: Object | None


def children(run: Object, taskruns: Iterable[Object]) -> Iterator[Child]:
    """The Tasks in the order of the Pipeline, those of `finally` last."""
    status = run.get("status") or {}
    spec = status.get("pipelineSpec") or run.get("spec", {}).get("pipelineSpec") or {}
    known = {str(item["metadata"]["name"]): item for item in taskruns}
    references: dict[str, list[Mapping[str, Any]]] = {}
    for reference in status.get("childReferences") or []:
        references.setdefault(str(reference.get("pipelineTaskName")), []).append(reference)
    for item in [*(spec.get("tasks") or []), *(spec.get("finally") or [])]:
        name, mine = str(item["name"]), references.get(str(item["name"]), [])
        if not mine:
            yield Child(name, None, None)
        many = "matrix" in item or len(mine) > 1
        for number, one in enumerate(sorted(mine, key=by_number) if many else mine):
            yield Child(f"{name}.{number}" if many else name, one, known.get(str(one["name"])))


def by_number(reference: Mapping[str, Any]) -> tuple[int, str]:
    """The number of a matrix' combination, with which Tekton ends the TaskRun's name."""
    name = str(reference["name"])
    tail = name.rpartition("-")[2]
    return (int(tail) if tail.isdecimal() else 0, name)


def statuses(run: Object, taskruns: Iterable[Object], pods: Mapping[str, Object]) -> list[TaskStatus]:
    """All Tasks; `pods` are those of TaskRuns that wait, by name."""
    status = run.get("status") or {}
    skipped = {str(item["name"]): str(item.get("reason", "")) for item in status.get("skippedTasks") or []}
    state = state_of(condition_of(status))
    return [status_of(child, skipped, state, pods) for child in children(run, taskruns)]


def status_of(child: Child, skipped: Mapping[str, str], run: State, pods: Mapping[str, Object]) -> TaskStatus:
    """One Task."""
    if child.taskrun is not None:
        return of_taskrun(child.name, child.taskrun, pods)
    if child.reference is not None:
        gone = f"its {child.reference.get('kind', 'TaskRun')} {child.reference['name']} is gone"
        return empty(child.name, "Lost" if run not in ("Pending", "Running") else "Pending", "Gone", gone)
    waits = run in ("Pending", "Running") and child.name not in skipped
    return empty(child.name, "Pending" if waits else "Skipped", skipped.get(child.name, ""), "")


def empty(name: str, state: TaskState, reason: str, message: str) -> TaskStatus:
    """A Task of which nothing more is known."""
    return TaskStatus(
        name=name, state=state, reason=reason, message=message, started=None, ended=None, steps=[], results={}
    )


def of_taskrun(name: str, item: Object, pods: Mapping[str, Object]) -> TaskStatus:
    """A Task that runs, has run, or waits for its pod."""
    status = item.get("status") or {}
    condition = condition_of(status)
    state = state_of(condition)
    found = steps(status.get("steps") or [], state)
    reason, message = condition.get("reason", "Pending"), condition.get("message", "")
    if waiting(item):
        state = "Pending"
        found = [one if one.exit_code is not None else one.model_copy(update={"state": "Pending"}) for one in found]
        told = next(why_waiting(status.get("steps") or [], pods.get(str(status.get("podName", "")))), None)
        if told is not None and told[1] not in message:
            reason, message = told[0], f"{message}; {told[1]}" if message not in ("", reason) else told[1]
    return TaskStatus(
        name=name, state=state, reason=reason, message=one_line(message), started=status.get("startTime"),
        ended=status.get("completionTime"), steps=found, results=named(status.get("results")),
    )  # fmt: skip


def waiting(item: Object) -> bool:
    """Whether a TaskRun goes on and none of its steps has begun."""
    status = item.get("status") or {}
    if state_of(condition_of(status)) not in ("Pending", "Running"):
        return False
    return not any(step.get("running") or step.get("terminated") for step in status.get("steps") or [])


def why_waiting(found: Sequence[Mapping[str, Any]], pod: Object | None) -> Iterator[tuple[str, str]]:
    """Reason and message of what keeps a pod from beginning: no node for it, an image that cannot be pulled."""
    status = (pod or {}).get("status") or {}
    for one in status.get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            yield str(one.get("reason", "")), f"its pod has no node: {one.get('message') or one.get('reason')}"
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in containers:
        yield from of_container(str(container.get("name", "")), (container.get("state") or {}).get("waiting"))
    for step in found:
        yield from of_container(str(step.get("container") or step.get("name")), step.get("waiting"))


def of_container(name: str, wait: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """What a container waits for, where it is out of the ordinary."""
    reason = str((wait or {}).get("reason") or "")
    if wait is not None and reason not in ORDINARY:
        yield reason, f"{name}: {reason}: {wait.get('message') or 'no more is known'}"


def steps(found: Sequence[Mapping[str, Any]], task: State) -> list[Step]:
    """The steps; all containers of a pod begin at once, and each waits for the one before."""
    answer, going = [], task in ("Pending", "Running")
    for item in found:
        done, begun = item.get("terminated"), item.get("running")
        if done is not None:
            code = int(done.get("exitCode", 0))
            skipped = item.get("terminationReason") in ("Skipped", "Cancelled")
            state: State = "Cancelled" if skipped else "Failed" if code else "Succeeded"
            answer.append(step(item, state, code, done.get("startedAt"), done.get("finishedAt")))
            continue
        first = bool(begun) and all(one.exit_code is not None for one in answer)
        state = ("Running" if first else "Pending") if going else "Cancelled"
        answer.append(step(item, state, None, (begun or {}).get("startedAt") if first else None, None))
    return answer


def step(item: Mapping[str, Any], state: State, code: int | None, started: str | None, ended: str | None) -> Step:
    """One step."""
    return Step(name=str(item.get("name", "")), state=state, exit_code=code, started=started, ended=ended)
