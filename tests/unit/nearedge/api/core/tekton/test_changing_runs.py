"""Cancel, retry and delete."""

import pytest

from tests.core_cluster import PODS, RUNS
from tests.unit.nearedge.api.core.tekton.test_started_once import end, runs


def status_of(fake, name):
    return fake.get(f"{RUNS}/{name}")["spec"].get("status")


def test_cancel_stops_what_runs(core, tmp_path):
    name = core.start("hold", name="held", params={"file": str(tmp_path / "never")}).json()["name"]
    assert core.ask("POST", f"/runs/{name}/cancel").status_code == 202
    run = core.ended(name)
    assert (run["state"], run["tasks"][-1]["state"]) in [("Cancelled", "Cancelled"), ("Cancelled", "Skipped")]
    again = core.ask("POST", f"/runs/{name}/cancel")
    assert (again.status_code, again.json()["detail"]) == (
        409, "run held: has ended (Cancelled); there is nothing to cancel",
    )  # fmt: skip


def test_cancel_asked_again_stops_at_once(alone, bare):
    name = alone.start(name="slow").json()["name"]
    wanted = ["CancelledRunFinally", "Cancelled", "Cancelled"]
    for expected in wanted:
        assert alone.ask("POST", f"/runs/{name}/cancel").status_code == 202
        assert status_of(bare, name) == expected


def test_cancel_is_tried_again_where_the_run_changed_meanwhile(alone, bare):
    alone.start(name="busy")
    with bare.faults.answer(409, "patch", "pipelineruns", times=2):
        assert alone.ask("POST", "/runs/busy/cancel").status_code == 202
    assert status_of(bare, "busy") == "CancelledRunFinally"
    with bare.faults.answer(409, "patch", "pipelineruns"):
        assert alone.ask("POST", "/runs/busy/cancel").status_code == 409


def test_cancel_of_what_ends_meanwhile_is_a_conflict(alone, bare):
    """Tekton's webhook refuses a change of a run that has ended."""
    alone.start(name="quick")
    fault = bare.faults.answer(400, "patch", "pipelineruns", times=1)
    end(bare, "quick")
    with fault:
        answer = alone.ask("POST", "/runs/quick/cancel")
    assert (answer.status_code, "has ended (Succeeded)" in answer.json()["detail"]) == (409, True)


def test_retry_is_another_run_of_the_same(alone, bare):
    alone.start(name="broken", labels={"team": "vision"}, workspaces={"source": "claim"})
    end(bare, "broken", "False", "Failed")
    other = alone.who_has(bare.user("bob@example.com", "nearedge-users"))
    answer = other.ask("POST", "/runs/broken/retry")
    assert answer.status_code == 202, answer.text
    again, before = (bare.get(f"{RUNS}/{name}") for name in (answer.json()["name"], "broken"))
    assert again["spec"] == before["spec"]
    assert again["metadata"]["labels"]["nearedge.dev/retry-of"] == "broken"
    assert again["metadata"]["labels"]["team"] == "vision"
    assert again["metadata"]["labels"]["nearedge.dev/owner"].startswith("bob-example.com-")
    assert again["metadata"]["annotations"]["nearedge.dev/owner"] == "bob@example.com"
    content = "nearedge.dev/content-sha256"
    assert again["metadata"]["annotations"][content] == before["metadata"]["annotations"][content]
    assert other.ask("POST", "/runs/broken/retry").json()["name"] == answer.json()["name"]
    assert len(runs(bare)) == 2


def test_a_retry_that_failed_is_itself_retried(alone, bare):
    alone.start(name="broken")
    end(bare, "broken", "False", "PipelineRunTimeout")
    second = alone.ask("POST", "/runs/broken/retry").json()["name"]
    end(bare, second, "False", "Failed")
    answer = alone.ask("POST", "/runs/broken/retry")
    assert (answer.status_code, answer.json()["detail"]) == (
        409, f"run broken: was tried again as {second} (Failed); retry that one",
    )  # fmt: skip
    third = alone.ask("POST", f"/runs/{second}/retry").json()["name"]
    assert third not in ("broken", second)
    assert third.startswith("broken-retry-")


@pytest.mark.parametrize("action", ["retry", "delete"])
def test_what_goes_on_is_left_alone(alone, bare, action):
    alone.start(name="going")
    answer = alone.ask("DELETE", "/runs/going") if action == "delete" else alone.ask("POST", "/runs/going/retry")
    assert (answer.status_code, answer.json()["detail"]) == (409, "run going: goes on (Pending); cancel it first")
    end(bare, "going")
    if action == "retry":
        assert alone.ask("POST", "/runs/going/retry").status_code == 409


def test_delete_takes_taskruns_and_pods_along(core, cluster):
    core.start(name="away")
    core.ended("away")
    mine = "?labelSelector=tekton.dev/pipelineRun=away"
    assert cluster.get(PODS + mine)["items"]
    stale = core.ask("DELETE", "/runs/away", headers={"If-Match": '"older"'})
    assert stale.status_code == 412
    assert core.ask("DELETE", "/runs/away").status_code == 204
    cluster.until(lambda: not cluster.get(PODS + mine)["items"])
    assert core.ask("GET", "/runs/away").status_code == 404
    assert core.ask("DELETE", "/runs/away").status_code == 404


def test_delete_of_what_changed_meanwhile_is_a_conflict(alone, bare):
    alone.start(name="moved")
    end(bare, "moved")
    with bare.faults.answer(409, "delete", "pipelineruns", times=1, message="the object has been modified"):
        answer = alone.ask("DELETE", "/runs/moved")
    assert (answer.status_code, answer.json()["detail"]) == (409, "the cluster says: the object has been modified")
    assert alone.ask("DELETE", "/runs/moved").status_code == 204


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")])
def test_a_run_that_is_not_there(core, method, path):
    answer = core.ask(method, f"/runs/nowhere{path}")
    assert (answer.status_code, answer.json()["detail"]) == (
        404, "run nowhere: there is none; GET /api/v1/runs lists those there are",
    )  # fmt: skip
