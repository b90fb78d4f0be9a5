"""What /proc says, and what we make of none."""

import time
from pathlib import Path

import pytest

from serving_image import process


def test_this_process() -> None:
    assert process.resident_bytes() > 1 << 20
    assert process.cpu_seconds() > 0
    assert process.open_files() > 2
    assert process.start_time() <= time.time()
    assert process.uptime() == pytest.approx(time.time() - process.start_time(), abs=2)


def test_a_machine_without_proc(tmp_path: Path) -> None:
    assert process.resident_bytes(tmp_path) == 0
    assert process.open_files(tmp_path) == 0
    assert process.start_time(tmp_path) == process.IMPORTED
    assert 0 <= process.uptime(tmp_path) <= time.time() - process.IMPORTED + 1


def test_a_name_with_blanks_and_brackets(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/stat").write_text("1 (a ) b) S 2 3\n")
    assert process.fields(tmp_path) == ["S", "2", "3"]
