"""How a kubelet writes a container's log: the API server for tests takes text at the pod's log endpoint.

A real API server has no such thing, as it asks the kubelet; stand-ins are not started on a real cluster.
"""

from nearedge.api.cluster.connection import refusal
from nearedge.api.cluster.resources import PODS, path
from nearedge.errors import OutsideError
from tests.cluster_world.world import Hands, missing_is_fine


async def opened(hands: Hands, pod: str, container: str) -> None:
    """A container begins again: what was logged before is of the previous one."""
    await send(hands, pod, f"container={container}&rotate=true", "")


async def write(hands: Hands, pod: str, container: str, line: str) -> None:
    """A line, without its end."""
    await send(hands, pod, f"container={container}", f"{line}\n")


async def send(hands: Hands, pod: str, query: str, text: str) -> None:
    """To the endpoint."""
    where = f"{path(PODS, hands.namespace, pod, 'log')}?{query}"

    async def posted() -> None:
        try:
            answer = await hands.cluster.own.post(where, content=text.encode(), headers={"Content-Type": "text/plain"})
        except Exception as error:  # whatever httpx2 raises where the server is away
            raise OutsideError(str(error)) from error
        if answer.status_code >= 400:
            raise refusal(answer)

    with missing_is_fine():
        await hands.again(posted)
