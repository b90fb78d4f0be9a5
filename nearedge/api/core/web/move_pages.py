"""Moving sites to a release: a form, what it would change, and what it did. The moves are those of the API's routes."""

import re
import secrets
from dataclasses import dataclass
from functools import partial

from anyio import to_thread
from fastapi import Request, Response

from nearedge.api.core import fleet_view as view
from nearedge.api.core.moves import Move
from nearedge.api.core.moving import Doing
from nearedge.api.core.release_models import Moved, ReleaseSummary
from nearedge.api.core.web import knowledge
from nearedge.api.core.web.gate import Form, Looking, Managing, Sent, new_router, see
from nearedge.api.core.web.move_form import PROMOTE, ROLLBACK, Choice, Verb, asked, first_choice, rows
from nearedge.api.core.web.sessions import Visitor
from nearedge.api.core.web.site import of, page
from nearedge.api.core.web.wording import segment
from nearedge.api.problems import ProblemError, missing, status_of
from nearedge.delivery.gitops.figures import figures
from nearedge.delivery.gitops.image_check import unchecked
from nearedge.delivery.gitops.timeline import Timeline
from nearedge.errors import NearedgeError

router = new_router()
VERBS = {one.name: one for one in (PROMOTE, ROLLBACK)}
MOST_RELEASES = 200
"""Releases to choose from; the newest."""
PATIENCE_S = 120.0
"""Seconds that a form which was sent twice waits for what the first one does."""
KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Reached:
    """A release that sites would come to, and what was measured of it: its figures say what the gates allowed."""

    release: ReleaseSummary
    figures: dict[str, str]


@router.get("/models/{name}/{verb}/preview")
async def preview_again(name: str, verb: str) -> Response:
    """A preview is the answer to a form; who comes back to its address gets the form."""
    return see(f"/models/{segment(name)}/{known(verb).name}")


@router.get("/models/{name}/moves/{key}")
async def result(request: Request, visitor: Looking, name: str, key: str) -> Response:
    """What a move did; it can be read again."""
    done = await to_thread.run_sync(doing(request).answered, visitor.caller, key)
    if done is None or done.model != name or done.dry_run:
        raise missing(f"model {name!r}: nothing is kept of such a move of yours; the branch tells all of them")
    return page(request, visitor, "moved.html", {"name": name, "moved": done})


@router.get("/models/{name}/{verb}")
async def form(
    request: Request, visitor: Managing, name: str, verb: str, to: str = "", words: str = "", tick: str = ""
) -> Response:
    """The form; `site` in the query, again and again, ticks sites."""
    choice = Choice(to, request.query_params.getlist("site"))
    return await form_page(request, visitor, known(verb), name, choice, words=words, tick=tick)


@router.post("/models/{name}/{verb}/preview")
async def preview(request: Request, visitor: Managing, sent: Sent, name: str, verb: str) -> Response:
    """What it would change; nothing is changed."""
    wanted, choice = known(verb), chosen(sent)
    try:
        found = await run(request, visitor, asked(wanted, name, choice, dry_run=True), "")
        reached = await reached_by(request, found)
    except (ProblemError, NearedgeError) as error:
        return await refused(request, visitor, wanted, name, choice, error)
    values = {
        "name": name, "verb": wanted, "to": choice.to, "moved": found, "reached": reached,
        "key": secrets.token_hex(16), "checked": doing(request).source.settings.new_check() is not unchecked,
    }  # fmt: skip
    return page(request, visitor, "move_preview.html", values)


@router.post("/models/{name}/{verb}")
async def move(request: Request, visitor: Managing, sent: Sent, name: str, verb: str) -> Response:
    """Do what the preview said, and nothing else. A form that is sent twice is one move."""
    wanted, choice, key, plan = known(verb), chosen(sent), sent.one("key"), sent.one("plan")
    if not KEY.fullmatch(key) or not plan:
        raise ProblemError(400, "the form is damaged; look at what would change once more")
    try:
        await run(request, visitor, asked(wanted, name, choice, dry_run=False, plan=plan), key)
    except (ProblemError, NearedgeError) as error:
        return await refused(request, visitor, wanted, name, choice, error)
    return see(f"/models/{segment(name)}/moves/{key}")


def known(verb: str) -> Verb:
    """What is to be done. Raises ProblemError 404."""
    if verb not in VERBS:
        raise missing(f"{verb}: no such page; there are {', '.join(VERBS)}")
    return VERBS[verb]


def doing(request: Request) -> Doing:
    """What moves sites, the API's own. Raises ProblemError 404 where no repository is known."""
    found = of(request).moves
    if found is None:
        raise missing(f"there is {knowledge.NO_GIT}")
    return found


def chosen(sent: Form) -> Choice:
    """What the form says."""
    return Choice(sent.one("to").strip(), sent.get("site", []))


async def run(request: Request, visitor: Visitor, wanted: Move, key: str) -> Moved:
    """Do it, or say what it would do. Raises ProblemError and nearedge's own errors."""
    moving = doing(request)
    now = (await moving.source.known()).value or Timeline()
    return await to_thread.run_sync(partial(moving.audited, visitor.caller, wanted, key, now, PATIENCE_S))


async def reached_by(request: Request, moved: Moved) -> list[Reached]:
    """The releases that sites would come to, each once."""
    now, _ = await knowledge.of_git(request)
    found = []
    for own in sorted({one.to_id for one in moved.sites}):
        release = view.find(now, moved.model, own)
        record = await to_thread.run_sync(doing(request).source.record, release)
        found.append(Reached(view.summary(release, 0), figures(record)))
    return found


async def refused(
    request: Request, visitor: Visitor, verb: Verb, name: str, choice: Choice, error: ProblemError | NearedgeError
) -> Response:
    """The form as it was sent, with why it was not done."""
    if isinstance(error, NearedgeError):
        return await form_page(request, visitor, verb, name, choice, error=str(error), status=status_of(error))
    answer = await form_page(request, visitor, verb, name, choice, error=error.detail, status=error.status)
    answer.headers.update(error.headers)
    return answer


async def form_page(
    request: Request, visitor: Visitor, verb: Verb, name: str, choice: Choice, *, words: str = "", tick: str = "",
    error: str = "", status: int = 200,
) -> Response:  # fmt: skip
    """The page. Raises ProblemError 404 for no such model, or where no repository is known."""
    doing(request)
    now, conditions, fresh = await knowledge.of_both(request)
    releases = knowledge.summaries(now, name)[:MOST_RELEASES]
    choice = first_choice(verb, now, name, choice)
    values = {
        "name": name, "verb": verb, "fresh": fresh, "releases": releases, "to": choice.to, "error": error,
        "found": rows(now, name, conditions, choice, words, tick),
    }  # fmt: skip
    return page(request, visitor, "move.html", values, status)
