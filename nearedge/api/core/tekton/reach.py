"""Who asks the cluster: the caller with a token of their own, or we with ours."""

from collections.abc import Mapping
from dataclasses import dataclass

from nearedge.api.access import ROLES, Judge, Role
from nearedge.api.cluster.connection import Cluster
from nearedge.api.cluster.resources import PIPELINE_RUNS, Api, Object, path
from nearedge.api.cluster.reviews import AsOurselves, AsTheCaller, Right
from nearedge.api.cluster.reviews import Judge as ReviewJudge
from nearedge.api.problems import ProblemError

MOST = 20_000
"""Objects of a list that are read."""
VERBS: Mapping[Role, str] = {"read": "list", "manage": "create"}
"""What somebody has to be allowed to do with PipelineRuns for each role."""


@dataclass(frozen=True)
class Reach:
    """A cluster, who judges callers, and whether their own tokens are what it sees."""

    cluster: Cluster
    judge: Judge
    as_caller: bool

    @property
    def namespace(self) -> str:
        """Where the runs are."""
        return self.cluster.namespace

    def token(self, given: str) -> str:
        """The token to send; empty: we ask as ourselves. Raises ProblemError 401 where the caller's is missing."""
        if not self.as_caller:
            return ""
        if not given:
            raise ProblemError(401, "it wants a token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        return given

    async def name(self, given: str) -> str:
        """Who the caller is, as the cluster has it."""
        caller = await self.judge(given)
        if caller is None:
            raise ProblemError(401, "the token is not known to the cluster", {"WWW-Authenticate": "Bearer"})
        return caller.name

    def path(self, api: Api, name: str = "", sub: str = "") -> str:
        """Where a collection or an object is."""
        return path(api, self.namespace, name, sub)

    async def every(self, api: Api, given: str, labels: str = "") -> list[Object]:
        """All objects of a kind that carry `labels`. Raises StatusError, OutsideError."""
        query = {"labelSelector": labels} if labels else {}
        found: list[Object] = []
        async for part in self.cluster.pages(self.path(api), token=self.token(given), **query):
            found += part.get("items") or []
            if len(found) >= MOST:
                break
        return found


def reach(cluster: Cluster, *, as_caller: bool) -> Reach:
    """The reach of a cluster: who may list PipelineRuns may read, who may create them may manage."""
    rights = {role: Right(VERBS[role], PIPELINE_RUNS.group, PIPELINE_RUNS.plural, cluster.namespace) for role in ROLES}
    reviews = AsTheCaller(cluster) if as_caller else AsOurselves(cluster)
    return Reach(cluster, ReviewJudge(reviews, rights), as_caller)
