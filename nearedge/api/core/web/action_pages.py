"""Cancel, retry and delete a run: a page that asks once more, and what follows the answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request, Response

from nearedge.api.core.models import ENDED, RunSummary
from nearedge.api.core.web.gate import Managing, Sent, new_router, see
from nearedge.api.core.web.site import of, page
from nearedge.api.core.web.wording import segment
from nearedge.api.problems import conflict, missing

router = new_router()


@dataclass(frozen=True)
class Action:
    """What can be done with a run, and what there is to know before."""

    name: str
    title: str
    means: str
    grave: bool


ACTIONS: Mapping[str, Action] = {
    one.name: one
    for one in (
        Action("cancel", "Cancel", "Its steps are stopped; the Tasks of finally still run.", True),
        Action("retry", "Retry", "What failed is tried again, and what comes after it; what succeeded stays.", False),
        Action("delete", "Delete", "Its state, its logs and its results go; that cannot be undone.", True),
    )
}


def possible(run: RunSummary) -> list[Action]:
    """What can be done with the run in its state."""
    if run.state not in ENDED:
        return [ACTIONS["cancel"]]
    return [ACTIONS[name] for name in ("retry", "delete") if name == "delete" or run.state != "Succeeded"]


@router.get("/runs/{name}/confirm/{action}")
async def confirm(request: Request, visitor: Managing, name: str, action: str) -> Response:
    """Ask once more."""
    run = await of(request).engine.run(name, visitor.token)
    found = known(action)
    if found not in possible(run):
        raise conflict(f"run {name}: is {run.state}; {found.name} is not for that")
    return page(request, visitor, "confirm.html", {"run": run, "action": found})


@router.post("/runs/{name}/confirm/{action}")
async def act(request: Request, visitor: Managing, form: Sent, name: str, action: str) -> Response:
    """Do it."""
    del form  # what it had to show is that it is one of ours
    engine, chosen = of(request).engine, known(action).name
    if chosen == "delete":
        await engine.delete(name, visitor.token)
        return see("/")
    run = await (engine.cancel if chosen == "cancel" else engine.retry)(name, visitor.token)
    return see(f"/runs/{segment(run.name)}")


def known(action: str) -> Action:
    """The action. Raises ProblemError 404."""
    if action not in ACTIONS:
        raise missing(f"{action}: no such action; there are {', '.join(ACTIONS)}")
    return ACTIONS[action]
