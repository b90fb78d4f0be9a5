"""Lists: filters, parts, ten thousand runs; the catalog."""

import json
import os
import time

import psutil
import pytest

from nearedge.api.core.local_engine import LocalEngine
from nearedge.api.core.run_index import RunIndex, key
from tests import core_api

MANY = 10_000
MOST_MIB = 64
"""The index of so many runs, with what Python takes besides."""


def fabricate(root, name, *, started, reason="Succeeded", status="True", pipeline="greet", labels=None):
    """A run's folder as the runner leaves it."""
    folder = root / name
    folder.mkdir(parents=True)
    document = {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"pipelineRef": {"name": pipeline}, "params": [{"name": "who", "value": "x"}]},
        "status": {
            "startTime": started, "completionTime": started, "pipelineSpec": {"tasks": []}, "childReferences": [],
            "conditions": [{"type": "Succeeded", "status": status, "reason": reason, "message": "Tasks Completed: 1"}],
        },
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(document))
    return folder


def moment(number):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_790_000_000 + number))


@pytest.fixture(scope="module")
def listed(tmp_path_factory, small_catalog):
    """A server with seven runs."""
    home = tmp_path_factory.mktemp("listed")
    for number in range(6):
        fabricate(
            home / "runs", f"run-{number}", started=moment(number // 2), labels={"even": str(number % 2 == 0)},
            status="False" if number == 3 else "True", reason="Failed" if number == 3 else "Succeeded",
        )  # fmt: skip
    fabricate(home / "runs", "lost", started=moment(9), status="Unknown", reason="Running", pipeline="hold")
    (home / "runs" / "damaged").mkdir()
    (home / "runs" / "damaged" / "run.json").write_text('{"status": ')
    (home / "runs" / "foreign").mkdir()
    (home / "runs" / "foreign" / "run.json").write_text('{"status": {}}')
    with core_api.serving(home, small_catalog) as core:
        yield core


ORDER = ["lost", "run-4", "run-5", "run-2", "run-3", "run-0", "run-1"]


def test_the_newest_come_first_in_parts_that_fit_together(listed):
    found, after = [], None
    while True:
        page = listed.get("/runs", params={"limit": 3} | ({"after": after} if after else {}))
        found += [run["name"] for run in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert found == ORDER


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"state": "Failed"}, ["run-3"]),
        ({"state": "Lost"}, ["lost"]),
        ({"pipeline": "hold"}, ["lost"]),
        ({"label": "even=True"}, ["run-4", "run-2", "run-0"]),
        ({"label": ["even=True", "other=1"]}, []),
        ({"state": "Succeeded", "label": "even=False"}, ["run-5", "run-1"]),
    ],
)
def test_filters(listed, query, names):
    assert [run["name"] for run in listed.get("/runs", params=query)["items"]] == names


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"state": "Sleeping"}, 422), ({"limit": 0}, 422), ({"limit": 501}, 422), ({"after": "!"}, 400),
        ({"label": "x"}, 422), ({"after": "x" * 2000}, 422),
    ],
)  # fmt: skip
def test_wrong_queries(listed, query, status):
    answer = listed.ask("GET", "/runs", params=query)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_ten_thousand_runs_in_bounded_memory(tmp_path):
    for number in range(MANY):
        fabricate(tmp_path / "runs", f"run-{number:05}", started=moment(number))
    process = psutil.Process()
    before = process.memory_info().rss
    index = RunIndex(tmp_path / "runs")
    index.look()
    for _ in range(5):
        index.look(now=True)
    assert len(index.newest_first()) == MANY
    assert [run.name for run in index.newest_first()[:2]] == ["run-09999", "run-09998"]
    grown = (process.memory_info().rss - before) / 2**20
    assert grown < MOST_MIB
    reads = []
    index.read = lambda name: reads.append(name)
    time.sleep(0.15)
    index.look(now=True)
    assert reads == []  # nothing changed, so no document is read again


