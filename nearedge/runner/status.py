"""The documents a run leaves behind, in the shape of Tekton's PipelineRun and TaskRun."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nearedge.runner.children import Child
from nearedge.runner.conditions import Skip
from nearedge.runner.durations import go
from nearedge.runner.fields import Document
from nearedge.runner.load import API_VERSION
from nearedge.runner.model import PipelineTask
from nearedge.runner.outcome import Outcome, StepStatus, now
from nearedge.runner.parse import type_of
from nearedge.runner.plan import Plan
from nearedge.runner.substitution import Value


def stamp(moment: datetime | None) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes prints it."""
    return "" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def precise(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, for durations."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def condition(reason: str, message: str, moment: datetime, succeeded: bool | None) -> Document:
    """The condition `Succeeded`; None while it is not known."""
    return {
        "type": "Succeeded",
        "status": "Unknown" if succeeded is None else str(succeeded),
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(moment),
    }


def named_results(results: Mapping[str, Value], with_type: bool) -> list[Document]:
    """Results as a list of names and values."""
    return [
        {"name": name, **({"type": type_of(value)} if with_type else {}), "value": value}
        for name, value in results.items()
    ]


def step(status: StepStatus) -> Document:
    """One step of a TaskRun's status."""
    document: Document = {"name": status.name, "container": f"step-{status.name}"}
    if status.exit_code is not None and status.started is not None:
        document["terminated"] = {
            "exitCode": status.exit_code,
            "reason": "Error" if status.exit_code else "Completed",
            "startedAt": precise(status.started),
            "finishedAt": precise(status.finished or status.started),
        }
        document["terminationReason"] = status.reason
    elif status.started is not None:
        document["running"] = {"startedAt": precise(status.started)}
    else:
        document["waiting"] = {"reason": "PodInitializing"}
    return document


def attempt(outcome: Outcome) -> Document:
    """The status of one attempt."""
    done = outcome.finished is not None
    document: Document = {
        "conditions": [
            condition(
                outcome.reason,
                outcome.message or "Not all Steps in the Task have finished executing",
                outcome.finished or outcome.started,
                outcome.succeeded if done else None,
            )
        ],
        "podName": "",
        "startTime": stamp(outcome.started),
        "steps": [step(status) for status in outcome.steps],
    }
    if outcome.finished is not None:
        document["completionTime"] = stamp(outcome.finished)
    if outcome.results:
        document["results"] = named_results(outcome.results, with_type=True)
    if outcome.sidecars:
        document["sidecars"] = [{"name": name, "container": f"sidecar-{name}"} for name, _ in outcome.sidecars]
    return document


def taskrun(child: Child, plan: Plan) -> Document:
    """A TaskRun's document; the last of its outcomes is the current attempt."""
    outcomes = list(child.outcomes)
    bound = {name: str(path) for name, path in child.folders.items() if path is not None}
    annotations = {"nearedge/duration-seconds": f"{outcomes[-1].duration_s:.3f}"}
    annotations |= {f"nearedge/sidecar-{name}": backend for name, backend in outcomes[-1].sidecars}
    annotations |= {f"nearedge/workspace-{name}": path for name, path in bound.items()}
    labels = {"pipeline": plan.pipeline.name, "pipelineRun": plan.name, "pipelineTask": child.task.name}
    status = attempt(outcomes[-1])
    if len(outcomes) > 1:
        status["retriesStatus"] = [attempt(outcome) for outcome in outcomes[:-1]]
    return {
        "apiVersion": API_VERSION,
        "kind": "TaskRun",
        "metadata": {
            "name": child.name,
            "uid": child.uid,
            "labels": {f"tekton.dev/{name}": value for name, value in labels.items()},
            "annotations": annotations,
        },
        "spec": taskrun_spec(child, sorted(bound)),
        "status": {**status, "taskSpec": child.task.task.spec},
    }


def taskrun_spec(child: Child, bound: Sequence[str]) -> Document:
    """The spec of a TaskRun; its workspaces are folders, which annotations name."""
    task = child.task
    spec: Document = {
        "params": named_results(child.params, with_type=False),
        "retries": task.retries,
        "workspaces": [{"name": name, "emptyDir": {}} for name in bound],
    }
    if task.timeout_s is not None:
        spec["timeout"] = go(task.timeout_s)
    if task.embedded:
        spec["taskSpec"] = task.task.spec
    else:
        spec["taskRef"] = {"kind": "Task", "name": task.task.name}
    return spec


class RunStatus:
    """The PipelineRun's document as the run goes."""

    def __init__(self, plan: Plan) -> None:
        """A run that starts now."""
        self.started = now()
        self.status: Document = {
            "startTime": stamp(self.started),
            "pipelineSpec": plan.pipeline.spec,
            "childReferences": [],
            "skippedTasks": [],
        }
        self.document: Document = {**plan.document, "status": self.status}
        self.condition("Running", "Tasks Completed: 0", None)

    def condition(self, reason: str, message: str, succeeded: bool | None) -> None:
        """Set the condition."""
        self.status["conditions"] = [condition(reason, message, now(), succeeded)]

    def add_child(self, child: Child) -> None:
        """Refer to a TaskRun, once."""
        reference = {
            "apiVersion": API_VERSION,
            "kind": "TaskRun",
            "name": child.name,
            "pipelineTaskName": child.task.name,
        }
        if child.task.when:
            reference["whenExpressions"] = when(child.task)
        if reference not in self.status["childReferences"]:
            self.status["childReferences"].append(reference)

    def add_skipped(self, task: PipelineTask, reason: Skip) -> None:
        """Say that a Task was skipped, and why."""
        found: dict[str, Any] = {"name": task.name, "reason": reason.value}
        if task.when:
            found["whenExpressions"] = when(task)
        self.status["skippedTasks"].append(found)

    def end(self, reason: str, message: str, succeeded: bool, results: Mapping[str, Value]) -> None:
        """The run is over."""
        self.condition(reason, message, succeeded)
        self.status["completionTime"] = stamp(now())
        if results:
            self.status["results"] = named_results(results, with_type=False)


def when(task: PipelineTask) -> Any:  # JSON
    """The guards of a Task as they stand in its Pipeline."""
    return [{"input": guard.input, "operator": guard.operator, "values": list(guard.values)} for guard in task.when]
