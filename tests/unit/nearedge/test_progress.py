"""Progress in a log: few lines, all items."""

import sys

import pytest

from nearedge import progress


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    assert list(progress.track(range(10), "timing", 10)) == list(range(10))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("timing: ")
    assert 1 <= len(lines) < 10


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress.track(range(3), "timing", 3)) == [0, 1, 2]
