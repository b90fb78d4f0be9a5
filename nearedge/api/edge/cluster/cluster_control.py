"""What moves releases to a site on a cluster: Argo CD's Applications, and pods that bring images.

`ClusterSite` puts it in place of `Actions.control`, which checks that the site has the model, and writes the audit log:

    self.control = ClusterControl(cluster, models_namespace, Argo(namespace, pattern), settings.site, self.mirror)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import anyio

from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.edge.cluster.pulling import Pulling
from nearedge.api.edge.cluster.syncing import Syncing
from nearedge.api.edge.desired import Image, Mirror
from nearedge.api.edge.manage_documents import PrePull, Sync
from nearedge.api.problems import conflict
from nearedge.errors import OutsideError


class Argo(NamedTuple):
    """Where the Applications are, and how they are named: {site} and {model} are filled in."""

    namespace: str
    pattern: str


class ClusterControl:
    """A `Control`. With our own rights, not the caller's: who may do what is decided before."""

    def __init__(self, cluster: Cluster, namespace: str, argo: Argo, site: str, mirror: Mirror | None) -> None:
        """`namespace` is that of the models; `mirror` says which images git names. Nothing is asked yet."""
        self.mirror = mirror
        self.syncing = Syncing(cluster, argo.namespace, argo.pattern, site)
        self.pulling = Pulling(cluster, namespace, self.wanted)

    async def wanted(self, model: str, digest: str | None) -> Image:
        """The image that git names."""
        mirror = self.mirror
        if mirror is None:
            raise conflict("no git repository is configured, so which image is next is not known; give --git-url")
        return await anyio.to_thread.run_sync(mirror.image, model, digest)

    async def sync(self, name: str) -> Sync:
        """How the site follows git with a model."""
        return await self.syncing.sync(name)

    async def pause(self, name: str, who: str) -> Sync:
        """Follow git no more by itself."""
        with our_rights():
            return await self.syncing.pause(name, who)

    async def resume(self, name: str, who: str) -> Sync:
        """Undo that."""
        with our_rights():
            return await self.syncing.resume(name, who)

    async def sync_now(self, name: str, who: str) -> Sync:
        """Have Argo CD put into the site what git says now."""
        with our_rights():
            return await self.syncing.sync_now(name, who)

    async def pre_pulled(self, name: str) -> PrePull:
        """How the newest pre-pull stands."""
        return await self.pulling.stands(name)

    async def pre_pull(self, name: str, digest: str | None, who: str) -> PrePull:
        """Begin to bring an image to the node."""
        with our_rights():
            return await self.pulling.begin(name, digest, who)


@contextmanager
def our_rights() -> Iterator[None]:
    """Raise OutsideError where it is we who may not do that: the caller might."""
    try:
        yield
    except StatusError as error:
        if error.code not in (401, 403):
            raise
        raise OutsideError(f"this API's own rights on the cluster do not suffice: {error.message}") from error
