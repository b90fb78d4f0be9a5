"""Two runs at once: not on a folder that one of them writes to, freely on one that both only read."""

import fcntl
import os
from pathlib import Path

import pytest
import yaml

from nearedge.errors import InputError
from nearedge.runner import engine
from nearedge.runner.plan import plans
from nearedge.runner.request import Request


def ignore(_: object) -> None:
    """What happens is not looked at here."""


def task(read_only: bool) -> dict[str, object]:
    return {
        "apiVersion": "tekton.dev/v1",
        "kind": "Task",
        "metadata": {"name": "touch"},
        "spec": {
            "workspaces": [{"name": "shared", "readOnly": read_only}],
            "steps": [{"name": "true", "image": "any", "command": ["true"]}],
        },
    }


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_that_another_run_holds(tmp_path: Path, read_only: bool) -> None:
    manifest = tmp_path / "task.yaml"
    manifest.write_text(yaml.safe_dump(task(read_only)))
    shared = tmp_path / "shared"
    shared.mkdir()
    asked = Request(
        target="touch", files=(manifest,), params={}, workspaces={"shared": str(shared)}, name=None, on_host=True
    )
    (plan,) = plans(asked)
    held = os.open(shared, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        if read_only:
            assert engine.run(plan, ignore, root=tmp_path / "runs").succeeded
        else:
            with pytest.raises(InputError, match=r"shared: another run writes to it now"):
                engine.run(plan, ignore, root=tmp_path / "runs")
    finally:
        os.close(held)
    (again,) = plans(asked)
    assert engine.run(again, ignore, root=tmp_path / "runs").succeeded


def test_a_folder_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    manifest = tmp_path / "task.yaml"
    manifest.write_text(yaml.safe_dump(task(read_only=False)))
    shared = tmp_path / "shared"
    (plan,) = plans(
        Request(
            target="touch", files=(manifest,), params={}, workspaces={"shared": str(shared)}, name=None, on_host=True
        )
    )
    assert engine.run(plan, ignore, root=tmp_path / "runs").succeeded
    assert shared.is_dir()
