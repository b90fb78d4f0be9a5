"""One run: its Tasks and steps as they go on, what it was given and gave, and its logs."""

from asyncio import gather
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import Query, Request, Response

from nearedge.api import streams
from nearedge.api.core.engine import LogQuery
from nearedge.api.core.models import ENDED, LogLine, Run, TaskStatus
from nearedge.api.core.web import live, timeline
from nearedge.api.core.web.gate import Looking, new_router
from nearedge.api.core.web.report_pages import files, without_record
from nearedge.api.core.web.sessions import Visitor
from nearedge.api.core.web.site import Site, of, page
from nearedge.api.core.web.wording import plain
from nearedge.api.problems import ProblemError
from nearedge.errors import NearedgeError

router = new_router()
TAIL = 300
"""Lines of a log that the page shows."""
LONGEST_TAIL = 5000
Tail = Annotated[int, Query(ge=1, le=LONGEST_TAIL)]


@router.get("/runs/{name}")
async def run(request: Request, visitor: Looking, name: str, task: str = "", tail: Tail = TAIL) -> Response:
    """The page of a run; its log of one Task, or of all."""
    site = of(request)
    found = await site.engine.run(name, visitor.token)
    lines, trouble = await read_log(site, visitor.token, name, task, tail)
    values = {
        **await shown(site, visitor, found), "lines": lines, "trouble": trouble, "task": task, "tail": tail,
        "longest": LONGEST_TAIL,
    }  # fmt: skip
    return page(request, visitor, "run.html", values)


async def shown(site: Site, visitor: Visitor, run: Run) -> dict[str, object]:
    """What the piece of the page that changes is made of; what the run made is looked for once it has ended."""
    reports, no_report, no_record = await made(site, visitor, run)
    return {
        "run": run, "reports": reports, "no_report": no_report, "no_record": no_record, "bars": timeline.bars(run),
        "said": sentence(run), "place": site.engine.place,
    }  # fmt: skip


async def made(site: Site, visitor: Visitor, run: Run) -> tuple[list[str], str, str]:
    """The files of the report, or why there is none; why there is no record. Nothing is asked while the run goes on."""
    if run.state not in ENDED:
        return [], "", ""
    (reports, no_report), no_record = await gather(files(site, visitor, run), without_record(site, visitor, run))
    return reports, no_report, no_record


def sentence(run: Run) -> str:
    """How far the run is, for who hears it."""
    done = sum(task.state in ("Succeeded", "Skipped") for task in run.tasks)
    running = [task.name for task in run.tasks if task.state == "Running"]
    failed = [task.name for task in run.tasks if task.state == "Failed"]
    parts = [f"{run.state}: {done} of {len(run.tasks)} Tasks done"]
    parts += [f"{', '.join(running)} running"] if running else []
    parts += [f"{', '.join(failed)} failed"] if failed else []
    parts += [f"{task.name} waits: {task.reason or task.message}" for task in run.tasks if waits(task)]
    return "; ".join(parts)


def waits(task: TaskStatus) -> bool:
    """Whether something is said of why a Task has not begun."""
    return task.state == "Pending" and bool(task.message)


async def read_log(site: Site, token: str, name: str, task: str, tail: int) -> tuple[list[LogLine], str]:
    """The last lines that are there now; what is wrong where they cannot be read, as far as they could."""
    query = LogQuery(task=task or None, tail=tail)
    found: list[LogLine] = []
    try:
        async for line in site.engine.logs(name, query, token):
            found.append(line)  # one by one: what came before an error stays
    except (ProblemError, NearedgeError) as error:
        return found, str(error)
    return found, ""


@router.get("/runs/{name}/live")
async def changing(request: Request, visitor: Looking, name: str) -> Response:
    """The state of the run whenever it changes, until it has ended."""
    site = of(request)
    await site.engine.run(name, visitor.token)

    async def picture() -> live.Picture:
        found = await site.engine.run(name, visitor.token)
        html = site.fragment("run_state.html", **await shown(site, visitor, found), visitor=visitor)
        return live.Picture(html, sentence(found), found.state in ENDED)

    return streams.stream(live.pictures(site.engine, visitor.token, name, picture))


@router.get("/runs/{name}/log/live")
async def following(request: Request, visitor: Looking, name: str, task: str = "", tail: Tail = TAIL) -> Response:
    """The log's last lines, and further ones as they are written, until the run has ended."""
    site = of(request)
    await site.engine.run(name, visitor.token)
    query = LogQuery(task=task or None, tail=tail, follow=True)

    async def events() -> AsyncIterator[streams.ServerEvent]:
        yield streams.ServerEvent("begin", {})
        try:
            async with aclosing(site.engine.logs(name, query, visitor.token)) as lines:  # type: ignore[type-var]  # generators
                async for line in lines:
                    yield streams.ServerEvent("line", {"task": line.task, "step": line.step, "text": plain(line.text)})
        except (ProblemError, NearedgeError) as error:
            yield streams.ServerEvent("trouble", {"text": str(error)})
        yield streams.ServerEvent("end", {})

    return streams.stream(events())
