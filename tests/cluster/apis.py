"""The APIs, served on loopback for the cluster of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import requests

from nearedge.api.access import Access
from nearedge.api.cluster.connection import Cluster
from nearedge.api.core.core_app import Settings, core_app
from nearedge.api.core.tekton.engine import TektonEngine
from nearedge.api.core.tekton.pipelineruns import Account
from nearedge.api.core.tekton.reach import reach
from tests.cluster.ground import Ground, rules
from tests.core_api import Core
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

    def of(self, token: str) -> "ClusterCore":
        """The same API, as another caller has it."""
        return ClusterCore(self.url, self.home, self.engine, self.session, token)

    def lines(self, name: str, **query: Any) -> list[tuple[str, str, str]]:
        """Task, step and text of the lines there are."""
        found = self.events(f"/runs/{name}/logs?" + "&".join(f"{key}={value}" for key, value in query.items()))
        return [(data["task"], data["step"], data["text"]) for kind, data, _ in found if kind == "line"]


@contextmanager
def core(ground: Ground, access: Literal["caller", "service-account"], token: str) -> Iterator[ClusterCore]:
    """The core's API as `token` has it: with the callers' tokens, or as a ServiceAccount that asks for reviews."""
    as_caller = access == "caller"
    own = "" if as_caller else ground.user(rules("core/api-service-account/rbac.yaml", "nearedge-api"), delegates=True)
    found = reach(Cluster.found(ground.config_of(own), namespace=ground.namespace), as_caller=as_caller)
    engine = TektonEngine(found, Account(service_account="", group=None))
    home = ground.folder / "home"
    app = core_app(engine, Access(found.judge), Settings(home))
    with (ground.folder / "core.log").open("a") as app.log, served(app) as url, requests.Session() as session:
        session.trust_env = False
        yield ClusterCore(url, home, engine, session, token)
