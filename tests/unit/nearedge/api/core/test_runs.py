"""Runs over HTTP, each a real one: started, seen, refused, cancelled, tried again, removed."""

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from nearedge.api.core import keys, run_files
from nearedge.runner.store import RunFolder
from tests import core_api


def names(core):
    return {run["name"] for run in core.get("/runs", params={"limit": 500})["items"]}


def test_a_run_from_its_start_to_its_results(core):
    answer = core.start(name="whole", params={"who": "world", "more": ["a", "b,c"], "marks": {"end": "?"}},
                        labels={"team": "vision"})  # fmt: skip
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/api/v1/runs/whole"
    assert answer.json()["state"] in ("Pending", "Running")
    run = core.ended("whole")
    assert (run["state"], run["pipeline"], run["labels"]) == ("Succeeded", "greet", {"team": "vision"})
    assert run["params"] == {"who": "world", "tone": "kind", "more": ["a", "b,c"], "marks": {"end": "?"}}
    assert run["results"] == {"greeting": "hello world?"} == core.get("/runs/whole/results")["results"]
    tasks = {task["name"]: task for task in run["tasks"]}
    assert list(tasks) == ["say", "never"]
    assert [task["state"] for task in tasks.values()] == ["Succeeded", "Skipped"]
    assert tasks["never"]["reason"] == "When Expressions evaluated to false"
    step = tasks["say"]["steps"][0]
    assert (step["name"], step["state"], step["exit_code"]) == ("print", "Succeeded", 0)
    assert step["started"] < step["ended"]
    assert core.ask("GET", "/runs/whole/logs").text == "[say : print]\nhello world?\n"


def test_the_tag_of_a_run_is_known_again(core):
    core.start(name="tagged")
    core.ended("tagged")
    tag = core.ask("GET", "/runs/tagged").headers["etag"]
    assert core.ask("GET", "/runs/tagged", headers={"If-None-Match": tag}).status_code == 304
    refused = core.ask("DELETE", "/runs/tagged", headers={"If-Match": '"other"'})
    assert (refused.status_code, refused.headers["content-type"]) == (412, "application/problem+json")
    assert core.ask("DELETE", "/runs/tagged", headers={"If-Match": tag}).status_code == 204
    assert core.ask("GET", "/runs/tagged").status_code == 404
    assert not (core.home / "runs" / "tagged").exists()


