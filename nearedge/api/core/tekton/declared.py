"""The Pipelines and Tasks that are on the cluster, as the catalog's are read."""

import asyncio

from pydantic import ValidationError

from nearedge.api.cluster.connection import StatusError
from nearedge.api.cluster.resources import PIPELINES, TASKS, Object
from nearedge.api.core import declarations
from nearedge.api.core.models import Declared
from nearedge.api.core.tekton.reach import Reach
from nearedge.errors import InputError, OutsideError


async def every(reach: Reach, token: str) -> list[Declared]:
    """All of them by kind and name; what somebody put there that cannot be read is left out. Raises StatusError."""
    pipelines, tasks = await asyncio.gather(listed(reach, token, "Pipeline"), listed(reach, token, "Task"))
    return [*pipelines, *tasks]


async def listed(reach: Reach, token: str, kind: declarations.Kind) -> list[Declared]:
    """Those of a kind by name."""
    items = await objects(reach, token, kind)
    found = [read(kind, item) for item in sorted(items, key=lambda one: str(one["metadata"]["name"]))]
    return [one for one in found if one is not None]


async def objects(reach: Reach, token: str, kind: declarations.Kind) -> list[Object]:
    """The objects themselves. Raises OutsideError where the cluster has no Tekton."""
    try:
        return await reach.every(PIPELINES if kind == "Pipeline" else TASKS, token)
    except StatusError as error:
        if error.code == 404:
            raise OutsideError(f"the cluster has no {kind}s (tekton.dev/v1); install Tekton Pipelines 1.0+") from error
        raise


def read(kind: declarations.Kind, item: Object) -> Declared | None:
    """What one declares; None where it cannot be read."""
    try:
        return declarations.declared(kind, item)
    except (InputError, ValidationError, LookupError, TypeError, AttributeError):
        return None


async def pipeline(reach: Reach, token: str, name: str) -> Object:
    """One Pipeline. Raises InputError where there is none."""
    found = {str(item["metadata"]["name"]): item for item in await objects(reach, token, "Pipeline")}
    if name not in found:
        raise InputError(f"pipeline: no Pipeline {name!r}; there are: {', '.join(sorted(found)) or 'none'}")
    return found[name]


async def used_tasks(reach: Reach, token: str, pipeline: Object) -> dict[str, Object]:
    """The specs of the Tasks that a Pipeline names in its namespace, by name, as far as they are there."""
    spec = pipeline["spec"]
    items = [*(spec.get("tasks") or []), *(spec.get("finally") or [])]
    names = {(item.get("taskRef") or {}).get("name") for item in items}
    found = {str(item["metadata"]["name"]): item for item in await objects(reach, token, "Task")}
    return {name: found[name]["spec"] for name in sorted(filter(None, names)) if name in found}
