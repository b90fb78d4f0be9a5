"""Where the tests run: a namespace of a real cluster, or of the API server for tests with stand-ins for controllers.

A real one where NEAREDGE_TEST_CLUSTER=1 and KUBECONFIG is set, as `make test-cluster` does. It needs Tekton Pipelines
1.0 or newer, nodes that can pull NEAREDGE_TEST_IMAGE, and an administrator: a namespace, ServiceAccounts, Roles and
ClusterRoleBindings are made, and removed at the end.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from anyio.from_thread import BlockingPortal, start_blocking_portal

from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.cluster.resources import Api, Object, path
from tests.cluster_api import FakeApi, served
from tests.cluster_world.argocd import ArgoCD
from tests.cluster_world.deployments import Deployments, Jobs
from tests.cluster_world.kubelet import Kubelet
from tests.cluster_world.tekton import Tekton
from tests.cluster_world.world import Controller, World

REAL = os.environ.get("NEAREDGE_TEST_CLUSTER") == "1" and bool(os.environ.get("KUBECONFIG"))
IMAGE = os.environ.get("NEAREDGE_TEST_IMAGE") or "docker.io/library/busybox:1.37"
HERE = Path(__file__).parent
MANIFESTS = HERE.parents[1] / "manifests"
CONTROLLERS: tuple[type[Controller], ...] = (Tekton, Kubelet, Deployments, Jobs, ArgoCD)

NAMESPACES, ACCOUNTS = Api("", "v1", "namespaces"), Api("", "v1", "serviceaccounts")
ROLES = Api("rbac.authorization.k8s.io", "v1", "roles")
BINDINGS = Api("rbac.authorization.k8s.io", "v1", "rolebindings")
CLUSTER_BINDINGS = Api("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
TOKEN_S = 3600

Rule = dict[str, list[str]]


def rules(file: str, name: str) -> list[Rule]:
    """What a ClusterRole or Role of our manifests allows; the tests show that it is enough."""
    documents = yaml.safe_load_all((MANIFESTS / file).read_text())
    role = next(one for one in documents if one["kind"] in ("Role", "ClusterRole") and one["metadata"]["name"] == name)
    found: list[Rule] = role["rules"]
    return found


def manages() -> list[Rule]:
    """Of MLOps engineers."""
    return rules("core/pipelines/users.yaml", "nearedge-runs-manage")


def views() -> list[Rule]:
    """Of who may see everything and start nothing."""
    return rules("core/pipelines/users.yaml", "nearedge-runs-view")


@dataclass
class Ground:
    """A namespace, as its administrator has it. `fake` is None on a real cluster."""

    kubeconfig: Path
    namespace: str
    folder: Path
    portal: BlockingPortal
    cluster: Cluster
    fake: FakeApi | None
    own_uids: bool = False
    """Whether the cluster chooses the users that pods run as, as OpenShift does."""
    bound: list[str] = field(default_factory=list)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """What an async function of the cluster answers."""
        future: Future[Any] = self.portal.start_task_soon(function, *args)
        return future.result(30)

    def where(self, api: Api, name: str = "", sub: str = "") -> str:
        """The path of objects in the namespace, or of the cluster's own."""
        own = api in (NAMESPACES, CLUSTER_BINDINGS)
        return path(api, "" if own else self.namespace, name, sub)

    def get(self, api: Api, name: str = "") -> Object:
        """An object, or a list."""
        found: Object = self.call(self.cluster.get, self.where(api, name))
        return found

    def items(self, api: Api, labels: str = "") -> list[Object]:
        """Those that have the labels."""

        async def asked() -> Object:
            return await self.cluster.get(self.where(api), **({"labelSelector": labels} if labels else {}))

        found: list[Object] = self.call(asked)["items"]
        return found

    def create(self, api: Api, body: Object, name: str = "", sub: str = "") -> Object:
        """A new object."""
        found: Object = self.call(self.cluster.create, self.where(api, name, sub), body)
        return found

    def patch(self, api: Api, name: str, body: object) -> Object:
        """A merge patch."""
        found: Object = self.call(self.cluster.patch, self.where(api, name), body)
        return found

    def delete(self, api: Api, name: str) -> None:
        """Nothing where it is gone already."""
        try:
            self.call(self.cluster.delete, self.where(api, name))
        except StatusError as error:
            if error.code != 404:
                raise

    def until(self, test: Callable[[], Any], patience_s: float = 120.0) -> Any:
        """What `test` says once it is true; a test has failed where it is not in time."""
        end = time.monotonic() + patience_s
        while not (found := test()):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.1)
        return found

    def apply(self, text: str) -> None:
        """New objects, tekton.dev/v1, of YAML."""
        text = text.replace("IMAGE", IMAGE).replace("runAsUser: 1001, ", "" if self.own_uids else "runAsUser: 1001, ")
        for one in yaml.safe_load_all(text):
            group, _, version = one["apiVersion"].rpartition("/")
            self.create(Api(group, version, f"{one['kind'].lower()}s"), one)

    def user(self, rights: Sequence[Rule] = (), *, delegates: bool = False) -> str:
        """A token of a new ServiceAccount with these rights; `delegates`: it may ask for reviews as well."""
        name = f"user-{secrets.token_hex(4)}"
        rbac = "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        self.create(ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
        if rights:
            role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": name}, "rules": list(rights)}
            self.create(ROLES, role)
            self.create(BINDINGS, {
                "apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": {"name": name}, "subjects": [subject],
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
            })  # fmt: skip
        if delegates:
            self.bound.append(f"{self.namespace}-{name}")
            self.create(CLUSTER_BINDINGS, {
                "apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": self.bound[-1]},
                "subjects": [subject],
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:auth-delegator"},
            })  # fmt: skip
        body: Object = {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN_S}
        }  # fmt: skip
        return str(self.create(ACCOUNTS, body, name, "token")["status"]["token"])

    def config_of(self, token: str) -> Path:
        """A kubeconfig for the same cluster and that token; none: nobody."""
        known = yaml.safe_load(self.kubeconfig.read_text())
        context = next(one for one in known["contexts"] if one["name"] == known["current-context"])
        known["users"] = [{"name": "own", "user": {"token": token} if token else {}}]
        context["context"] |= {"user": "own", "namespace": self.namespace}
        for one in known["clusters"]:
            if authority := one["cluster"].get("certificate-authority"):
                one["cluster"]["certificate-authority"] = str(self.kubeconfig.absolute().parent / authority)
        found = self.folder / f"{secrets.token_hex(4)}.kubeconfig"
        found.write_text(yaml.safe_dump(known))
        return found


