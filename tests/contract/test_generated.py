"""Generated files are those that hack/generate.py would write now."""

import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from nearedge.release import description

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/model.yaml"))


def test_nothing_generated_is_out_of_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "hack" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_hold_to_the_schema_and_to_the_classes(path: Path) -> None:
    schema = yaml.safe_load((ROOT / "docs" / "schemas" / "model.json").read_text())
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    assert description.read(path).name == path.parent.name


def test_there_is_an_example_for_each_framework() -> None:
    assert len(EXAMPLES) == 3
