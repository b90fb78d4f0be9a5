"""Who may do what with the core's API, over HTTP; what it says of itself; the program."""

import os
import re
import signal
import subprocess
import sys

import pytest
import requests

from nearedge.api import access
from scripts import api as program
from tests.core_api import GREET, serving

READ, MANAGE = "r" * 16, "m" * 16
CHANGES = [("POST", "/runs"), ("POST", "/runs/x/cancel"), ("POST", "/runs/x/retry"), ("DELETE", "/runs/x")]
LOOKS = [
    ("GET", path)
    for path in ("/runs", "/runs/x", "/runs/x/logs", "/runs/x/events", "/runs/events", "/runs/x/results",
                 "/runs/x/record", "/runs/x/report", "/runs/x/report/report.html", "/pipelines", "/pipelines/greet",
                 "/tasks", "/tasks/say")
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, small_catalog):
    """A server with two tokens."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "tokens").write_text(f"bob read {READ}\nann manage {MANAGE}\n")
    with serving(folder / "home", small_catalog, access.read(folder / "tokens")) as core:
        yield core


@pytest.mark.parametrize(("method", "path"), CHANGES + LOOKS)
def test_nothing_without_a_token(guarded, method, path):
    assert guarded.ask(method, path).status_code == 401


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_who_only_reads_changes_nothing(guarded, method, path):
    body = {"json": {"pipeline": "greet"}} if path == "/runs" else {}
    assert guarded.ask(method, path, headers={"Authorization": f"Bearer {READ}"}, **body).status_code == 403


def test_each_may_do_what_the_role_says(guarded):
    reading, managing = ({"Authorization": f"Bearer {token}"} for token in (READ, MANAGE))
    assert guarded.ask("GET", "/runs", headers=reading).status_code == 200
    assert guarded.start(headers=managing, name="mine").status_code == 201
    metrics = guarded.session.get(f"{guarded.url}/metrics", timeout=30).text
    guarded.ask("GET", "/runs/mine", headers=reading)
    metrics = guarded.session.get(f"{guarded.url}/metrics", timeout=30).text
    assert 'nearedge_core_requests_total{method="GET",route="/api/v1/runs/{name}",status="200"} 1' in metrics
    assert READ not in (guarded.home.parent / "home.log").read_text()
    guarded.session.headers.update(reading)
    guarded.ended("mine")
    guarded.session.headers.pop("Authorization")


@pytest.fixture
def started(tmp_path, small_catalog):
    """`nearedge api core` as a person starts it, and the address that it prints."""
    command = [sys.executable, "-m", "scripts.nearedge", "api", "core", "--port=0", f"--catalog={small_catalog}"]
    environment = {**os.environ, "NEAREDGE_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline()
        yield process, re.match(r"(http://127\.0\.0\.1:\d+)  \(runs in (.*)\)$", line)
        process.kill()


def test_the_program_serves_until_it_is_told_to_end(started, tmp_path):
    process, said = started
    assert said[2] == str(tmp_path / "home" / "runs")
    answer = requests.get(f"{said[1]}/api/v1/pipelines/greet", timeout=30)
    assert answer.json()["name"] == "greet" and "greet" in GREET
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert '"path": "/api/v1/pipelines/greet"' in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--host=0.0.0.0"], 2, "give --tokens as well"),
        (["--port=70000"], 2, "give 0 to 65535"),
        (["--tls-cert=x"], 2, "belong together"),
        (["--tokens=/absent"], 1, "no such file"),
    ],
)
def test_what_the_program_refuses(capsys, arguments, status, says):
    assert program.main(["core", *arguments]) == status
    shown = capsys.readouterr().err
    assert says in shown and len(shown.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["nowhere"], ["core", "--surplus"]])
def test_what_is_not_offered(arguments, capsys):
    with pytest.raises(SystemExit):
        program.main(arguments)
    assert "usage: nearedge api" in capsys.readouterr().err
