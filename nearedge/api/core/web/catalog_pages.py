"""The Pipelines and Tasks there are."""

from fastapi import Request, Response

from nearedge.api.core.web.gate import Looking, new_router
from nearedge.api.core.web.site import of, page
from nearedge.api.problems import missing

router = new_router()


@router.get("/catalog")
async def catalog(request: Request, visitor: Looking) -> Response:
    """All of them."""
    found = await of(request).engine.declared(visitor.token)
    pipelines, tasks = ([one for one in found if one.kind == kind] for kind in ("Pipeline", "Task"))
    return page(request, visitor, "catalog.html", {"pipelines": pipelines, "tasks": tasks})


@router.get("/catalog/{kind}/{name}")
async def declared(request: Request, visitor: Looking, kind: str, name: str) -> Response:
    """One of them with its params, workspaces and results."""
    found = await of(request).engine.declared(visitor.token)
    names = {one.name for one in found if one.kind == "Task"}
    for one in found:
        if one.kind.lower() == kind and one.name == name:
            return page(request, visitor, "declared.html", {"one": one, "task_names": names})
    raise missing(f"{kind}/{name}: not in the catalog")
