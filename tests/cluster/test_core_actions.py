"""What happens to runs on a cluster: logs, failures, cancel, retry, delete."""

from nearedge.api.cluster.resources import PODS, TASK_RUNS
from tests.cluster.apis import ClusterCore
from tests.cluster.ground import Ground


def test_a_log_is_followed_while_it_is_written_and_read_after(api: ClusterCore) -> None:
    """The first line comes while the run goes on."""
    name = api.start("hold", params={"seconds": "2"}).json()["name"]
    lines, states = [], []
    for kind, data, _ in api.events(f"/runs/{name}/logs?follow=true"):
        if kind == "line":
            lines.append((data["task"], data["step"], data["text"]))
            states.append(api.get(f"/runs/{name}")["state"])
    wanted = [
        ("wait", "first", "begin"), ("wait", "first", "end"), ("wait", "second", "second"),
        ("tidy", "print", "tidied after Succeeded"),
    ]  # fmt: skip
    assert lines == wanted
    assert states[0] == "Running"
    assert api.ended(name)["state"] == "Succeeded"
    assert api.lines(name) == wanted
    assert api.lines(name, task="wait", step="second") == wanted[2:3]
    assert api.lines(name, tail=2) == wanted[2:]


def test_cancel_stops_a_run_and_finally_runs(api: ClusterCore) -> None:
    """As the cluster does it: the Task is cancelled, `finally` runs, and again is a conflict."""
    name = api.start("hold", params={"seconds": "600"}).json()["name"]
    followed = api.events(f"/runs/{name}/logs?follow=true")
    assert next(data["text"] for kind, data, _ in followed if kind == "line") == "begin"
    followed.close()
    assert api.ask("DELETE", f"/runs/{name}").status_code == 409
    assert api.ask("POST", f"/runs/{name}/retry").status_code == 409
    assert api.ask("POST", f"/runs/{name}/cancel").status_code == 202
    run = api.ended(name)
    tasks = {task["name"]: task for task in run["tasks"]}
    assert (run["state"], tasks["wait"]["state"], tasks["tidy"]["state"]) == ("Cancelled", "Cancelled", "Succeeded"), (
        run
    )
    assert ("tidy", "print", "tidied after Failed") in api.lines(name)
    assert api.ask("POST", f"/runs/{name}/cancel").status_code == 409


def test_a_failure_is_shown_where_it_happened_and_can_be_tried_again(api: ClusterCore) -> None:
    """Step, exit code, what was skipped; a retry is another run."""
    run = api.ended(api.start("break", params={}).json()["name"])
    tasks = {task["name"]: task for task in run["tasks"]}
    assert (run["state"], tasks["bad"]["state"], tasks["tidy"]["state"]) == ("Failed", "Failed", "Succeeded"), run
    assert tasks["later"]["state"] == "Skipped"
    assert '"step-worse" exited with code 3' in tasks["bad"]["message"]
    steps = {step["name"]: (step["state"], step["exit_code"]) for step in tasks["bad"]["steps"]}
    assert (steps["well"], steps["worse"]) == (("Succeeded", 0), ("Failed", 3))
    assert steps["none"][0] != "Succeeded"
    assert ("bad", "worse", "worse") in api.lines(run["name"])
    again = api.ask("POST", f"/runs/{run['name']}/retry")
    assert again.status_code == 202, again.text
    assert api.ended(again.json()["name"])["state"] == "Failed"


def test_each_combination_of_a_matrix_is_a_task_run(called: ClusterCore) -> None:
    """With a name and a log of its own."""
    run = called.ended(called.start("each", params={"words": ["a", "b"]}).json()["name"])
    assert [(task["name"], task["state"]) for task in run["tasks"]] == [("say.0", "Succeeded"), ("say.1", "Succeeded")]
    assert sorted(called.lines(run["name"])) == [("say.0", "print", "a"), ("say.1", "print", "b")]


def test_an_image_that_cannot_be_pulled_is_the_reason(called: ClusterCore) -> None:
    """In the cluster's words."""
    run = called.ended(called.start("absent", params={}).json()["name"])
    task = run["tasks"][0]
    assert (run["state"], task["state"], task["reason"]) == ("Failed", "Failed", "TaskRunImagePullFailed"), run
    assert "registry.invalid/none:1" in task["message"]


def test_a_pod_that_fits_no_node_is_the_reason(called: ClusterCore) -> None:
    """While it waits; a cancel ends it."""
    name = called.start("huge", params={}).json()["name"]
    called.until_run(name, lambda run: any("Insufficient cpu" in one["message"] for one in run["tasks"]))
    assert called.ask("POST", f"/runs/{name}/cancel").status_code == 202
    assert called.ended(name)["state"] == "Cancelled"


def test_a_run_that_ended_is_deleted_with_its_pods(called: ClusterCore, ground: Ground) -> None:
    """Nothing of it is left."""
    name = called.ended(called.start().json()["name"])["name"]
    assert ground.items(TASK_RUNS, f"tekton.dev/pipelineRun={name}")
    assert called.ask("DELETE", f"/runs/{name}").status_code == 204
    assert called.ask("GET", f"/runs/{name}").status_code == 404
    for api in (TASK_RUNS, PODS):
        ground.until(lambda api=api: not ground.items(api, f"tekton.dev/pipelineRun={name}"))
