"""What a person sees: plain lines in a log, a spinner on a terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from nearedge.runner import display, events
from nearedge.runner.display import Display


def shown(*happened, terminal=False, quiet=False):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, highlight=False, soft_wrap=True, color_system=None)
    with Display(quiet=quiet, console=console) as show:
        for event in happened:
            show(event)
        tables = show.running().row_count
    return out.getvalue(), tables


def ended(label="a", succeeded=True, **more):
    fields = {
        "reason": "Succeeded" if succeeded else "Failed", "message": "", "duration_s": 2.06,
        "exit_status": 0 if succeeded else 3, "log": None, "results": {},
    }  # fmt: skip
    return events.TaskEnded(label, succeeded, **(fields | more))


STARTED = events.RunStarted("r", Path("/x/runs/r"), ("convert-model", "a"))


def test_a_good_run():
    text, _ = shown(
        STARTED,
        events.Note("params inside a script", warning=True),
        events.Note("one.without.effect: accepted", warning=False),
        events.TaskStarted("a", 0),
        events.SidecarStarted("a", "server", "chroot"),
        events.StepStarted("a", "s", Path("/x")),
        ended(),
        events.TaskReused("convert-model"),
        events.TaskSkipped("b", "When Expressions evaluated to false"),
        events.RunEnded("r", True, "Completed", "", 3.0, 0, {"digest": "sha256:1", "long": "x" * 300}),
    )
    lines = text.splitlines()
    assert lines[0] == "run r: 2 Tasks, logs in /x/runs/r"
    assert "! params inside a script" in lines
    assert "  1 field matters on a cluster only; see run.log" in lines
    assert "  a: sidecar server runs on chroot" in lines
    assert "✔ a                 2.1 s" in lines
    assert "✔ convert-model  unchanged, not run again" in lines
    assert "- b              skipped: When Expressions evaluated to false" in lines
    assert "  digest  sha256:1" in lines
    assert any(line.startswith("  long    xxx") and line.endswith("…") for line in lines)
    assert lines[-1] == "run r: Completed, 3.0 s"


def test_a_failure_with_the_programs_own_line_first(tmp_path):
    log = tmp_path / "s.log"
    log.write_text("".join(f"line {number}\n" for number in range(30)) + "nearedge verify-model: too far off\n\nlast\n")
    text, _ = shown(STARTED, ended(succeeded=False, message='"step-s" exited with code 3', log=log))
    lines = text.splitlines()[1:]
    assert lines[0].startswith("✖ a")
    assert lines[0].endswith("exit 3")
    assert lines[1] == "    nearedge verify-model: too far off"
    assert "    last" in lines
    assert "    line 29" in lines
    assert "    line 5" not in lines
    assert lines[-1] == f"    log: {log}"


def test_a_failure_of_another_kind_says_its_message(tmp_path):
    text, _ = shown(STARTED, ended(succeeded=False, message="param x: is missing", log=tmp_path / "none"))
    assert "    param x: is missing" in text.splitlines()
    assert "log:" not in text


def test_ignored_retried_and_stopped():
    text, _ = shown(
        STARTED,
        events.TaskRetried("a", 1, 4, "x"),
        ended(succeeded=False, ignored=True),
        ended(succeeded=False, reason="TaskRunCancelled", message="the run was interrupted"),
    )
    assert "exit 4, attempt 2" in text
    assert "(ignored: onError: continue)" in text
    assert "stopped: the run was interrupted" in text


def test_quiet():
    failed = ended(succeeded=False, message="why")
    end = events.RunEnded("r", False, "Failed", "Tasks Completed: 1", 1.0, 3, {})
    text, _ = shown(STARTED, events.TaskStarted("b", 0), ended("b"), failed, end, quiet=True)
    assert text.splitlines()[0].startswith("✖ a")
    assert text.splitlines()[-1] == "run r: Failed, 1.0 s. Tasks Completed: 1"
    assert "✔" not in text


def test_a_terminal_shows_what_runs(tmp_path):
    (tmp_path / "log").write_text("epoch 1\nepoch 2\n")
    text, rows = shown(
        STARTED, events.TaskStarted("a", 0), events.StepStarted("a", "convert", tmp_path / "log"), terminal=True
    )
    assert rows == 1
    assert "convert" in text
    assert "epoch 2" in text
    assert "▶" not in text


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a", "nearedge x: one", "b"], ["nearedge x: one", "a", "b"]),
        (["nearedge x: one", "nearedge x: two"], ["nearedge x: two", "nearedge x: one"]),
        (["a"], ["a"]),
        ([], []),
    ],
)
def test_own_error_first(lines, expected):
    assert display.own_error_first(lines) == expected


def test_values_are_short():
    assert display.short(["a", "b"]) == "['a', 'b']"
    assert display.short("two\nlines") == "two lines"


def test_paths_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert display.relative(tmp_path / "a" / "b") == "a/b"
    assert display.relative(Path("/etc")) == "/etc"
