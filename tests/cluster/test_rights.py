"""Both APIs as manifests/ run them, on a cluster that judges rights: each request is allowed, and each right is used.

The program is started with the container's own arguments; its manifests lie in the cluster as kustomize builds them.
What a test puts in another place is what a pod finds in its volumes, and the addresses.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.cluster import ground
from tests.cluster_api import FakeApi, certificates, served
from tests.cluster_world.world import World
from tests.edge_cluster import A, deployment, event, pod, running, waiting
from tests.gitops_repository import Place
from tests.kustomize import Object, built, needs_kustomize, of_kind
from tests.manifested import MANIFESTS, Rights, arguments, environment, pod_of, rights

pytestmark = [
    needs_kustomize,
    pytest.mark.skipif(ground.REAL, reason="puts manifests into a cluster of its own, for the audit of their rights"),
]

SNO, MICROSHIFT, ACTS = "edge/examples/sno", "edge/examples/microshift", "core/api-service-account"
MODELS, ARGO_CD = "nearedge-models", "openshift-gitops"
NEVER_S = 60.0
ACCOUNT = "system:serviceaccount:{}:nearedge-api"
JUDGES: Rights = {
    ("", "authentication.k8s.io", "tokenreviews", ""): {"create"},
    ("", "authorization.k8s.io", "subjectaccessreviews", ""): {"create"},
}
FREE = {"selfsubjectreviews", "selfsubjectaccessreviews"}
"""What everybody may ask for."""


@dataclass
class Running:
    """The program, as a holder of `token` has it."""

    url: str
    session: requests.Session
    token: str = ""

    def of(self, token: str) -> "Running":
        """As another has it."""
        return Running(self.url, self.session, token)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """An answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.session.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=(5, 60), **more)

    def get(self, path: str) -> Any:
        """The document of a 200."""
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **more: Any) -> Any:
        """The document of what was done."""
        answer = self.ask("POST", path, **more)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()


def until(test: Callable[[], Any]) -> Any:
    """What `test` says once it is true."""
    end = time.monotonic() + NEVER_S
    while not (found := test()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


@contextmanager
def program(
    objects: list[Object], fake: FakeApi, folder: Path, token: str, git_url: str, *more: str
) -> Iterator[Running]:
    """The API of these manifests on a free port, its account's token in `token` (none: it has none) in a kubeconfig."""
    (container,) = pod_of(objects)["containers"]
    certificate, key = certificates.made(folder)
    (folder / ".gitconfig").write_text("")
    (folder / "ca-bundle.crt").write_text(certificate.read_text())
    places = {
        "--tls-cert": certificate, "--tls-key": key, "--basic-auth": folder, "--ca-bundle": folder,
        "--ca": certificate, "--prometheus-token": certificate, "--prometheus": "http://127.0.0.1:1",
        "--host": "127.0.0.1", "--port": 0, "--git-url": git_url,
    }  # fmt: skip
    given = [text.partition("=") for text in arguments(container)]
    argv = [f"{name}={places.get(name, value)}" if sign else name for name, sign, value in given]
    config = fake.kubeconfig(folder, token or "nobody's")
    if not token:
        document = yaml.safe_load(config.read_text())
        document["users"] = [{"name": "fake", "user": {}}]
        config.write_text(yaml.safe_dump(document))
    own = environment(container) | {"NEAREDGE_HOME": str(folder / "home"), "KUBECONFIG": str(config)}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "scripts.nearedge", *argv, *more], env=os.environ | own, stdout=subprocess.PIPE,
            stderr=log, text=True, cwd=MANIFESTS.parent,
        ) as process,
        requests.Session() as session,
    ):  # fmt: skip
        session.trust_env, session.verify = False, str(certificate)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "log").read_text()
            yield Running(line.split()[0], session)
        finally:
            process.terminate()
            process.wait(NEVER_S)


def bound(role: str, namespace: str, user: str) -> Object:
    """A person with one of our roles."""
    rbac = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": {"name": user, "namespace": namespace},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}],
    }  # fmt: skip


def used(fake: FakeApi, user: str, granted: Rights) -> Rights:
    """What a user asked for, all of which was allowed; by name where the right is for one name."""
    found: Rights = {}
    for one in fake.requests:
        if one.user != user or one.resource in FREE or not one.resource:
            continue
        assert one.status not in (401, 403), one
        resource = f"{one.resource}/{one.subresource}" if one.subresource else one.resource
        place = (one.namespace, one.group, resource)
        key = (*place, one.name if (*place, one.name) in granted else "")
        found.setdefault(key, set()).add(one.verb)
    return found


