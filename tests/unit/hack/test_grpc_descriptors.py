"""What reflection tells is what the .proto says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_descriptors_are_up_to_date() -> None:
    """In a process of its own: the compiler crashes one that holds other libraries with protobuf inside."""
    program = [sys.executable, ROOT / "hack" / "grpc_descriptors.py", "--check"]
    assert subprocess.run(program, check=False, timeout=60).returncode == 0
