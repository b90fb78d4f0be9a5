"""Routes that move sites to a release: promote and roll back. Each is audited, and done once for an Idempotency-Key."""

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Header, Request

from nearedge.api import pages
from nearedge.api.access import Caller
from nearedge.api.application import PREFIX, RESPONSES, Manager
from nearedge.api.core import moves
from nearedge.api.core.moves import Move
from nearedge.api.core.moving import Doing
from nearedge.api.core.release_models import ModelName, Moved, Promote, Rollback
from nearedge.api.core.remembered import LONGEST_KEY
from nearedge.delivery.gitops.timeline import Timeline

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=LONGEST_KEY,
        description="any text of yours; a repeated request with the same key and body is done once",
    ),
]  # fmt: skip
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=1024, description="ETag of GET /models/{name}: only if nothing changed since"),
]


def router(doing: Doing) -> APIRouter:
    """`/models/{name}/promote` and `/models/{name}/rollback`."""
    found = APIRouter(prefix=f"{PREFIX}/models", tags=["releases"], responses=RESPONSES)

    async def run(caller: Caller, move: Move, key: str | None) -> Moved:
        now = (await doing.source.known()).value or Timeline()
        return await to_thread.run_sync(doing.audited, caller, move, key or "", now)

    @found.post("/{name}/promote")
    async def promote(
        caller: Manager, request: Request, name: ModelName, wanted: Promote, key: Key = None, _: IfMatch = None
    ) -> Moved:
        """Move sites that run the model to a release which the branch holds or held, by one commit."""
        return await run(caller, moves.of_promotion(name, wanted, partial(pages.unchanged, request)), key)

    @found.post("/{name}/rollback")
    async def roll_back(
        caller: Manager, request: Request, name: ModelName, wanted: Rollback, key: Key = None, _: IfMatch = None
    ) -> Moved:
        """Set sites back by one commit on top: to what each ran before, or to a release that is named."""
        return await run(caller, moves.of_rollback(name, wanted, partial(pages.unchanged, request)), key)

    return found