def test_what_changed_is_read_again_and_what_went_is_gone(tmp_path):
    folder = fabricate(tmp_path / "runs", "one", started=moment(0))
    index = RunIndex(tmp_path / "runs")
    index.look()
    start = index.place("")
    fabricate(tmp_path / "other", "one", started=moment(0), status="False", reason="Failed")
    (tmp_path / "other" / "one" / "run.json").replace(folder / "run.json")
    index.look(now=True)
    (change,) = index.behind(start)
    assert (change.kind, change.run.state) == ("changed", "Failed")
    (folder / "run.json").unlink()
    folder.rmdir()
    index.look(now=True)
    (gone,) = index.behind(int(change.number))
    assert (gone.kind, gone.run.name) == ("deleted", "one")
    assert index.behind(int(gone.number)) == []
    assert index.newest_first() == []
    assert index.refresh("one") is None


def test_runs_that_have_not_begun_stand_before_all(tmp_path):
    fabricate(tmp_path / "runs", "old", started=moment(0))
    index = RunIndex(tmp_path / "runs")
    index.look()
    begun = index.newest_first()[0]
    assert key(begun.model_copy(update={"started": None})) < key(begun)


def test_no_folder_is_no_run(tmp_path):
    index = RunIndex(tmp_path / "absent")
    index.look()
    assert index.newest_first() == []


def test_the_catalog(core):
    pipelines = core.get("/pipelines")["items"]
    assert [one["name"] for one in pipelines] == ["greet", "hold"]
    greet = core.get("/pipelines/greet")
    assert greet == pipelines[0]
    assert (greet["kind"], greet["version"], greet["title"]) == ("Pipeline", "0.3", "Greet")
    assert greet["tasks"] == ["say", "never"]
    assert greet["results"] == {"greeting": "The greeting."}
    params = {one["name"]: one for one in greet["params"]}
    assert params["who"]["default"] is None
    assert params["tone"]["enum"] == ["kind", "stern"]
    assert (params["more"]["type"], params["more"]["default"]) == ("array", [])
    assert params["marks"] == {
        "name": "marks", "type": "object", "description": "Signs.", "default": {"end": "!"}, "enum": [],
    }  # fmt: skip
    assert greet["workspaces"] == [{"name": "source", "description": "Read only.", "optional": True}]
    assert core.get("/tasks/say")["kind"] == "Task"
    assert [one["name"] for one in core.get("/tasks")["items"]] == ["say"]
    assert core.get("/pipelines", params={"limit": 1})["next"]


@pytest.mark.parametrize("path", ["/pipelines/absent", "/tasks/greet", "/pipelines/..", "/tasks/%2e%2e%2f"])
def test_there_is_none_of_that_name(core, path):
    assert core.ask("GET", path).status_code == 404


def test_a_changed_manifest_is_read_again_and_a_damaged_one_told(tmp_path):
    catalog = core_api.write_catalog(tmp_path / "catalog")
    with core_api.serving(tmp_path / "home", catalog) as core:
        assert core.get("/tasks/say")["description"] == "Prints."
        assert core_api.requests.get(f"{core.url}/readyz", timeout=30).json() == {
            "status": "ok", "sources": {"runs": "ok", "catalog": "ok"},
        }  # fmt: skip
        path = catalog / "tasks" / "say" / "say.yaml"
        path.write_text(path.read_text().replace("Prints.", "Prints it."))
        os.utime(path, ns=(1, 1))
        assert core.get("/tasks/say")["description"] == "Prints it."
        path.write_text("{")
        assert core.ask("GET", "/tasks").status_code == 422
        answer = core_api.requests.get(f"{core.url}/readyz", timeout=30)
        assert (answer.status_code, answer.json()["status"]) == (503, "degraded")


def test_the_shipped_catalog_is_the_default(tmp_path):
    engine = LocalEngine(tmp_path)
    names = {one.name for one in engine.declarations.every() if one.kind == "Pipeline"}
    assert {"model-to-edge", "mirror-offline"} <= names
    assert engine.starts.files("model-to-edge") == ()
