"""Documents as Tekton's controllers write them (tekton.dev/v1, pkg/reconciler, pkg/pod/status.go)."""

from collections.abc import Mapping, Sequence
from typing import Any

from nearedge.api.cluster.resources import Object
from nearedge.runner.conditions import State
from nearedge.runner.model import PipelineTask
from nearedge.runner.parse import type_of
from nearedge.runner.substitution import Value
from tests.cluster_world import documents
from tests.cluster_world.pods import Pod

GROUP = "tekton.dev/v1"
MANAGED = {"app.kubernetes.io/managed-by": "tekton-pipelines"}
CANCELLED = "TaskRun cancelled as the PipelineRun it belongs to has been cancelled."


def succeeded(status: bool | None, reason: str, message: str) -> list[Object]:
    """The one condition."""
    return [documents.condition("Succeeded", status, reason, message)]


def as_params(values: Mapping[str, Value]) -> list[Object]:
    """`[{name, value}]`."""
    return [{"name": name, "value": value} for name, value in values.items()]


def typed(values: Mapping[str, Value]) -> list[Object]:
    """Results of a TaskRun."""
    return [{"name": name, "type": type_of(value), "value": value} for name, value in values.items()]


def labels(run: Object, task: PipelineTask, member: str) -> dict[str, str]:
    """Of a TaskRun and its Pod: the PipelineRun's own go down to both."""
    metadata = run["metadata"]
    return {
        **(metadata.get("labels") or {}), **MANAGED,
        "tekton.dev/memberOf": member, "tekton.dev/pipelineRun": metadata["name"],
        "tekton.dev/pipelineRunUID": metadata["uid"], "tekton.dev/pipelineTask": task.name,
    }  # fmt: skip


def task_run(run: Object, task: PipelineTask, name: str, params: Mapping[str, Value], member: str) -> Object:
    """A TaskRun as the PipelineRun's controller creates it."""
    named = {} if task.embedded else {"tekton.dev/task": task.task.name}
    which: Object = (
        {"taskSpec": task.task.spec} if task.embedded else {"taskRef": {"kind": "Task", "name": task.task.name}}
    )
    account = (run["spec"].get("taskRunTemplate") or {}).get("serviceAccountName", "default")
    return {
        "apiVersion": GROUP, "kind": "TaskRun",
        "metadata": {
            "name": name, "namespace": run["metadata"]["namespace"], "ownerReferences": [documents.owner(run)],
            "labels": labels(run, task, member) | named,
        },
        "spec": {"params": as_params(params), "serviceAccountName": account, "timeout": "1h0m0s", **which},
    }  # fmt: skip


def pod(task_run: Object, name: str, containers: Sequence[Object]) -> Object:
    """The Pod of a TaskRun."""
    metadata = task_run["metadata"]
    own = {"tekton.dev/taskRun": metadata["name"], "tekton.dev/taskRunUID": metadata["uid"]}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": metadata["namespace"], "ownerReferences": [documents.owner(task_run)],
            "labels": metadata["labels"] | own,
        },
        "spec": {
            "restartPolicy": "Never", "serviceAccountName": task_run["spec"]["serviceAccountName"],
            "containers": list(containers),
        },
    }  # fmt: skip


def steps(pod: Pod, skipped: Sequence[str] = ()) -> list[Object]:
    """`status.steps`; as in Tekton each is running from the pod's start, whichever's turn it is, none before that."""
    found = []
    for container in pod.containers if pod.started else ():
        state = dict(pod.states[container["name"]])
        one = {"container": container["name"], "name": container["name"].removeprefix("step-"), **state}
        if "terminated" in state:
            fate = "Skipped" if container["name"] in skipped else state["terminated"]["reason"]
            one["terminationReason"] = fate
        found.append(one)
    return found


def cut_off(pod: Pod, reason: str, message: str) -> list[Object]:
    """`status.steps` of a TaskRun that was ended from outside: what was not over counts as terminated with 1."""
    found = steps(pod)
    for one in found:
        began = one.pop("running", {}).get("startedAt")
        waited = one.pop("waiting", None)
        if began or waited is not None:
            begun = {"startedAt": began} if began else {}
            one["terminated"] = {
                "exitCode": 1, "reason": reason, "finishedAt": documents.now(), "message": message, **begun
            }  # fmt: skip
    return found


def child_reference(task_run: Object, task: PipelineTask) -> Object:
    """One of `status.childReferences`."""
    found: Object = {"apiVersion": GROUP, "kind": "TaskRun", "name": task_run["metadata"]["name"]}
    found["pipelineTaskName"] = task.name
    if task.when:
        found["whenExpressions"] = [
            {"input": one.input, "operator": one.operator, "values": list(one.values)} for one in task.when
        ]
    return found


def tally(states: Mapping[str, State], *, over: bool) -> str:
    """The message of the condition: how many Tasks came how far."""
    count = {state: sum(1 for found in states.values() if found is state) for state in State}
    done = count[State.SUCCEEDED] + count[State.FAILED] + count[State.CANCELLED]
    left = count[State.WAITING] + count[State.RUNNING]
    middle = "" if over else f"Incomplete: {left}, "
    return (
        f"Tasks Completed: {done} (Failed: {count[State.FAILED]}, Cancelled {count[State.CANCELLED]}), "
        f"{middle}Skipped: {count[State.SKIPPED]}"
    )


def results(values: Mapping[str, Any]) -> list[Object]:
    """`status.results` of a PipelineRun."""
    return as_params(values)
