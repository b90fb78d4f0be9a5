"""Whether kubectl is here with a kustomize that builds what is rendered: version 5 (kubectl 1.27; Debian 12: 1.20)."""

import json
import shutil
import subprocess
from functools import cache

import pytest

OLDEST = 5


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