@pytest.mark.parametrize("folder", [SNO, MICROSHIFT])
def test_the_edges_api_needs_what_it_may_and_nothing_else(folder: str, tmp_path: Path) -> None:
    objects = built(MANIFESTS / folder)
    (tmp_path / "git").mkdir()
    place = Place(tmp_path / "git")
    place.put("b", "site-1", "site-2", name="m")
    place.put("c", "site-1", name="m")
    with served() as fake:
        fake.apply(*objects)
        fake.apply(bound("nearedge-models-view", MODELS, "bob"), bound("nearedge-models-manage", MODELS, "ada"))
        ada, bob, eve = fake.user("ada"), fake.user("bob"), fake.user("eve")
        name = applied(fake, objects, folder)
        fake.apply(
            deployment("m", A), pod("m", "m-1-abcde", A, **running()), event("e", "m-1-abcde", "Started", "it runs")
        )
        fake.write_log(MODELS, "m-1-abcde", "server", "a line\n")
        token = fake.account("nearedge-edge", "nearedge-api")
        with program(objects, fake, tmp_path, token, place.target.url, "--server-address=http://127.0.0.1:1") as api:
            assert [api.of(one).ask("GET", "/models").status_code for one in ("", "nobody", eve)] == [401, 401, 403]
            shown, managed = api.of(bob), api.of(ada)
            until(lambda: [one["name"] for one in shown.get("/models")["items"]] == ["m"])
            until(lambda: any("it runs" in str(one) for one in shown.get("/events")["items"]))
            assert shown.get("/models/m/health")["pods"]
            assert [one["text"] for one in shown.get("/models/m/logs")["lines"]] == ["a line"]
            sync = shown.get("/models/m/sync")
            assert sync["application"] == f"{ARGO_CD}/{name}", sync
            assert shown.ask("POST", "/models/m/sync/pause").status_code == 403
            assert managed.post("/models/m/sync/pause")["paused_by"] == "ada"
            assert managed.post("/models/m/sync/resume")["paused"] is False
            managed.post("/models/m/sync")
            pre_pulled(fake, managed)
    granted = {key: verbs for key, verbs in rights(objects, "nearedge-edge").items() if key[0] in (MODELS, ARGO_CD)}
    assert used(fake, ACCOUNT.format("nearedge-edge"), granted) == granted | JUDGES


def applied(fake: FakeApi, objects: list[Object], folder: str) -> str:
    """Argo CD's Application of the model, as the site's ApplicationSet makes it where there is one; its name."""
    if folder == MICROSHIFT:
        return str(of_kind(objects, "Application")[0]["metadata"]["name"])
    (maker,) = of_kind(objects, "ApplicationSet")
    (there,) = fake.apply(maker)
    owner = {key: there[key] for key in ("apiVersion", "kind")} | {
        key: there["metadata"][key] for key in ("name", "uid")
    }
    metadata = {"name": "nearedge-m", "namespace": ARGO_CD, "ownerReferences": [owner]}
    spec = maker["spec"]["template"]["spec"]
    fake.apply({"apiVersion": maker["apiVersion"], "kind": "Application", "metadata": metadata, "spec": spec})
    return "nearedge-m"


def pre_pulled(fake: FakeApi, api: Running) -> None:
    """One image, and as it cannot be had another."""
    where = f"/api/v1/namespaces/{MODELS}/pods/nearedge-pre-pull-m"
    first, second = (f"sha256:{letter * 64}" for letter in "bc")
    assert first in api.post("/models/m/pre-pull", json={"digest": first})["image"]
    fake.status(where, waiting("ImagePullBackOff", "not there"))
    assert "not there" in api.get("/models/m/pre-pull")["reason"]
    assert second in api.post("/models/m/pre-pull", json={"digest": second})["image"]


@pytest.mark.parametrize("folder", ["core/api", ACTS])
def test_the_cores_api_needs_what_it_may_and_nothing_else(folder: str, tmp_path: Path) -> None:
    """With callers' tokens its own account asks for nothing, and who manages runs for what it would ask for itself."""
    objects = [*built(MANIFESTS / "core/pipelines"), *built(MANIFESTS / folder)]
    with served() as fake, World(fake.kubeconfig(tmp_path), "nearedge", ground.CONTROLLERS):
        fake.apply(*objects)
        fake.apply((ground.HERE / "pipelines.yaml").read_text().replace("IMAGE", ground.IMAGE), namespace="nearedge")
        fake.apply(bound("nearedge-runs-view", "nearedge", "bob"))
        ada, bob, eve = fake.user("ada", "nearedge-users"), fake.user("bob"), fake.user("eve")
        as_caller = folder == "core/api"
        token = "" if as_caller else fake.account("nearedge-core", "nearedge-api")
        (tmp_path / "api").mkdir()
        with program(objects, fake, tmp_path / "api", token, "") as api:
            assert [api.of(one).ask("GET", "/runs").status_code for one in ("", "nobody", eve)] == [401, 401, 403]
            shown, managed = api.of(bob), api.of(ada)
            wanted = {"pipeline": "greet", "params": {"who": "you"}}
            assert shown.ask("POST", "/runs", json=wanted).status_code == 403
            name = managed.post("/runs", json=wanted)["name"]
            held = managed.post("/runs", json={"pipeline": "hold", "params": {"seconds": "600"}})["name"]
            waits = managed.post("/runs", json={"pipeline": "huge"})["name"]  # why is what its pod says
            for one in (managed, shown):
                until(lambda one=one: "Insufficient cpu" in str(one.get(f"/runs/{waits}")["tasks"]))
                until(lambda one=one: one.get(f"/runs/{name}")["state"] == "Succeeded")
                looked(one, name)
            until(lambda: "begin" in managed.ask("GET", f"/runs/{held}/logs").text)
            managed.post(f"/runs/{held}/cancel")
            until(lambda: managed.get(f"/runs/{held}")["state"] == "Cancelled")
            assert shown.ask("DELETE", f"/runs/{held}").status_code == 403
            assert managed.ask("DELETE", f"/runs/{held}").status_code == 204
    granted = {key: verbs for key, verbs in rights(built(MANIFESTS / ACTS), "nearedge-core").items() if key[0]}
    own = used(fake, ACCOUNT.format("nearedge-core"), granted)
    assert own == ({} if as_caller else granted | JUDGES)
    if as_caller:
        assert used(fake, "ada", granted) == granted


def looked(api: Running, name: str) -> None:
    """At everything about a run, and at its events and log until they end."""
    for path in ("/pipelines", "/pipelines/greet", "/tasks", "/tasks/say", "/runs", f"/runs/{name}/results"):
        assert api.get(path)
    assert "hello you" in api.ask("GET", f"/runs/{name}/logs?follow=true").text
    assert "event: end" in api.ask("GET", f"/runs/{name}/events").text
