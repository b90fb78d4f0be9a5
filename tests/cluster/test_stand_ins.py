"""What the APIs count on of Tekton and Kubernetes: their own words and orders, whoever is at work in this cluster.

On a real cluster this shows that; else that the stand-ins do as the real ones are known to.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nearedge.api.cluster.resources import DEPLOYMENTS, PIPELINE_RUNS, PODS, REPLICA_SETS, TASK_RUNS, Object
from tests.cluster.ground import IMAGE, REAL, Ground
from tests.cluster.models import deployed, deployment

SCHEMAS = Path(__file__).parents[1] / "contract" / "tekton"


def started(ground: Ground, pipeline: str | Object, params: dict[str, Any] | None = None, **spec: Any) -> str:
    """The name of a new PipelineRun."""
    which = {"pipelineRef": {"name": pipeline}} if isinstance(pipeline, str) else {"pipelineSpec": pipeline}
    given = [{"name": name, "value": value} for name, value in (params or {}).items()]
    body: Object = {
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"generateName": "known-"},
        "spec": {**which, "params": given, **spec},
    }  # fmt: skip
    return str(ground.create(PIPELINE_RUNS, body)["metadata"]["name"])


def condition(document: Object) -> Object:
    """Its only one; nothing where it has none yet."""
    found: list[Object] = (document.get("status") or {}).get("conditions") or [{}]
    return found[0]


def ended(ground: Ground, name: str) -> Object:
    """The PipelineRun once it has ended."""

    def look() -> Object | None:
        found = ground.get(PIPELINE_RUNS, name)
        return found if condition(found).get("status") in ("True", "False") else None

    found: Object = ground.until(look)
    return found


def tasks(ground: Ground, run: str) -> dict[str, Object]:
    """The TaskRuns of a run, by the Pipeline's Tasks."""
    found = ground.items(TASK_RUNS, f"tekton.dev/pipelineRun={run}")
    return {one["metadata"]["labels"]["tekton.dev/pipelineTask"]: one for one in found}


def running(ground: Ground, run: str, task: str) -> Object:
    """The TaskRun of a Task once its steps run."""
    return ground.until(lambda: (
        found if (found := tasks(ground, run).get(task)) and condition(found).get("reason") == "Running" else None
    ))  # fmt: skip


def test_documents_hold_against_tektons_schemas(ground: Ground) -> None:
    """Every PipelineRun and TaskRun, of runs that end well, fail, and cannot be run."""
    names = [
        started(ground, "greet", {"who": "a"}), started(ground, "each", {"words": ["a", "b"]}),
        started(ground, "break"), started(ground, "absent"), started(ground, "none"),
    ]  # fmt: skip
    for name in names:
        ended(ground, name)
    for api, kind in ((PIPELINE_RUNS, "PipelineRun"), (TASK_RUNS, "TaskRun")):
        schema = jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{kind}.json").read_text()))
        found = ground.items(api)
        assert len(found) >= len(names) - 1
        for document in found:
            schema.validate({"apiVersion": "tekton.dev/v1", "kind": kind} | document)


def test_cancelled_ends_at_once(ground: Ground) -> None:
    """Without `finally`, and the pod goes."""
    name = started(ground, "hold", {"seconds": "600"})
    pod = running(ground, name, "wait")["status"]["podName"]
    ground.patch(PIPELINE_RUNS, name, {"spec": {"status": "Cancelled"}})
    run = ended(ground, name)
    assert condition(run)["reason"] == "Cancelled"
    assert condition(run)["message"] == f'PipelineRun "{name}" was cancelled'
    found = tasks(ground, name)
    assert list(found) == ["wait"]
    assert condition(found["wait"])["reason"] == "TaskRunCancelled"
    assert {one["terminated"]["reason"] for one in found["wait"]["status"]["steps"]} == {"TaskRunCancelled"}
    ground.until(lambda: pod not in {one["metadata"]["name"] for one in ground.items(PODS)})