@pytest.mark.parametrize(
    ("wanted", "status", "says"),
    [
        ({"params": {}}, 422, "param who (string) has no default"),
        ({"params": {"who": "x", "whom": "y"}}, 422, "has no param whom"),
        ({"params": {"who": ["x"]}}, 422, "who is of type string, the value given is of type array"),
        ({"params": {"who": "x", "more": "a,b"}}, 422, "more is of type array, the value given is of type string"),
        ({"params": {"who": "x", "marks": ["a"]}}, 422, "marks is of type object"),
        ({"params": {"who": "x", "tone": "loud"}}, 422, "'loud' is none of kind, stern"),
        ({"params": {"who": 1}}, 422, "params"),
        ({"params": {"who": "a\0b"}}, 422, "no NUL"),
        ({"params": {"who": "x" * 200_000}}, 422, "at most 100000 bytes"),
        ({"params": {"who": "x"}, "workspaces": {"source": "relative"}}, 422, "give an absolute path"),
        ({"params": {"who": "x"}, "workspaces": {"source": "/nowhere/at/all"}}, 422, "/nowhere/at is not there"),
        ({"params": {"who": "x"}, "workspaces": {"source": "/" + "x" * 5000}}, 422, "file name too long"),
        ({"params": {"who": "x"}, "workspaces": {"other": "/tmp"}}, 422, "has no workspace other"),
        ({"pipeline": "say"}, 422, "no Pipeline 'say'"),
        ({"pipeline": "../../etc"}, 422, "no Pipeline"),
        ({"name": "events"}, 422, "events is taken"),
        ({"name": "Upper"}, 422, "name"),
        ({"labels": {"a b": "c"}}, 422, "labels"),
        ({"surplus": 1}, 422, "surplus"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_nothing(core, wanted, status, says):
    before = names(core)
    answer = core.start(headers={"Idempotency-Key": f"refused-{says}"}, **wanted)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert says in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert {path.name for path in (core.home / "runs").glob("*")} == before == names(core)
    assert not keys.path_of(core.engine.starts.keys, f"refused-{says}").exists()


def test_the_same_key_is_one_run_also_at_the_same_time_and_after_a_restart(tmp_path, small_catalog):
    headers = {"Idempotency-Key": "k 1"}
    with core_api.serving(tmp_path / "home", small_catalog) as core, ThreadPoolExecutor(8) as pool:
        gate = threading.Barrier(8)

        def start(_):
            gate.wait()
            return core_api.requests.post(
                f"{core.url}/api/v1/runs",
                json={"pipeline": "greet", "params": {"who": "x"}},
                headers=headers,
                timeout=30,
            )

        answers = list(pool.map(start, range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        (name,) = {answer.json()["name"] for answer in answers}
        assert names(core) == {name}
        other = core.start(headers=headers, params={"who": "another"})
        assert (other.status_code, "another content" in other.json()["detail"]) == (409, True)
        core.ended(name)
    with core_api.serving(tmp_path / "home", small_catalog) as core:
        again = core.start(headers=headers, params={"who": "x"})
        assert (again.status_code, again.json()["name"], again.json()["reused"]) == (200, name, True)
        assert names(core) == {name}
        assert core.ask("DELETE", f"/runs/{name}").status_code == 204
        gone = core.start(headers=headers, params={"who": "x"})
        assert (gone.status_code, "was deleted" in gone.json()["detail"]) == (409, True)


def test_a_name_is_one_run(core):
    assert core.start(name="twice").status_code == 201
    again = core.start(name="twice")
    assert (again.status_code, "is there already" in again.json()["detail"]) == (409, True)
    core.ended("twice")


def test_a_finished_run_is_reused_where_it_is_asked_for_and_nothing_changed(alone, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    wanted = {"workspaces": {"source": str(source)}, "reuse": True}
    first = alone.start(**wanted)
    assert first.status_code == 201
    name = first.json()["name"]
    alone.ended(name)
    again = alone.start(**wanted)
    assert (again.status_code, again.json()["name"], again.json()["reused"]) == (200, name, True)
    assert alone.start(**{**wanted, "reuse": False}).status_code == 201
    assert alone.start(params={"who": "other"}, **wanted).status_code == 201
    (source / "new").write_text("a file that was not there")
    changed = alone.start(**wanted)
    assert changed.status_code == 201
    for run in names(alone):
        alone.ended(run)


def test_a_failed_run_is_tried_again(core, tmp_path):
    file = tmp_path / "file"
    file.write_text("text\n")
    core.start("hold", name="again", params={"file": str(file), "fail": "3"})
    run = core.ended("again")
    assert [task["state"] for task in run["tasks"]] == ["Succeeded", "Failed"]
    assert run["tasks"][1]["steps"][0]["exit_code"] == 3
    file.unlink()
    answer = core.ask("POST", "/runs/again/retry")
    assert (answer.status_code, answer.json()["state"]) == (202, "Pending")
    core.until("again", "Running")
    for path, status in (("retry", 409), ("cancel", 202)):
        assert core.ask("POST", f"/runs/again/{path}").status_code == status
    assert core.ended("again")["state"] == "Cancelled"


def test_a_run_is_cancelled_and_only_what_has_ended_is_deleted(core, tmp_path):
    core.start("hold", name="cancelled", params={"file": str(tmp_path / "never")})
    core.until("cancelled", "Running")
    assert core.ask("DELETE", "/runs/cancelled").status_code == 409
    assert core.ask("POST", "/runs/cancelled/cancel").status_code == 202
    run = core.ended("cancelled")
    assert (run["state"], run["reason"]) == ("Cancelled", "Cancelled")
    assert core.ask("POST", "/runs/cancelled/cancel").status_code == 409
    assert core.ask("DELETE", "/runs/cancelled").status_code == 204


def test_one_that_is_cancelled_before_it_began(core, tmp_path):
    core.start("hold", name="early", params={"file": str(tmp_path / "never")})
    assert core.ask("POST", "/runs/early/cancel").status_code == 202
    assert core.ended("early")["state"] == "Cancelled"


def test_a_run_that_ended_well_is_not_tried_again(core):
    core.start(name="well")
    core.ended("well")
    assert core.ask("POST", "/runs/well/retry").status_code == 409


def test_a_killed_process_is_a_lost_run_that_can_be_taken_up(core, tmp_path):
    file = tmp_path / "file"
    core.start("hold", name="lost", params={"file": str(file)})
    core.until("lost", "Running")
    os.kill(run_files.holder(RunFolder(core.home / "runs" / "lost")), signal.SIGKILL)
    run = core.ended("lost")
    assert (run["state"], run["message"]) == ("Lost", "the process that ran it ended without a word")
    file.write_text("text\n")
    assert core.ask("POST", "/runs/lost/retry").status_code == 202
    assert core.ended("lost")["state"] == "Succeeded"


def test_a_process_that_cannot_begin_says_why(alone, monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no Python here >&2\nexit 9\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    name = alone.start().json()["name"]
    run = alone.ended(name)
    assert (run["state"], run["reason"], run["message"]) == ("Failed", "NotStarted", "no Python here")
    refused = alone.ask("POST", f"/runs/{name}/retry")
    assert (refused.status_code, "never began" in refused.json()["detail"]) == (409, True)
    assert alone.ask("DELETE", f"/runs/{name}").status_code == 204


def test_runs_of_the_command_line_are_seen_and_can_be_cancelled(alone, small_catalog, tmp_path):
    pipeline = small_catalog / "pipelines" / "hold" / "hold.yaml"
    command = [
        sys.executable,
        "-m",
        "scripts.nearedge",
        "run",
        "hold",
        "-f",
        str(pipeline),
        "--name=outside",
        "--quiet",
    ]
    process = subprocess.Popen(
        [*command, f"-p=file={tmp_path / 'never'}"], env={**os.environ, "NEAREDGE_HOME": str(alone.home)}
    )
    try:
        deadline = core_api.time.monotonic() + core_api.NEVER_S
        while "outside" not in names(alone):
            assert core_api.time.monotonic() < deadline
            core_api.time.sleep(0.05)
        assert alone.until("outside", "Running")["pipeline"] == "hold"
        assert alone.ask("POST", "/runs/outside/cancel").status_code == 202
        assert process.wait(core_api.NEVER_S) == 130
    finally:
        process.kill()
        process.wait()
    assert alone.ended("outside")["state"] == "Cancelled"


def test_runs_outlive_the_api(tmp_path, small_catalog):
    file = tmp_path / "file"
    with core_api.serving(tmp_path / "home", small_catalog) as core:
        core.start("hold", name="long", params={"file": str(file)})
        core.until("long", "Running")
    with core_api.serving(tmp_path / "home", small_catalog) as core:
        assert core.get("/runs/long")["state"] == "Running"
        file.write_text("text\n")
        assert core.ended("long")["state"] == "Succeeded"


@pytest.mark.parametrize("name", ["absent", "..", "a..b", "A", "x" * 70, "%2e%2e%2fetc"])
@pytest.mark.parametrize("path", ["", "/logs", "/events", "/results", "/record", "/report", "/report/report.html"])
def test_runs_that_are_none(core, name, path):
    answer = core.ask("GET", f"/runs/{name}{path}")
    assert answer.status_code in (404, 422)
    assert json.loads(answer.text)["status"] == answer.status_code
