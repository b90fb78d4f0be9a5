"""The reflection service, v1 and v1alpha: tells clients such as grpcurl which services there are and what they take.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md; both versions have the same messages.
"""

from serving_image.grpc import status, wire
from serving_image.grpc.descriptors import FILES, SERVICES, SYMBOLS
from serving_image.grpc.wire import Budget, block, fields, string, text

BY_FILE, BY_SYMBOL, BY_EXTENSION, EXTENSIONS, LIST = 3, 4, 5, 6, 7
ANSWER_FILES, ANSWER_LIST, ANSWER_ERROR = 4, 6, 7


def answer(payload: memoryview) -> bytes:
    """A ServerReflectionResponse to a ServerReflectionRequest. Raises BadRequestError."""
    host, asked, wanted = "", 0, ""
    for at, kind, value in fields(payload, Budget()):
        if at == 1:
            host = text("host", value, kind)
        elif at in (BY_FILE, BY_SYMBOL, LIST):
            asked, wanted = at, text("the request", value, kind)
        elif at in (BY_EXTENSION, EXTENSIONS):
            asked, wanted = at, ""
    return string(1, host) + block(2, bytes(payload)) + found(asked, wanted)


def found(asked: int, wanted: str) -> bytes:
    """The part of the answer that depends on what was asked."""
    if asked == LIST:
        return block(ANSWER_LIST, b"".join(block(1, string(1, name)) for name in SERVICES))
    name = wanted if asked == BY_FILE else SYMBOLS.get(wanted.lstrip("."), "")
    if asked in (BY_FILE, BY_SYMBOL) and name in FILES:
        return block(ANSWER_FILES, block(1, FILES[name]))
    reason = f"nothing is known of {wanted[:200]!r}" if wanted else "no such extension"
    return block(ANSWER_ERROR, b"\x08" + wire.small(status.NOT_FOUND) + string(2, reason))
