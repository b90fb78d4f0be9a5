"""The health service grpc.health.v1: what a kubelet's grpc probe and load-balancing clients ask.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio

from serving_image.dataplane import DataPlane
from serving_image.grpc import status
from serving_image.grpc.status import StatusError
from serving_image.grpc.wire import Budget, fields, small, text
from serving_image.tensors import quoted

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
SERVICES = frozenset({"", "inference.GRPCInferenceService"})
WATCH_S = 0.25
"""How often a Watch looks whether something has changed."""


def service(payload: memoryview) -> str:
    """The service that a HealthCheckRequest asks for. Raises BadRequestError."""
    names = [text("service", value, kind) for at, kind, value in fields(payload, Budget()) if at == 1]
    return names[-1] if names else ""


def state(dataplane: DataPlane, name: str) -> int:
    """The state of a service: it serves once every model is ready, until the server is told to end."""
    if name not in SERVICES:
        return SERVICE_UNKNOWN
    return SERVING if dataplane.ready() else NOT_SERVING


def response(value: int) -> bytes:
    """A HealthCheckResponse."""
    return b"\x08" + small(value)


def check(dataplane: DataPlane, payload: memoryview) -> bytes:
    """Answer Check. Raises BadRequestError, StatusError for a service that there is not."""
    name = service(payload)
    value = state(dataplane, name)
    if value == SERVICE_UNKNOWN:
        raise StatusError(status.NOT_FOUND, f"no service {quoted(name)}; ask for '' or {max(SERVICES)}")
    return response(value)


async def changed(dataplane: DataPlane, name: str, last: int) -> int:
    """The next state of a service that is another than `last`."""
    while (value := state(dataplane, name)) == last:
        await asyncio.sleep(WATCH_S)
    return value
