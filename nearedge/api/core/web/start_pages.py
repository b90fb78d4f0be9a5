"""Starting a run from a form that is made of what the Pipeline declares."""

import secrets

from fastapi import Request, Response

from nearedge.api.core.models import Declared
from nearedge.api.core.web import form as forms
from nearedge.api.core.web.gate import Managing, Sent, new_router, see
from nearedge.api.core.web.sessions import Visitor
from nearedge.api.core.web.site import of, page
from nearedge.api.core.web.wording import segment
from nearedge.api.problems import ProblemError, missing
from nearedge.errors import NearedgeError

router = new_router()
FOR_THE_FORM = (400, 409, 422)
"""Statuses of a refusal that the reader of the form can mend there."""


@router.get("/start/{pipeline}")
async def empty(request: Request, visitor: Managing, pipeline: str, like: str = "") -> Response:
    """The form, with every default or as the run `like` was started."""
    declared = await pipeline_of(request, visitor, pipeline)
    if not like:
        return form_page(request, visitor, forms.empty(declared), secrets.token_hex(16))
    run = await of(request).engine.run(like, visitor.token)
    return form_page(request, visitor, forms.again(declared, run), secrets.token_hex(16))


@router.post("/start/{pipeline}")
async def start(request: Request, visitor: Managing, sent: Sent, pipeline: str) -> Response:
    """Start it, or show the form with what is wrong beside each field. A form that is sent twice is one run."""
    declared = await pipeline_of(request, visitor, pipeline)
    values = {name: sent.one(name) for name in sent}
    wanted, form = forms.read(forms.filled(declared, values))
    if wanted is None:
        return form_page(request, visitor, form, sent.one("key"), 422)
    try:
        started = await of(request).engine.start(wanted, sent.one("key"), visitor.token)
    except NearedgeError as error:
        return form_page(request, visitor, forms.refused(form, str(error)), secrets.token_hex(16), 422)
    except ProblemError as error:
        if error.status not in FOR_THE_FORM:
            raise
        return form_page(request, visitor, forms.refused(form, error.detail), secrets.token_hex(16), error.status)
    return see(f"/runs/{segment(started.run.name)}")


def form_page(request: Request, visitor: Visitor, form: forms.StartForm, key: str, status: int = 200) -> Response:
    """The page; `key` is what makes a second sending the same run."""
    return page(request, visitor, "start.html", {"form": form, "key": key}, status)


async def pipeline_of(request: Request, visitor: Visitor, name: str) -> Declared:
    """The Pipeline. Raises ProblemError 404."""
    for one in await of(request).engine.declared(visitor.token):
        if one.kind == "Pipeline" and one.name == name:
            return one
    raise missing(f"{name}: no Pipeline of that name")
