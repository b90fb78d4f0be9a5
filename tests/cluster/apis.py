"""The APIs, served on loopback for the cluster of the tests."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests

from nearedge.api.access import Access
from nearedge.api.cluster.connection import Cluster
from nearedge.api.cluster.reviews import AsOurselves, Judge
from nearedge.api.core import core_app as core_apps
from nearedge.api.core.tekton.engine import TektonEngine
from nearedge.api.core.tekton.pipelineruns import Account
from nearedge.api.core.tekton.reach import reach
from nearedge.api.edge.cluster.cluster_control import Argo, ClusterControl
from nearedge.api.edge.cluster.cluster_site import ClusterSite, rights
from nearedge.api.edge.edge_app import edge_app
from nearedge.api.edge.settings import Settings
from nearedge.delivery.gitops.publish import Target
from tests.cluster.ground import Ground, rules
from tests.core_api import Core
from tests.edge_api import Edge
from tests.served import served

NEVER_S = 120.0
"""Seconds after which what should have come will not come; a real cluster pulls images."""


@dataclass
class ClusterCore(Core):
    """The core's API as one caller has it."""

    token: str = ""

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """An answer."""
        more["headers"] = {"Authorization": f"Bearer {self.token}", **(more.get("headers") or {})}
        return super().ask(method, path, **more)

    def events(self, path: str, headers: dict[str, str] | None = None) -> Iterator[tuple[str, Any, str]]:
        """Kind, data and number of the events of a stream."""
        return super().events(path, {"Authorization": f"Bearer {self.token}", **(headers or {})})

    def until(self, name: str, *states: str) -> dict[str, Any]:
        """The run, once it is in one of the states; its events tell, so that nobody has to ask again and again."""
        self.until_run(name, lambda run: run["state"] in states)
        run: dict[str, Any] = self.get(f"/runs/{name}")
        assert run["state"] in states, run
        return run

    def until_run(self, name: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The run as its events tell of it, once it fits."""
        with closing(self.events(f"/runs/{name}/events")) as found:
            return next(data for kind, data, _ in found if kind == "run" and fits(data))

    @contextmanager
    def watched(self, seen: str = "") -> Iterator[Iterator[tuple[str, str, str]]]:
        """Name, state and number of each change of a run, from now on or since `seen`; `deleted` is a state, too."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": seen} if seen else {})}
        with closing(self.ask("GET", "/runs/events", stream=True, headers=headers)) as answer:
            assert answer.status_code == 200, answer.text
            yield changes(answer)

    def of(self, token: str) -> "ClusterCore":
        """The same API, as another caller has it."""
        return ClusterCore(self.url, self.home, self.engine, self.session, token)

    def lines(self, name: str, **query: Any) -> list[tuple[str, str, str]]:
        """Task, step and text of the lines there are."""
        found = self.events(f"/runs/{name}/logs?" + "&".join(f"{key}={value}" for key, value in query.items()))
        return [(data["task"], data["step"], data["text"]) for kind, data, _ in found if kind == "line"]


def changes(answer: requests.Response) -> Iterator[tuple[str, str, str]]:
    """What a stream of server-sent events says of runs."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif not line and "data" in fields:
            run = json.loads(fields["data"])
            yield run["name"], fields["event"] if fields["event"] == "deleted" else run["state"], fields.get("id", "")
            fields = {}


@contextmanager
def core(ground: Ground, access: Literal["caller", "service-account"], token: str) -> Iterator[ClusterCore]:
    """The core's API as `token` has it: with the callers' tokens, or as a ServiceAccount that asks for reviews."""
    as_caller = access == "caller"
    own = "" if as_caller else ground.user(rules("core/api-service-account/rbac.yaml", "nearedge-api"), delegates=True)
    found = reach(Cluster.found(ground.config_of(own), namespace=ground.namespace), as_caller=as_caller)
    engine = TektonEngine(found, Account(service_account="", group=None))
    home = ground.folder / "home"
    app = core_apps.core_app(engine, Access(found.judge), core_apps.Settings(home))
    with (ground.folder / "core.log").open("a") as app.log, served(app) as url, requests.Session() as session:
        session.trust_env = False
        yield ClusterCore(url, home, engine, session, token)


@dataclass
class ClusterEdge(Edge):
    """The edge's API as one caller has it."""

    token: str = ""

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """An answer, which must come soon."""
        more["headers"] = {"Authorization": f"Bearer {self.token}", **(more.get("headers") or {})}
        return super().ask(method, path, **more)

    def until(
        self, path: str, fits: Callable[[dict[str, Any]], bool], seconds: float = NEVER_S
    ) -> dict[str, Any]:  # a real cluster takes its time
        """The document, as soon as it fits."""
        return super().until(path, fits, seconds)

    def health(self, model: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """A model's health as soon as it fits; the model may not be known yet."""
        self.until("/models", lambda page: any(one["name"] == model for one in page["items"]))
        return self.until(f"/models/{model}/health", fits)

    def of(self, token: str) -> "ClusterEdge":
        """The same API, as another caller has it."""
        return ClusterEdge(self.url, self.site, self.session, token)


@contextmanager
def edge(ground: Ground, home: Path, token: str, target: Target | None = None) -> Iterator[ClusterEdge]:
    """The edge's API of the namespace as `token` has it; itself with the rights that its manifests give, no others.

    `target` is the GitOps repository of site edge-1.
    """
    rbac = "edge/components/api/rbac.yaml"
    own = ground.user([*rules(rbac, "nearedge-api"), *rules(rbac, "nearedge-edge-api")], delegates=True)
    home.mkdir()
    cluster = Cluster.found(ground.config_of(own), namespace=ground.namespace)
    settings = Settings(
        home, site="edge-1", namespace=ground.namespace, every_s=0.5, git_every_s=0.5, timeout_s=1.0,
        target=target,
        server_address="http://127.0.0.1:1",
    )  # fmt: skip
    site = ClusterSite(settings, cluster)
    argo = Argo(ground.namespace, "nearedge-{model}")
    site.control = ClusterControl(cluster, ground.namespace, argo, settings.site, site.mirror)
    app = edge_app(site, Access(Judge(AsOurselves(cluster), rights(ground.namespace))))
    with (home / "edge.log").open("a") as app.log, served(app) as url, requests.Session() as session:
        session.trust_env = False
        yield ClusterEdge(url, site, session, token)