def test_stopped_lets_a_task_end_and_starts_no_other(ground: Ground) -> None:
    """But `finally`."""
    step = {"steps": [{"image": IMAGE, "command": ["sh", "-c", "sleep 2"], "name": "s"}]}
    spec = {
        "tasks": [{"name": "a", "taskSpec": step}, {"name": "b", "runAfter": ["a"], "taskSpec": step}],
        "finally": [{"name": "c", "taskSpec": step}],
    }
    name = started(ground, spec)
    running(ground, name, "a")
    ground.patch(PIPELINE_RUNS, name, {"spec": {"status": "StoppedRunFinally"}})
    run = ended(ground, name)
    assert condition(run)["reason"] == "Cancelled"
    assert {task: condition(one)["reason"] for task, one in tasks(ground, name).items()} == {
        "a": "Succeeded", "c": "Succeeded"
    }  # fmt: skip
    assert [one["name"] for one in run["status"]["skippedTasks"]] == ["b"]


def test_pending_waits_until_it_may(ground: Ground) -> None:
    """Nothing is created before."""
    name = started(ground, "greet", {"who": "a"}, status="PipelineRunPending")
    ground.until(lambda: condition(ground.get(PIPELINE_RUNS, name)).get("reason") == "PipelineRunPending")
    assert tasks(ground, name) == {}
    ground.patch(PIPELINE_RUNS, name, {"spec": {"status": None}})
    assert condition(ended(ground, name))["reason"] == "Completed"


@pytest.mark.parametrize(
    ("pipeline", "params", "reason"),
    [("none", {}, "CouldntGetPipeline"), ("greet", {}, "ParameterMissing")],
)
def test_what_cannot_be_run_fails_with_its_reason(
    ground: Ground, pipeline: str, params: dict[str, Any], reason: str
) -> None:
    """Before any TaskRun."""
    name = started(ground, pipeline, params)
    assert condition(ended(ground, name))["reason"] == reason
    assert tasks(ground, name) == {}


def test_a_task_is_tried_again(ground: Ground) -> None:
    """As often as its Pipeline says, in a pod of its own each time."""
    shell = {"image": IMAGE, "command": ["sh", "-c", "exit 1"], "name": "s"}
    name = started(ground, {"tasks": [{"name": "a", "retries": 1, "taskSpec": {"steps": [shell]}}]})
    assert condition(ended(ground, name))["reason"] == "Failed"
    status = tasks(ground, name)["a"]["status"]
    pods = {status["podName"], *(one["podName"] for one in status["retriesStatus"])}
    assert (len(status["retriesStatus"]), len(pods)) == (1, 2)


def test_a_deployment_has_a_replica_set_and_that_a_pod(ground: Ground) -> None:
    """With owners, the template's hash, and conditions."""
    deployed(ground, "owned")
    found = ground.until(lambda: (
        one if (one := ground.get(DEPLOYMENTS, "owned")).get("status", {}).get("availableReplicas") == 1 else None
    ))  # fmt: skip
    kinds = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert kinds == {"Available": "True", "Progressing": "True"}
    labels = "app.kubernetes.io/name=owned"
    (replica_set,), (pod,) = ground.items(REPLICA_SETS, labels), ground.items(PODS, labels)
    assert replica_set["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]
    assert pod["metadata"]["ownerReferences"][0]["uid"] == replica_set["metadata"]["uid"]
    assert pod["metadata"]["name"].startswith(f"owned-{pod['metadata']['labels']['pod-template-hash']}-")


@pytest.mark.skipif(REAL, reason="a real kernel decides who runs out of memory")
def test_how_a_container_ends_may_be_told(ground: Ground) -> None:
    """The reason of a container that ends with an error is an annotation's."""
    body = deployment("starved", "exit 137")
    body["spec"]["template"]["metadata"]["annotations"] = {"world/reason": "OOMKilled"}
    ground.create(DEPLOYMENTS, body)

    def last() -> str:
        for pod in ground.items(PODS, "app.kubernetes.io/name=starved"):
            for one in pod.get("status", {}).get("containerStatuses") or ():
                return str(one["lastState"].get("terminated", {}).get("reason", ""))
        return ""

    ground.until(lambda: last() == "OOMKilled")
