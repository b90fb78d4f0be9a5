"""What moves releases to a site: a cluster's GitOps, or nothing. The audit log is written by `actions`."""

from typing import NoReturn, Protocol

from nearedge.api.edge.held import absent
from nearedge.api.edge.manage_documents import PrePull, Sync
from nearedge.api.problems import conflict

NO_SYNC = (
    "nearedge serve does not follow git, so nothing is taken over by itself; "
    "stop it and start it with the image that git names"
)
NO_PRE_PULL = (
    "nearedge serve pulls no image before it is started with it; "
    "fetch it with podman pull, and start nearedge serve with it"
)


class Control(Protocol):
    """What `Actions` hands sync and pre-pull on to. The model `name` is one that the site has.

    What is only looked at never fails for want of a source. An action raises ProblemError 409 with a sentence where it
    cannot be, else what the cluster says, or OutsideError.
    """

    async def sync(self, name: str) -> Sync:
        """How the site follows git with a model."""

    async def pause(self, name: str, who: str) -> Sync:
        """Follow git no more by itself; paused already, it stays so."""

    async def resume(self, name: str, who: str) -> Sync:
        """Undo `pause`, that and nothing else."""

    async def sync_now(self, name: str, who: str) -> Sync:
        """Begin to put into the site what git says now."""

    async def pre_pulled(self, name: str) -> PrePull:
        """How the newest pre-pull stands."""

    async def pre_pull(self, name: str, digest: str | None, who: str) -> PrePull:
        """Begin to bring an image to the site."""


class NoControl:
    """Of a site where somebody starts servers by hand."""

    async def sync(self, name: str) -> Sync:
        """Nothing follows git."""
        return unknown_sync(name, NO_SYNC).model_copy(update={"sources": [absent("argocd", NO_SYNC)]})

    async def pause(self, name: str, who: str) -> Sync:
        """There is nothing to pause."""
        del who
        return refuse(name, NO_SYNC)

    async def resume(self, name: str, who: str) -> Sync:
        """There is nothing to resume."""
        del who
        return refuse(name, NO_SYNC)

    async def sync_now(self, name: str, who: str) -> Sync:
        """There is nothing that would."""
        del who
        return refuse(name, NO_SYNC)

    async def pre_pulled(self, name: str) -> PrePull:
        """None is ever on its way."""
        return no_pre_pull(name, NO_PRE_PULL).model_copy(update={"sources": [absent("cluster", NO_PRE_PULL)]})

    async def pre_pull(self, name: str, digest: str | None, who: str) -> PrePull:
        """Whoever starts the server pulls."""
        del digest, who
        return refuse(name, NO_PRE_PULL)


def refuse(name: str, why: str) -> NoReturn:
    """Raise ProblemError 409."""
    raise conflict(f"model {name!r}: {why}")


def unknown_sync(name: str, reason: str) -> Sync:
    """Nothing is known; from where, the caller adds."""
    return Sync(
        name=name, application=None, models=[], automated=None, paused=None, paused_by=None, paused_at=None,
        status=None, revision=None, wanted=None, health=None, last=None, reason=reason, sources=[],
    )  # fmt: skip


def no_pre_pull(name: str, reason: str) -> PrePull:
    """There is none; from where that is known, the caller adds."""
    return PrePull(
        name=name, state="none", image=None, version=None, reason=reason, bytes=None, by=None, asked=None, ended=None,
        sources=[],
    )  # fmt: skip
