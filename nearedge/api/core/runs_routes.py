"""Runs: start, list, look, cancel, retry, delete."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from nearedge.api import pages
from nearedge.api.application import PREFIX, RESPONSES, Manager, Reader, Token
from nearedge.api.core.engine import Engine
from nearedge.api.core.models import NewRun, Run, RunName, RunSummary, State
from nearedge.api.core.run_index import key
from nearedge.api.models import Page
from nearedge.api.pages import After, Limit
from nearedge.api.problems import ProblemError

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=255,
        description="any text of yours; a repeated request with the same key and body is the same run",
    ),
]  # fmt: skip
Labels = Annotated[list[str], Query(alias="label", max_length=16, description="NAME=VALUE; all of them have to fit")]


def router(engine: Engine) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix=f"{PREFIX}/runs", tags=["runs"], responses=RESPONSES)
    changed: dict[int | str, dict[str, object]] = {
        200: {"model": Run, "description": "an earlier run: of the same Idempotency-Key, or reused"}
    }

    @routes.post("", status_code=201, responses=changed, response_model=Run)
    async def start(wanted: NewRun, response: Response, _: Manager, token: Token, idempotency_key: Key = None) -> Run:
        """Start a run. Everything is checked first; what is refused leaves nothing behind."""
        run, new = await engine.start(wanted, idempotency_key or "", token)
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"{PREFIX}/runs/{run.name}"
        return run

    @routes.get("")
    async def listed(
        _: Reader,
        token: Token,
        limit: Limit = 50,
        after: After = None,
        state: State | None = None,
        pipeline: Annotated[str | None, Query(max_length=253)] = None,
        label: Labels = [],  # noqa: B006  (FastAPI reads the default, and copies it)
    ) -> Page[RunSummary]:
        """Runs, the newest first, those that have not begun before all."""
        fits = chosen(state, pipeline, label)
        return pages.part([run for run in await engine.runs(token) if fits(run)], key, limit, after)

    @routes.get("/{name}", response_model=Run, responses=pages.UNCHANGED)
    async def one(request: Request, response: Response, _: Reader, token: Token, name: RunName) -> object:
        """One run with its params, results and how each Task and step stands."""
        return pages.tagged(request, response, await engine.run(name, token))

    @routes.post("/{name}/cancel", status_code=202)
    async def cancel(_: Manager, token: Token, name: RunName) -> Run:
        """Stop a run; its `finally` Tasks run. Asked again it stops at once, asked a third time it is killed."""
        return await engine.cancel(name, token)

    @routes.post("/{name}/retry", status_code=202)
    async def retry(_: Manager, token: Token, name: RunName) -> Run:
        """Run again what failed or was cancelled; Tasks whose inputs and outputs did not change are kept."""
        return await engine.retry(name, token)

    @routes.delete("/{name}", status_code=204)
    async def delete(
        request: Request,
        _: Manager,
        token: Token,
        name: RunName,
        if_match: Annotated[str | None, Header(max_length=1024)] = None,  # noqa: ARG001  (documented; unchanged reads it)
    ) -> None:
        """Remove a run that has ended, with its logs. With If-Match: only where it is as you read it."""
        pages.unchanged(request, await engine.run(name, token))
        await engine.delete(name, token)

    return routes


def chosen(state: State | None, pipeline: str | None, labels: list[str]) -> Callable[[RunSummary], bool]:
    """Whether a run fits the filters of a request. Raises ProblemError for a label without `=`."""
    wanted = [one.partition("=") for one in labels]
    wrong = [name for name, equals, _ in wanted if not equals or not name]
    if wrong:
        raise ProblemError(422, f"label: {wrong[0]!r}: write it as NAME=VALUE")

    def fits(run: RunSummary) -> bool:
        return (
            (state is None or run.state == state)
            and (pipeline is None or run.pipeline == pipeline)
            and all(run.labels.get(name) == value for name, _, value in wanted)
        )

    return fits
