"""The documents a run leaves behind, in the shape of Tekton's PipelineRun and TaskRun."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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


@dataclass(frozen=True)
class Child:
    """One TaskRun of a run."""

    label: str
    name: str
    task: PipelineTask
    params: dict[str, Value]
    folders: Mapping[str, str]
    uid: str


def taskrun(child: Child, plan: Plan, outcomes: Sequence[Outcome]) -> Document:
    """A TaskRun's document; the last of `outcomes` is the current attempt."""
    annotations = {"nearedge/duration-seconds": f"{outcomes[-1].duration_s:.3f}"}
    annotations |= {f"nearedge/sidecar-{name}": backend for name, backend in outcomes[-1].sidecars}
    annotations |= {f"nearedge/workspace-{name}": path for name, path in child.folders.items()}
    status = attempt(outcomes[-1])
    if len(outcomes) > 1:
        status["retriesStatus"] = [attempt(outcome) for outcome in outcomes[:-1]]
    status["taskSpec"] = child.task.task.spec
    spec: Document = {
        "params": named_results(child.params, with_type=False),
        "retries": child.task.retries,
        "workspaces": [{"name": name, "emptyDir": {}} for name in child.folders],
    }
    if child.task.timeout_s is not None:
        spec["timeout"] = go(child.task.timeout_s)
    if child.task.embedded:
        spec["taskSpec"] = child.task.task.spec
    else:
        spec["taskRef"] = {"kind": "Task", "name": child.task.task.name}
    return {
        "apiVersion": API_VERSION,
        "kind": "TaskRun",
        "metadata": {
            "name": child.name,
            "uid": child.uid,
            "labels": {
                "tekton.dev/pipeline": plan.pipeline.name,
                "tekton.dev/pipelineRun": plan.name,
                "tekton.dev/pipelineTask": child.task.name,
            },
            "annotations": annotations,
        },
        "spec": spec,
        "status": status,
    }


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


def when(task: PipelineTask) -> Any:  # noqa: ANN401  (JSON)
    """The guards of a Task as they stand in its Pipeline."""
    return [{"input": guard.input, "operator": guard.operator, "values": list(guard.values)} for guard in task.when]