@contextmanager
def ground(folder: Path, controllers: Sequence[type[Controller]] = CONTROLLERS) -> Iterator[Ground]:
    """A namespace with the Tasks and Pipelines of this folder; removed with all in it at the end."""
    with start_blocking_portal() as portal:
        if REAL:
            kubeconfig = Path(os.environ["KUBECONFIG"].partition(os.pathsep)[0])
            with namespace(portal, kubeconfig, folder, None) as found:
                yield found
            return
        with served() as fake:
            kubeconfig = fake.kubeconfig(folder)
            with namespace(portal, kubeconfig, folder, fake) as found, World(kubeconfig, found.namespace, controllers):
                yield found


@contextmanager
def namespace(portal: BlockingPortal, kubeconfig: Path, folder: Path, fake: FakeApi | None) -> Iterator[Ground]:
    """A new namespace."""
    name = f"nearedge-test-{secrets.token_hex(4)}"
    cluster = portal.call(lambda: opened(kubeconfig, name))
    found = Ground(kubeconfig, name, folder, portal, cluster, fake)
    try:
        groups = portal.call(cluster.get, "/apis")["groups"]
        found.own_uids = any(one["name"] == "security.openshift.io" for one in groups)
        found.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        found.apply((HERE / "pipelines.yaml").read_text())
        yield found
    finally:
        if REAL:
            for binding in found.bound:
                found.delete(CLUSTER_BINDINGS, binding)
            found.delete(NAMESPACES, name)
        portal.call(cluster.aclose)


async def opened(kubeconfig: Path, namespace: str) -> Cluster:
    """A connection, made on the loop that uses it."""
    return Cluster.found(kubeconfig, namespace=namespace)
