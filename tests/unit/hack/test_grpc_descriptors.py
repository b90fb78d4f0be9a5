"""What reflection tells is what the .proto says."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_descriptors_are_up_to_date() -> None:
    module = runpy.run_path(str(ROOT / "hack" / "grpc_descriptors.py"))
    assert module["main"](["--check"]) == 0
