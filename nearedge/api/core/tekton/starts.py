"""Starting a run on the cluster: checked first, once for each idempotency key, or an earlier one given back."""

from dataclasses import dataclass

from nearedge.api.cluster.connection import StatusError
from nearedge.api.cluster.resources import PIPELINE_RUNS, Object
from nearedge.api.core.local_starts import RESERVED, digest
from nearedge.api.core.models import ENDED, NewRun
from nearedge.api.core.tekton import declared, pipelineruns, summaries
from nearedge.api.core.tekton.listing import Listing
from nearedge.api.core.tekton.pipelineruns import Account
from nearedge.api.core.tekton.reach import Reach
from nearedge.api.problems import ProblemError, conflict
from nearedge.errors import InputError


@dataclass(frozen=True)
class Asked:
    """Who asks for what with which key; digests of the key (empty: none) and of the request."""

    wanted: NewRun
    caller: str
    token: str
    key: str
    request: str


@dataclass(frozen=True)
class Starts:
    """Starts runs of the Pipelines on the cluster."""

    reach: Reach
    listing: Listing
    account: Account

    async def start(self, wanted: NewRun, key: str, token: str) -> tuple[str, bool]:
        """The run's name, and whether it is new. Raises InputError before anything is made, ProblemError 409."""
        caller = await self.reach.name(token)
        mark = pipelineruns.key_digest(caller, key) if key else ""
        asked = Asked(wanted, caller, token, mark, digest(wanted.model_dump(mode="json")))
        if wanted.name in RESERVED:
            raise InputError(f"name: {wanted.name} is taken; choose another")
        earlier = await self.listing.of_key(mark, token) if mark else ""
        if earlier and await self.same(earlier, asked):
            return earlier, False
        pipeline = await declared.pipeline(self.reach, token, wanted.pipeline)
        values = pipelineruns.checked(wanted, pipeline)
        spec = pipelineruns.spec_of(wanted, self.account)
        tasks = await declared.used_tasks(self.reach, token, pipeline)
        content = pipelineruns.content_of(spec, values, pipeline, tasks)
        if wanted.reuse:
            found = await self.listing.of_content(content, token)
            if found:
                return found, False
        return await self.create(asked, spec, content)

    async def create(self, asked: Asked, spec: Object, content: str) -> tuple[str, bool]:
        """Create the PipelineRun, or find the one of the same key that somebody was faster to create."""
        wanted, place = asked.wanted, self.reach.path(PIPELINE_RUNS)
        name = wanted.name or (pipelineruns.name_for(wanted.pipeline, asked.key) if asked.key else "")
        called = {"name": name} if name else {"generateName": f"{wanted.pipeline}-"}
        notes = {
            summaries.OWNER_NAME: asked.caller, summaries.CONTENT: content, summaries.REQUEST: asked.request,
            summaries.KEY: asked.key,
        }  # fmt: skip
        labels = pipelineruns.labels_for(wanted.labels, asked.caller)
        body = pipelineruns.document(spec, labels, notes, **called)
        try:
            made = await self.reach.cluster.create(place, body, token=self.reach.token(asked.token))
        except StatusError as error:
            if error.reason == "AlreadyExists" and name:
                if await self.same(name, asked):
                    return name, False
                raise conflict(f"run {name}: was deleted just now; ask again") from error
            raise refused(error) from error
        return str(made["metadata"]["name"]), True

    async def same(self, name: str, asked: Asked) -> bool:
        """Whether the run of that name was asked for with the same key and content; False where it is gone by now.

        Raises ProblemError 409 where it was asked for otherwise.
        """
        try:
            there = await self.reach.cluster.get(
                self.reach.path(PIPELINE_RUNS, name), token=self.reach.token(asked.token)
            )
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        notes = there["metadata"].get("annotations") or {}
        if not asked.key or notes.get(summaries.KEY) != asked.key:
            raise conflict(f"run {name}: is there already; choose another name")
        if notes.get(summaries.REQUEST) != asked.request:
            raise conflict("Idempotency-Key: was used for a run of another content; use a new one")
        return True


def refused(error: StatusError) -> ProblemError:
    """What the caller is told: what the cluster finds wrong with a run is wrong with what was asked for."""
    if error.code in (400, 422):
        return ProblemError(422, f"the cluster refused the run: {error.message}")
    return error


def was_there(state: str, *, new: bool) -> bool:
    """Whether a run had ended before it was asked for."""
    return not new and state in ENDED
