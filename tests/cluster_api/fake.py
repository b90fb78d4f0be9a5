"""The cluster that tests have: an API server on loopback, its administrator, and switches for what may go wrong.

    with served() as fake:
        fake.apply(yaml_text, {"apiVersion": ...})      # as the administrator; kustomize's output as it is
        token = fake.user("ada", "nearedge-users")       # or fake.account("nearedge", "edge-api")
        config = fake.kubeconfig(tmp_path, token)        # `fake.url` is the server's address
        fake.faults.answer(503, "list", "pods", times=2)
        assert fake.requests[-1].status == 200

ADR 0030 says what of a real API server this is and what it is not.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import yaml

from tests import served as serving
from tests.cluster_api import bootstrap, certificates
from tests.cluster_api.administrator import Administrator
from tests.cluster_api.api import Api
from tests.cluster_api.faults import Faults
from tests.cluster_api.operations import Operations
from tests.cluster_api.pod_logs import Logs
from tests.cluster_api.rbac import Rbac
from tests.cluster_api.resources import Resource, Resources
from tests.cluster_api.server import Seen, Server
from tests.cluster_api.store import Store
from tests.cluster_api.users import Users
from tests.cluster_api.watching import Clock

Object = dict[str, Any]

PATIENCE_S = 30.0


class FakeApi(Administrator):
    """A cluster's API, and what its administrator does to it."""

    def __init__(self, *, graceful: bool = False, tls: Path | None = None) -> None:
        """See `served`."""
        store, self.faults = Store(), Faults()
        self.users = Users(store)
        operations = Operations(store, Resources(), graceful)
        super().__init__(Api(operations, self.users, Rbac(store), Logs()))
        self.server = Server(self.api, self.faults)
        self.certificate = None if tls is None else certificates.made(tls)
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.holder.bind(("127.0.0.1", 0))  # never listens: keeps the port while the server is away
        self.port = self.holder.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self.running: tuple[serving.Server, threading.Thread] | None = None
        self.apply(*map(bootstrap.space, bootstrap.NAMESPACES), *bootstrap.ROLES)

    # The server

    def start(self) -> None:
        """Listen, again at the same port."""
        # asyncio sends small pieces at once only where a socket says that it is of TCP.
        listener = socket.socket(proto=socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", self.port))
        certificate, key = self.certificate or (None, None)
        config = uvicorn.Config(
            self.server,
            log_level="critical",
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        server = serving.Server(config)
        thread = threading.Thread(target=lambda: server.run([listener]), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        self.running = server, thread

    def stop(self) -> None:
        """End all connections, and refuse others until `start`. What is stored stays."""
        if self.running is None:
            return
        server, thread = self.running
        self.running = None
        self.server.stopping = True
        self.server.ring()
        server.should_exit = True
        thread.join(serving.END_S)
        assert not thread.is_alive()

    @contextmanager
    def away(self) -> Iterator[None]:
        """For a block no connection is taken."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """The end. Raises AssertionError where the fake itself did something wrong."""
        self.stop()
        self.holder.close()
        assert not self.server.broken, "\n".join(self.server.broken)

    @property
    def requests(self) -> list[Seen]:
        """The audit: who asked for what over HTTP, and the answer's status (0: not answered yet)."""
        return list(self.server.seen)

    # Who

    @property
    def admin(self) -> str:
        """The administrator's token."""
        return self.users.admin

    def user(self, name: str, *groups: str) -> str:
        """A token of a user; `system:authenticated` is added."""
        return self.users.add(name, *groups)

    def account(self, namespace: str, name: str) -> str:
        """A token of a ServiceAccount that is there, as a pod has it; LookupError."""
        return self.users.account(namespace, name)

    def revoke(self, token: str) -> None:
        """From now on that token is nobody's (401)."""
        self.users.revoke(token)

    def kubeconfig(self, folder: Path, token: str = "", namespace: str = "default") -> Path:
        """A kubeconfig in `folder`, with the administrator's token where none is given. Its context is `fake`."""
        cluster: Object = {"server": self.url}
        if self.certificate:
            cluster["certificate-authority"] = str(self.certificate[0])
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "users": [{"name": "fake", "user": {"token": token or self.admin}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}],
        }  # fmt: skip
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    # What may happen to it

    @property
    def clock(self) -> Clock:
        """`bookmark_s`: seconds between bookmarks."""
        return self.server.clock

    def compact(self) -> None:
        """Forget all earlier versions: watches from them, and `continue` tokens of them, get 410."""
        self.store.compact()

    def bookmark(self) -> None:
        """All watches that allow it get a bookmark now."""
        self.clock.bookmark += 1
        self.server.ring()

    def end_watches(self) -> None:
        """All watches that are open end, as those that have timed out."""
        self.clock.ended += 1
        self.server.ring()

    def cut(self) -> None:
        """All watches and followed logs that are open are cut in the midst."""
        self.clock.cut += 1
        self.server.ring()

    def until(self, test: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """What `test` says once it is true; AssertionError where it is not in time. LookupErrors count as not yet."""
        end = time.monotonic() + patience_s
        while True:
            try:
                found = test()
            except LookupError:
                found = None
            if found:
                return found
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)

    def resource(self, group: str, version: str, plural: str) -> Resource:
        """How a resource is served."""
        return self.resources.by_path[group, version, plural]


@contextmanager
def served(*, graceful: bool = False, tls: Path | None = None) -> Iterator[FakeApi]:
    """A cluster's API on loopback until the block ends.

    `graceful`: pods that are on a node stay with a deletionTimestamp until somebody (a kubelet) deletes them with
    gracePeriodSeconds 0, as on a real cluster; else they go at once. `tls`: a folder for a certificate; without it the
    server speaks plain HTTP, over which kubectl sends no token.
    """
    fake = FakeApi(graceful=graceful, tls=tls)
    try:
        fake.start()
        yield fake
    finally:
        fake.close()
