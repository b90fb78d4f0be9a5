"""One place to run Pipelines in: a release workspace, a GitOps repository, a folder for runs."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
    "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1",
}  # fmt: skip
"""Of whole Pipelines no coverage is measured: that takes 6 s of 21 of a run, most while frameworks are imported. Unit
tests run the same programs with it.
"""


@dataclass(frozen=True)
class Site:
    """One place to run in: the release workspace, the GitOps repository, the runs."""

    home: Path
    cache: Path

    @property
    def release(self) -> Path:
        return self.home / "release"

    @property
    def gitops(self) -> Path:
        return self.home / "gitops.git"

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.gitops), *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout.strip()

    def section(self, name: str) -> dict[str, Any]:
        return json.loads((self.release / "release" / f"{name}.json").read_text())

    def nearedge(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scripts.nearedge", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            timeout=400,
            env={**ENVIRONMENT, "NEAREDGE_CACHE": str(self.cache), **environment},
        )

    def run(
        self, source: Path, *more: str, pipeline: tuple[str, ...] = ("model-to-edge",), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """model-to-edge on `source`, with what the demo passes, but that timing is as short as it may be."""
        return self.nearedge(
            "run",
            *pipeline,
            "-p=image=oci:image:test",
            "-p=allow-layout=true",
            "-p=base-image=host",
            f"-p=git-url={self.gitops.as_uri()}",
            f"-p=test-port={free_port()}",
            "-p=benchmark-seconds=0.3",
            f"-w=source={source}",
            f"-w=release={self.release}",
            *more,
            **environment,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
