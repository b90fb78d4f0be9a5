"""Samples are runs that a person can apply: the runner plans each of them as it stands, given its workspaces."""

from pathlib import Path

import pytest
import yaml

from nearedge.runner.plan import plans
from nearedge.runner.request import Request

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(ROOT.glob("*/*/samples/*.yaml"))
FOLDERS = sorted(path.parent for path in ROOT.glob("[tp]*s/*/*.yaml") if path.stem == path.parent.name)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_task_and_pipeline_has_a_sample(folder: Path) -> None:
    assert list((folder / "samples").glob("*.yaml"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_sample_is_a_whole_run(path: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    spec = document["spec"]
    pod = spec.get("podTemplate") or spec["taskRunTemplate"]["podTemplate"]
    assert pod["securityContext"]["fsGroup"]
    workspaces = {workspace["name"]: str(tmp_path) for workspace in spec["workspaces"]}
    request = Request(target=None, files=(path,), params={}, workspaces=workspaces, name=None, on_host=False)
    (plan,) = plans(request)
    assert plan.name.startswith(document["metadata"]["generateName"])
