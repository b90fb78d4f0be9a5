"""Runs on a cluster: start, once for each key, refuse, list, watch."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nearedge.api.cluster.resources import PIPELINE_RUNS
from tests.cluster.apis import ClusterCore
from tests.cluster.ground import Ground, manages


def test_a_run_is_started_and_ends(api: ClusterCore, ground: Ground) -> None:
    """The PipelineRun carries labels and owner; status of Tasks and steps, results, logs come back."""
    answer = api.start(params={"who": "you"}, labels={"team": "edge"})
    assert answer.status_code == 201, answer.text
    name = answer.json()["name"]
    assert answer.headers["Location"].endswith(f"/runs/{name}")
    document = ground.get(PIPELINE_RUNS, name)
    labels = document["metadata"]["labels"]
    assert (labels["team"], labels["app.kubernetes.io/managed-by"]) == ("edge", "nearedge")
    assert any(text.startswith("system:serviceaccount:") for text in document["metadata"]["annotations"].values())
    run = api.ended(name)
    assert (run["state"], run["reason"]) == ("Succeeded", "Completed"), run
    assert run["results"] == {"greeting": "hello you"}
    tasks = {task["name"]: task for task in run["tasks"]}
    assert {name: task["state"] for name, task in tasks.items()} == {
        "say": "Succeeded", "again": "Succeeded", "never": "Skipped"
    }  # fmt: skip
    step = tasks["say"]["steps"][0]
    assert (step["name"], step["state"], step["exit_code"]) == ("print", "Succeeded", 0)
    assert tasks["say"]["results"] == {"said": "hello you"}
    assert set(api.lines(name)) == {("say", "print", "hello you"), ("again", "print", "again hello you")}


def test_pipelines_and_tasks_are_those_of_the_cluster(called: ClusterCore) -> None:
    """With their params and versions."""
    found = called.get("/pipelines/greet")
    assert (found["version"], [param["name"] for param in found["params"]]) == ("0.3", ["who", "tone", "more"])
    assert called.get("/tasks/say")["results"] == {"said": "What was printed."}


def test_a_key_is_one_run(api: ClusterCore, ground: Ground) -> None:
    """However often, and however many at once, it is sent; with another content it is a conflict."""
    key = {"Idempotency-Key": f"{api.engine.reach.as_caller}-key"}

    def start(_: int) -> Any:
        return api.start(headers=key, params={"who": "once"})

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(start, range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201], [one.text for one in answers]
    assert len({answer.json()["name"] for answer in answers}) == 1
    again = start(0)
    assert (again.status_code, again.json()["name"]) == (200, answers[0].json()["name"])
    other = api.start(headers=key, params={"who": "another"})
    assert other.status_code == 409, other.text
    assert api.start(params={"who": "once"}, headers={"Idempotency-Key": f"{key} again"}).status_code == 201
    assert len(ground.items(PIPELINE_RUNS)) >= 2


def test_keys_of_two_callers_have_nothing_to_do_with_each_other(called: ClusterCore, ground: Ground) -> None:
    """Each has a run of their own."""
    key = {"Idempotency-Key": "mine"}
    first = called.start(headers=key)
    second = called.of(ground.user(manages())).start(headers=key)
    assert (first.status_code, second.status_code) == (201, 201), second.text
    assert first.json()["name"] != second.json()["name"]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"params": {}}, "who"),
        ({"params": {"who": "a", "whom": "b"}}, "whom"),
        ({"params": {"who": ["a"]}}, "type"),
        ({"params": {"who": "a", "more": "b"}}, "type"),
        ({"pipeline": "none"}, "none"),
        ({"workspaces": {"none": "emptyDir"}}, "none"),
        ({"labels": {"tekton.dev/pipeline": "x"}}, "tekton.dev"),
        ({"name": "Not A Name"}, "name"),
    ],
)
def test_what_does_not_fit_leaves_nothing_behind(
    called: ClusterCore, ground: Ground, wanted: dict[str, Any], told: str
) -> None:
    """Params are held against the Pipeline's own declaration before anything is created."""
    before = {one["metadata"]["name"] for one in ground.items(PIPELINE_RUNS)}
    answer = called.start(**wanted)
    assert answer.status_code in (400, 404, 422), answer.text
    assert told in answer.text
    assert {one["metadata"]["name"] for one in ground.items(PIPELINE_RUNS)} <= before


def test_the_same_content_gives_an_earlier_run_back(called: ClusterCore) -> None:
    """Where it is asked for, and only where that ended well."""
    first = called.ended(called.start(params={"who": "reuse"}).json()["name"])

    def again() -> Any:
        return called.start(params={"who": "reuse", "tone": "kind"}, reuse=True)

    found = again()
    assert (found.status_code, found.json()["name"], found.json()["reused"]) == (200, first["name"], True), found.text
    assert called.start(params={"who": "reuse!"}, reuse=True).status_code == 201


def test_runs_are_listed_filtered_and_paged(called: ClusterCore) -> None:
    """The newest first; pages hold each once."""
    labels = {"group": "listed"}
    names = [called.start(params={"who": str(one)}, labels=labels).json()["name"] for one in range(5)]
    for name in names:
        called.ended(name)
    found, after = [], ""
    while True:
        page = called.get(f"/runs?label=group=listed&limit=2{after}")
        found += [run["name"] for run in page["items"]]
        if not page.get("next"):
            break
        after = f"&after={page['next']}"
    assert sorted(found) == sorted(names)
    assert called.get("/runs?label=group=listed&state=Failed")["items"] == []
    assert len(called.get("/runs?label=group=listed&pipeline=greet&state=Succeeded")["items"]) == 5
    times = [run["started"] for run in called.get("/runs?label=group=listed")["items"]]
    assert times == sorted(times, reverse=True)


def test_who_watches_sees_changes_and_goes_on_where_it_was(called: ClusterCore) -> None:
    """Server-sent events; with Last-Event-ID nothing is lost in between."""
    with called.watched() as changes:
        name = called.start(params={"who": "watch"}).json()["name"]
        number = next(number for run, _, number in changes if run == name)
    called.ended(name)
    assert called.ask("DELETE", f"/runs/{name}").status_code == 204
    with called.watched(number) as changes:
        assert next(state for run, state, _ in changes if run == name and state == "deleted")


def test_the_events_of_a_run_end_with_it(api: ClusterCore) -> None:
    """The whole run whenever a Task or a step changed, and at last how it ended."""
    name = api.start("hold", params={"seconds": "0"}).json()["name"]
    found = list(api.events(f"/runs/{name}/events"))
    assert (found[-1][0], found[-1][1]) == ("end", {"state": "Succeeded"})
    last = next(data for kind, data, _ in reversed(found) if kind == "run")
    assert [step["state"] for task in last["tasks"] for step in task["steps"]] == ["Succeeded"] * 3
