"""The core's API on a cluster: the API server of tests, what of Tekton stands in, and our manifests' rights."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from nearedge.api.access import Access
from nearedge.api.cluster.connection import Cluster
from nearedge.api.core.core_app import Settings, core_app
from nearedge.api.core.fleet_source import FleetSettings
from nearedge.api.core.tekton.engine import TektonEngine
from nearedge.api.core.tekton.reach import reach
from tests import core_api
from tests.cluster_api import FakeApi
from tests.core_api import Core
from tests.served import served

ROOT = Path(__file__).parents[1]
NAMESPACE = "nearedge"
RUNS = f"/apis/tekton.dev/v1/namespaces/{NAMESPACE}/pipelineruns"
TASK_RUNS = f"/apis/tekton.dev/v1/namespaces/{NAMESPACE}/taskruns"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
MATRIX = """
apiVersion: tekton.dev/v1
kind: Pipeline
metadata: {name: many}
spec:
  params:
    - {name: code, type: string, default: "0"}
    - {name: image, type: string, default: nearedge/core:0.1.0}
  tasks:
    - name: each
      matrix: {params: [{name: word, value: [a, b, c]}]}
      taskSpec:
        params: [{name: word, type: string}]
        steps:
          - {name: s, image: nearedge/core:0.1.0, command: [sh, -c], args: ['echo "$1"', sh, $(params.word)]}
    - name: last
      runAfter: [each]
      taskSpec:
        steps:
          - {name: one, image: $(params.image), command: [sh, -c], args: ["echo one; exit $(params.code)"]}
          - {name: two, image: nearedge/core:0.1.0, command: [sh, -c], args: ["echo two"]}
  finally:
    - name: clean
      taskSpec:
        steps: [{name: s, image: nearedge/core:0.1.0, command: [sh, -c], args: ["echo clean"]}]
"""


@dataclass
class ClusterCore(Core):
    """A server, and how a caller asks it who has a token."""

    token: str = ""

    def __post_init__(self) -> None:
        """The token goes with every request."""
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def events(self, path: str, headers: dict[str, str] | None = None) -> Iterator[tuple[str, Any, str]]:
        """Kind, data and number of the events of a stream."""
        return super().events(path, {"Authorization": f"Bearer {self.token}", **(headers or {})})

    def who_has(self, token: str) -> "ClusterCore":
        """The same server, asked by somebody else."""
        return ClusterCore(self.url, self.home, self.engine, requests.Session(), token)


def install(fake: FakeApi) -> None:
    """The namespace with its roles as our manifests have them, and small Pipelines."""
    folder = ROOT / "manifests" / "core" / "pipelines"
    for name in ("namespace", "service-account", "users"):
        fake.apply(folder / f"{name}.yaml", namespace=NAMESPACE)
    for text in (core_api.TASK, core_api.GREET, core_api.HOLD, MATRIX):
        fake.apply(yaml.safe_load(text), namespace=NAMESPACE)


@contextmanager
def serving(fake: FakeApi, folder: Path, token: str, *, as_caller: bool = True) -> Iterator[ClusterCore]:
    """The API until the block ends. Its own account is the kubeconfig's: nobody's, unless it acts as itself."""
    own = "" if as_caller else fake.account(NAMESPACE, "nearedge-api")
    config = fake.kubeconfig(folder, own or "nobody's token", NAMESPACE)
    engine = TektonEngine(reach(Cluster.found(config), as_caller=as_caller))
    settings = Settings(folder / "home", FleetSettings(folder / "state"))
    app = core_app(engine, Access(engine.reach.judge), settings)
    app.log = (folder / "api.log").open("a")
    with closing(app.log), served(app) as url:
        core = ClusterCore(url, folder, engine, requests.Session(), token)
        try:
            yield core
        finally:
            core.session.close()
