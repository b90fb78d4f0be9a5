"""The messages about the server and its models: from the data plane's documents to protobuf."""

from serving_image.dataplane import DataPlane
from serving_image.grpc import wire
from serving_image.grpc.wire import Budget, block, fields, flag, string, text


def names(payload: memoryview) -> tuple[str, str | None]:
    """Model and version of a ModelReadyRequest or ModelMetadataRequest. Raises BadRequestError."""
    found = {1: "", 2: ""}
    for at, kind, value in fields(payload, Budget()):
        if at in found:
            found[at] = text("name or version", value, kind)
    return found[1], found[2] or None


def server_live(_: DataPlane, payload: memoryview) -> bytes:
    """ServerLiveResponse: whoever answers is alive. Raises BadRequestError."""
    names(payload)
    return flag(1, True)


def server_ready(dataplane: DataPlane, payload: memoryview) -> bytes:
    """ServerReadyResponse. Raises BadRequestError."""
    names(payload)
    return flag(1, dataplane.ready())


def model_ready(dataplane: DataPlane, payload: memoryview) -> bytes:
    """ModelReadyResponse. Raises BadRequestError, NotFoundError."""
    return flag(1, dataplane.model_readiness(*names(payload))["ready"])


def server_metadata(dataplane: DataPlane, payload: memoryview) -> bytes:
    """ServerMetadataResponse. Raises BadRequestError."""
    names(payload)
    document = dataplane.server_metadata()
    head = string(1, document["name"]) + string(2, document["version"])
    return head + b"".join(string(3, extension) for extension in document["extensions"])


def model_metadata(dataplane: DataPlane, payload: memoryview) -> bytes:
    """ModelMetadataResponse. Raises BadRequestError, NotFoundError, UnavailableError."""
    document = dataplane.model_metadata(*names(payload))
    parts = [string(1, document["name"]), *(string(2, version) for version in document["versions"])]
    parts.append(string(3, document["platform"]))
    for at, key in ((4, "inputs"), (5, "outputs")):
        for one in document[key]:
            head = string(1, one["name"]) + string(2, one["datatype"])
            parts.append(block(at, head + wire.shape(3, one["shape"])))
    return b"".join(parts)
