"""Documents as Tekton v1 writes them, read into Tasks and steps."""

import pytest

from nearedge.api.core.tekton import summaries, task_statuses

BEGUN, DONE = "2026-11-24T01:00:00Z", "2026-11-24T01:02:00Z"
SPEC = {"tasks": [{"name": "fetch"}, {"name": "build"}], "finally": [{"name": "clean"}]}


def run(condition=("Unknown", "Running"), references=(), skipped=(), spec=SPEC):
    status = {"pipelineSpec": spec, "childReferences": list(references), "skippedTasks": list(skipped)}
    if condition is not None:
        status["conditions"] = [of(*condition), {"type": "Other", "status": "True"}]
    return {"metadata": {"name": "r"}, "spec": {}, "status": status}


def of(status, reason, message=""):
    return {"type": "Succeeded", "status": status, "reason": reason, "message": message}


def child(task, name=""):
    return {"kind": "TaskRun", "name": name or f"r-{task}", "pipelineTaskName": task}


def taskrun(name, condition, steps=(), **more):
    status = {"conditions": [of(*condition)], "podName": f"{name}-pod", "steps": list(steps), **more}
    return {"metadata": {"name": name}, "status": status}


def step(name, **state):
    return {"name": name, "container": f"step-{name}", **state}


RUNNING = {"running": {"startedAt": BEGUN}}


def ended(code, reason="Completed", **more):
    return {"terminated": {"exitCode": code, "startedAt": BEGUN, "finishedAt": DONE, "reason": reason}, **more}


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        (None, "Pending"), (("Unknown", "PipelineRunPending"), "Pending"), (("Unknown", "Started"), "Running"),
        (("Unknown", "CancelledRunningFinally"), "Running"), (("True", "Completed"), "Succeeded"),
        (("False", "Failed"), "Failed"), (("False", "PipelineRunTimeout"), "Failed"),
        (("False", "CouldntGetTask"), "Failed"), (("False", "Cancelled"), "Cancelled"),
        (("False", "CancelledRunFinally"), "Cancelled"),
    ],
)  # fmt: skip
def test_states_of_a_run(condition, state):
    assert summaries.summary(run(condition)).state == state


def test_tasks_that_have_not_begun_wait_or_never_will():
    skipped = [{"name": "build", "reason": "When Expressions evaluated to false"}]
    found = task_statuses.statuses(run(skipped=skipped), [], {})
    assert [(one.name, one.state, one.reason) for one in found] == [
        ("fetch", "Pending", ""), ("build", "Skipped", "When Expressions evaluated to false"), ("clean", "Pending", ""),
    ]  # fmt: skip
    over = task_statuses.statuses(run(("False", "Failed")), [], {})
    assert {one.state for one in over} == {"Skipped"}


def test_steps_run_one_behind_the_other_whatever_their_containers_do():
    item = taskrun(
        "r-fetch", ("Unknown", "Running"), [step("a", **ended(0)), step("b", **RUNNING), step("c", **RUNNING)]
    )
    (found, *_) = task_statuses.statuses(run(references=[child("fetch")]), [item], {})
    assert [(one.name, one.state, one.exit_code, one.started) for one in found.steps] == [
        ("a", "Succeeded", 0, BEGUN), ("b", "Running", None, BEGUN), ("c", "Pending", None, None),
    ]  # fmt: skip


def test_steps_behind_one_that_failed_and_of_a_task_that_was_cancelled():
    failed = taskrun(
        "r-fetch", ("False", "Failed", "step-a exited with code 2"),
        [step("a", **ended(2, "Error")), step("b", **ended(1, "Error", terminationReason="Skipped"))],
    )  # fmt: skip
    cancelled = taskrun("r-build", ("False", "TaskRunCancelled"), [step("a", **RUNNING)])
    document = run(("False", "Failed"), [child("fetch"), child("build")])
    one, two, _ = task_statuses.statuses(document, [failed, cancelled], {})
    assert [(each.state, each.exit_code) for each in one.steps] == [("Failed", 2), ("Cancelled", 1)]
    assert one.message == "step-a exited with code 2"
    assert (two.state, [each.state for each in two.steps]) == ("Cancelled", ["Cancelled"])


def test_combinations_of_a_matrix_by_their_number():
    spec = {"tasks": [{"name": "fetch", "matrix": {}}]}
    names = [f"r-fetch-{number}" for number in (10, 2, 0)]
    document = run(references=[child("fetch", name) for name in names], spec=spec)
    items = [taskrun(name, ("True", "Succeeded"), results=[{"name": "n", "value": name}]) for name in names]
    found = task_statuses.statuses(document, items, {})
    assert [(one.name, one.results["n"]) for one in found] == [
        ("fetch.0", "r-fetch-0"), ("fetch.1", "r-fetch-2"), ("fetch.2", "r-fetch-10"),
    ]  # fmt: skip


WAITS = {"waiting": {"reason": "PodInitializing"}}
NO_NODE = {"conditions": [
    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}
]}  # fmt: skip
NO_IMAGE = {"containerStatuses": [
    {"name": "step-a", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image x"}}}
]}  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "steps", "pod", "reason", "message"),
    [
        (("Unknown", "Pending", "Pending"), [step("a", **WAITS)], NO_NODE,
         "Unschedulable", "its pod has no node: 0/3 nodes are available"),
        (("Unknown", "ExceededNodeResources", "TaskRun Pod exceeded available resources"), [], NO_NODE, "Unschedulable",
         "TaskRun Pod exceeded available resources; its pod has no node: 0/3 nodes are available"),
        (("Unknown", "Pending", "Pending"), [step("a", **WAITS)], NO_IMAGE,
         "ImagePullBackOff", "step-a: ImagePullBackOff: Back-off pulling image x"),
        (("Unknown", "Pending", "Pending"), [step("a", waiting={"reason": "ErrImagePull", "message": "denied"})], None,
         "ErrImagePull", "step-a: ErrImagePull: denied"),
        (("Unknown", "Pending", "Pending"), [step("a", **WAITS)], {}, "Pending", "Pending"),
        (("Unknown", "ExceededResourceQuota", "exceeded quota: pods"), [], None,
         "ExceededResourceQuota", "exceeded quota: pods"),
    ],
)  # fmt: skip
def test_why_a_task_has_not_begun(condition, steps, pod, reason, message):
    item = taskrun("r-fetch", condition, steps)
    pods = {} if pod is None else {"r-fetch-pod": {"metadata": {"name": "r-fetch-pod"}, "status": pod}}
    (found, *_) = task_statuses.statuses(run(references=[child("fetch")]), [item], pods)
    assert (found.state, found.reason, found.message) == ("Pending", reason, message)


def test_a_taskrun_that_tekton_has_not_looked_at_yet():
    item = {"metadata": {"name": "r-fetch"}}
    (found, *_) = task_statuses.statuses(run(references=[child("fetch")]), [item], {})
    assert (found.state, found.steps) == ("Pending", [])


def test_the_same_document_is_kept_once():
    item = {"metadata": {"name": "r", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}}, "spec": {}}
    kept = summaries.kept(item)
    assert summaries.kept(dict(item)) is kept
    assert summaries.kept({**item, "metadata": {**item["metadata"], "resourceVersion": "8"}}) is not kept
