"""`nearedge run`, `runs` and `logs` as a person uses them, in processes of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.pipelines.lab import pipeline, shell

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nearedge(tmp_path):
    """Run the command line in `tmp_path`; the finished process."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    env.pop("NEAREDGE_HOME", None)

    def run(*argv, start=False):
        command = [sys.executable, "-m", "scripts.nearedge", *argv]
        if start:
            return subprocess.Popen(
                command, cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        return subprocess.run(command, cwd=tmp_path, env=env, text=True, capture_output=True, timeout=60, check=False)

    return run


@pytest.fixture
def manifest(tmp_path):
    def write(text, name="m.yaml"):
        (tmp_path / name).write_text(text)
        return name

    return write


def test_a_run_from_its_start_to_its_logs(nearedge, manifest, tmp_path):
    text = pipeline(
        shell("good", "echo out; printf value > $(results.r.path)"),
        shell("not-now", "true", "when: [{input: a, operator: in, values: [b]}]"),
    )
    text = text.replace(
        "pipelineSpec:", "pipelineSpec:\n        results: [{name: shown, value: $(tasks.good.results.r)}]"
    )
    file = manifest(text)
    done = nearedge("run", "-f", file, "--on-host", "--name", "first", "--json")
    assert done.returncode == 0, done.stderr
    assert "✔ good" in done.stderr
    assert "- not-now  skipped: When Expressions evaluated to false" in done.stderr
    assert "  shown  value" in done.stderr
    document = json.loads(done.stdout)
    assert document["status"]["conditions"][0]["reason"] == "Completed"
    assert (tmp_path / ".nearedge" / "runs" / "first" / "logs" / "good" / "s.log").read_text() == "out\n"
    listed = json.loads(nearedge("runs", "--json").stdout)
    assert [(one["name"], one["reason"], one["succeeded"]) for one in listed] == [("first", "Completed", True)]
    assert "first" in nearedge("runs").stdout
    assert nearedge("logs", "first").stdout == "[good : s]\nout\n"
    assert nearedge("logs", "first", "good").stdout == "[good : s]\nout\n"
    missing = nearedge("logs", "first", "nix")
    assert (missing.returncode, missing.stderr) == (
        1, "nearedge logs: run first: no log of Task nix; there are logs of: good\n",
    )  # fmt: skip
    again = nearedge("run", "--resume", "first")
    assert "✔ good     unchanged, not run again" in again.stderr


def test_a_failure_shows_the_programs_own_line_first_and_where_the_log_is(nearedge, manifest):
    script = "echo before; echo nearedge verify-model: drop of 0.2 is over the gate >&2; echo after; exit 3"
    done = nearedge("run", "-f", manifest(pipeline(shell("verify", script))), "--on-host", "--name", "f")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("✖ verify"))
    assert lines[at].endswith("exit 3")
    assert lines[at + 1].strip() == "nearedge verify-model: drop of 0.2 is over the gate"
    assert "    log: .nearedge/runs/f/logs/verify/s.log" in lines
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (("run", "nix"), 1, "nearedge run: nix: no such Pipeline or Task"),
        (("run",), 2, "nothing to run"),
        (("run", "-f", "absent.yaml"), 1, "absent.yaml: no such file"),
        (("run", "x", "-p", "novalue"), 2, "-p novalue: write it as NAME=VALUE"),
        (("run", "x", "-p", "a=1", "-p", "a=2"), 2, "-p a: is given twice"),
        (("run", "x", "--parallel", "0"), 2, "--parallel 0: must be at least 1"),
        (("run", "--resume", "absent"), 1, "run absent: there is none"),
        (("run", "--resume", "a", "--name", "b"), 2, "a resumed run keeps its name a"),
        (("logs", "absent"), 1, "run absent: there is none; `nearedge runs` lists"),
        (("logs", "../x"), 1, "a name has lower case letters"),
    ],
)
def test_wrong_use(nearedge, argv, status, message):
    done = nearedge(*argv)
    assert done.returncode == status
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_quiet_shows_failures_only(nearedge, manifest):
    done = nearedge("run", "-f", manifest(pipeline(shell("a", "true"))), "--on-host", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(nearedge, manifest, tmp_path, number):
    ready = tmp_path / "ready"
    text = pipeline(shell("long", f"touch {ready}; sleep 44.5"), final=(shell("fin", f"touch {tmp_path}/finally"),))
    process = nearedge("run", "-f", manifest(text), "--on-host", "--name", "i", start=True)
    wait_for(ready)
    process.send_signal(number)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "◼ long" in shown
    assert (tmp_path / "finally").exists()
    assert (
        json.loads((tmp_path / ".nearedge/runs/i/run.json").read_text())["status"]["conditions"][0]["reason"]
        == "Cancelled"
    )


@pytest.fixture
def busy(nearedge, manifest, tmp_path):
    """A run named busy that goes on, and the file it is made of; its step is stopped in the end."""
    ready = tmp_path / "ready"
    file = manifest(pipeline(shell("long", f"echo $$$$ > {ready}.new; mv {ready}.new {ready}; sleep 120")))
    process = nearedge("run", "-f", file, "--on-host", "--name", "busy", start=True)
    wait_for(ready)
    yield process, file, int(ready.read_text())
    process.kill()
    process.communicate(timeout=60)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(int(ready.read_text()), signal.SIGKILL)


def test_the_same_run_twice_at_once_and_a_lost_one(nearedge, busy, tmp_path):
    process, file, step = busy
    second = nearedge("run", "-f", file, "--on-host", "--name", "busy")
    assert second.returncode == 1
    assert second.stderr == "nearedge run: run busy: is running already; wait for it, or give another --name\n"
    assert json.loads(nearedge("runs", "--json").stdout)[0]["reason"] == "Running"
    assert running(step)
    following = nearedge("logs", "busy", "--follow", start=True)
    process.kill()
    process.wait(timeout=60)
    following.communicate(timeout=60)
    assert following.returncode == 0
    assert json.loads(nearedge("runs", "--json").stdout)[0]["reason"] == "Lost"
    (tmp_path / file).write_text((tmp_path / file).read_text().replace("sleep 120", "true"))
    assert nearedge("run", "--resume", "busy").returncode == 0
    assert not running(step)  # the resumed run ended what the killed one had left


def running(pid):
    """Whether a process runs; one that nobody has reaped yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(path):
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
