"""Whether kubectl is here with a kustomize that builds what is rendered: version 5 (kubectl 1.27; Debian 12: 1.20).

And what it makes of a folder.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

OLDEST = 5
Object = dict[str, Any]


@cache
def major() -> int:
    """The major version of kubectl's kustomize; 0 without kubectl, or with one that does not tell."""
    if shutil.which("kubectl") is None:
        return 0
    argv = ["kubectl", "version", "--client", "--output=json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout) if done.returncode == 0 else {}
    return int(said.get("kustomizeVersion", "v0").removeprefix("v").split(".")[0])


needs_kustomize = pytest.mark.skipif(major() < OLDEST, reason="needs kubectl 1.27 or newer to build with kustomize")


@cache
def built(folder: Path) -> list[Object]:
    """What `kubectl kustomize` makes of a folder."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """The objects of a kind."""
    return [one for one in objects if one["kind"] == kind]


def pods(objects: list[Object]) -> Iterator[Object]:
    """The specs of the pods that Deployments make."""
    for one in objects:
        template = one.get("spec", {}).get("template") or {}
        if "containers" in template.get("spec", {}):
            yield template["spec"]
