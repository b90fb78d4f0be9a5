"""Exit statuses and the one line a person sees."""

import argparse
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from nearedge import errors, program


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (errors.InputError("model.pt: bad"), 1, "model.pt: bad"),
        (errors.UsageError("no such option"), 2, "no such option"),
        (errors.GateError("accuracy fell"), 3, "accuracy fell"),
        (errors.OutsideError("registry away"), 4, "registry away"),
        (errors.UnsupportedError("CEL"), 5, "CEL"),
        (errors.MachineError("no tar"), 6, "no tar"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 6, "no memory left"),
        (OSError(errno.ENOSPC, "No space left on device", "/w/x"), 6, "/w/x: no space left"),
        (OSError(errno.EROFS, "Read-only file system", "/w/x"), 6, "read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/w/x"), 6, "permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/w/x"), 1, "/w/x: no such file"),
        (OSError(errno.EIO, "Input/output error"), 70, "a bug of nearedge"),
        (ValueError("two\nlines"), 70, "ValueError: two lines"),
    ],
)
def test_each_error_is_one_line_and_a_status(
    error: BaseException, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> None:
        raise error

    assert program.guarded("some-task", action) == status
    out, line = capsys.readouterr()
    assert out == ""
    assert line.startswith("nearedge some-task: ")
    assert line.count("\n") == 1
    assert words in line


def test_what_goes_well_gives_its_status() -> None:
    assert program.guarded("x", lambda: None) == 0
    assert program.guarded("x", lambda: 3) == 3


def test_the_traceback_of_a_bug_only_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEAREDGE_DEBUG", "1")
    program.bug("x", ValueError("oops"))
    assert "ValueError: oops" in capsys.readouterr().err


def test_results_are_written_where_their_flag_says(tmp_path: Path) -> None:
    parser = program.new_parser("x", "text")
    program.add_results(parser, ir_sha256="digest", other="more")
    options = parser.parse_args([f"--result-ir-sha256={tmp_path / 'r' / 'ir'}", "--result-other="])
    program.write_results(options, ir_sha256="abc", other="ignored")
    assert (tmp_path / "r" / "ir").read_text() == "abc"
    assert "exit status" in parser.format_help()


def test_values() -> None:
    assert program.optional_path("") is None
    assert program.optional_path("a") == Path("a")
    assert program.boolean("true")
    assert not program.boolean("false")
    with pytest.raises(argparse.ArgumentTypeError, match="neither"):
        program.boolean("yes")


def test_sigterm_cleans_up_as_an_interrupt_does(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from nearedge import files, program\n"
        "def action():\n"
        "    with files.new_directory(pathlib.Path(sys.argv[1]) / 'ir') as folder:\n"
        "        print('ready', flush=True); time.sleep(60)\n"
        "sys.exit(program.guarded('x', action))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.terminate()
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert said == b"nearedge x: interrupted\n"
    assert list(tmp_path.iterdir()) == []
