"""Pausing, resuming and starting the sync of a model's Application; a change holds for the state it was made for."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nearedge.api.cluster.connection import Cluster, StatusError
from nearedge.api.cluster.resources import APPLICATIONS, Object, path
from nearedge.api.edge.cluster import applications
from nearedge.api.edge.control import unknown_sync
from nearedge.api.edge.held import absent, state_of, when
from nearedge.api.edge.manage_documents import Sync
from nearedge.api.problems import ProblemError, conflict
from nearedge.errors import OutsideError

PATIENCE_S = 3.0
"""How long an answer that only looks waits for the cluster."""
TRIES = 5
"""Of a change that somebody else's change comes between."""
MOST = 64
"""Models whose last answer is kept."""


class Syncing:
    """The Applications of a site in namespace `argocd`, named by `pattern` with {site} and {model} filled in."""

    def __init__(self, cluster: Cluster, argocd: str, pattern: str, site: str) -> None:
        """Nothing is asked yet. Without a namespace or a pattern nothing is known of Argo CD."""
        self.cluster, self.argocd, self.pattern, self.site = cluster, argocd, pattern, site
        self.known: dict[str, tuple[float, Sync]] = {}

    def name(self, model: str) -> str:
        """The name of a model's Application."""
        return self.pattern.replace("{site}", self.site).replace("{model}", model)

    def where(self, model: str) -> str:
        """The path of a model's Application. Raises ProblemError 409 where there can be none."""
        if not (self.argocd and self.pattern):
            raise conflict("where Argo CD's Applications are is not configured; give --argocd-namespace, --application")
        return path(APPLICATIONS, self.argocd, self.name(model))

    async def sync(self, model: str) -> Sync:
        """How the site follows git with a model. Never fails: the answer says what is missing."""
        if not (self.argocd and self.pattern):
            why = "where Argo CD's Applications are is not configured"
            return unknown_sync(model, why).model_copy(update={"sources": [absent("argocd", why)]})
        try:
            async with asyncio.timeout(PATIENCE_S):
                return self.told(model, await self.application(model))
        except TimeoutError:
            fault = f"no answer of the cluster within {PATIENCE_S:g} s"
        except (ProblemError, OutsideError) as error:
            fault = str(error)
        at, before = self.known.get(model, (None, unknown_sync(model, fault)))
        return before.model_copy(update={"sources": [state_of("argocd", at, fault)]})

    async def application(self, model: str) -> Object:
        """A model's Application. Raises ProblemError 409 where there is none, and what the cluster says."""
        try:
            return await self.cluster.get(self.where(model))
        except StatusError as error:
            if error.code != 404:
                raise
            called = f"{self.argocd}/{self.name(model)}"
            raise conflict(f"there is no Application {called}; --application says how they are named") from error

    def told(self, model: str, application: Object) -> Sync:
        """The document of an Application, which is kept. Raises OutsideError where it is not as its kind has it."""
        now = time.time()
        with as_they_are(self.name(model)):
            found = applications.document(model, application, state_of("argocd", now, ""))
        self.known.pop(model, None)
        self.known[model] = (now, found)
        if len(self.known) > MOST:
            del self.known[next(iter(self.known))]
        return found

    async def pause(self, model: str, who: str) -> Sync:
        """Follow git no more by itself. Raises ProblemError, OutsideError."""
        return await self.changed(model, lambda one: applications.pause(one, who, when(time.time())), lasts=True)

    async def resume(self, model: str, who: str) -> Sync:
        """Undo that. Raises ProblemError, OutsideError."""
        del who  # the audit log has it; of a pause that is over nothing is left in the cluster
        return await self.changed(model, applications.resume, lasts=False)

    async def sync_now(self, model: str, who: str) -> Sync:
        """Have Argo CD put git's newest state into the site, once; a pause stays. Raises ProblemError, OutsideError."""
        return await self.changed(model, lambda one: applications.sync_now(one, who, self.site), lasts=False)

    async def changed(self, model: str, change: Callable[[Object], Object | None], *, lasts: bool) -> Sync:
        """The Application after `change`, None of which says that it is so already.

        The patch holds for the version that it was made for only: where another change came between, it is made anew.
        `lasts`: refused where somebody would put the change back.
        """
        for _ in range(TRIES):
            application = await self.application(model)
            with as_they_are(self.name(model)):
                patch = change(application)
            if patch is None:
                return self.told(model, application)
            if lasts:
                await self.check_lasting(application)
            patch["metadata"]["resourceVersion"] = application["metadata"]["resourceVersion"]
            try:
                return self.told(model, await self.cluster.patch(self.where(model), patch))
            except StatusError as error:
                if error.code != 409:
                    raise
        raise conflict(f"Application {self.name(model)} was changed by others {TRIES} times meanwhile; try again")

    async def check_lasting(self, application: Object) -> None:
        """Raise ProblemError 409 where a change of an Application would be put back."""
        why = applications.carried(application)
        maker = applications.made_by(application)
        if not why and maker:
            try:
                found = await self.cluster.get(path(applications.APPLICATION_SETS, self.argocd, maker))
            except StatusError as error:
                if error.code != 404:
                    raise
            else:
                why = applications.overruled(application, found)
        if why:
            raise conflict(f"{applications.title(application)}: {why}" if maker else why)


@contextmanager
def as_they_are(name: str) -> Iterator[None]:
    """Raise OutsideError where an Application is not as its kind has it."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise OutsideError(f"Application {name} is not as we know them: {error!r}"[:300]) from error
