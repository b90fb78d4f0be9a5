"""What the C library is told; that it does so is seen in test_hostile.py."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from serving_image import heap


def test_glibc_can_be_told() -> None:
    command = [sys.executable, "-c", "from serving_image import heap; print(heap.give_back())"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert done.stdout == f"{hasattr(ctypes.CDLL(None), 'mallopt')}\n"


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert heap.give_back() is False
