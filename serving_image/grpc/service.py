"""What calls mean: which method is asked for, the answer of the data plane, its status, the log and the metrics."""

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable

from serving_image.auth import Token
from serving_image.dataplane import DataPlane
from serving_image.faults import RequestError, TimedOutError
from serving_image.grpc import headers, health, metadata, reflection, status
from serving_image.grpc.inference import decode, encode
from serving_image.grpc.status import StatusError, of_fault
from serving_image.grpc.stream import Stream
from serving_image.logs import Sampled, event
from serving_image.tensors import quoted

Plain = Callable[[DataPlane, memoryview], bytes]
Answer = Callable[[Stream], Awaitable[None]]

INFERENCE = "/inference.GRPCInferenceService"
INFER = f"{INFERENCE}/ModelInfer"
PLAIN: dict[str, Plain] = {
    f"{INFERENCE}/ServerLive": metadata.server_live,
    f"{INFERENCE}/ServerReady": metadata.server_ready,
    f"{INFERENCE}/ModelReady": metadata.model_ready,
    f"{INFERENCE}/ServerMetadata": metadata.server_metadata,
    f"{INFERENCE}/ModelMetadata": metadata.model_metadata,
    "/grpc.health.v1.Health/Check": health.check,
}
"""Methods with one message each way that are answered at once."""
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = frozenset(f"/grpc.reflection.{name}.ServerReflection/ServerReflectionInfo" for name in ("v1", "v1alpha"))
OPEN = frozenset({f"{INFERENCE}/ServerLive", f"{INFERENCE}/ServerReady", "/grpc.health.v1.Health/Check", WATCH})
"""Answered without a token, as REST's health paths are."""
KNOWN = frozenset({INFER, WATCH, *PLAIN, *REFLECTION})
LARGE = 1 << 16
"""Compressed messages larger than this are unpacked by a thread."""


class Calls:
    """Answers calls; `stream.Service` for the connections."""

    def __init__(self, dataplane: DataPlane, token: Token) -> None:
        """Clients must send `token` where one is asked for."""
        self.dataplane = dataplane
        self.token = token
        self.settings = dataplane.settings
        self.sampled = Sampled(dataplane.settings.access_log)

    def begin(self, stream: Stream) -> None:
        """Headers have come. Raises StatusError."""
        head = stream.head
        if head.method != "POST" or not head.is_grpc:
            stream.connection.refuse(stream, 405 if head.method != "POST" else 415)
            return
        if head.path not in KNOWN:
            raise StatusError(status.UNIMPLEMENTED, f"no method {quoted(head.path)}")
        if head.malformed:
            raise StatusError(status.INVALID_ARGUMENT, head.malformed)
        if head.encoding not in ("identity", "gzip"):
            raise StatusError(status.UNIMPLEMENTED, f"grpc-encoding {quoted(head.encoding)}: send identity or gzip")
        if head.path not in OPEN:
            try:
                self.token.check(head.authorization.encode("latin-1"))
            except RequestError as fault:
                raise of_fault(fault) from None
        if head.path in REFLECTION:
            self.start(stream, self.reflect)
        else:
            self.came(stream)

    def came(self, stream: Stream) -> None:
        """DATA has come, or its end. Raises StatusError."""
        if stream.task is not None:
            stream.wake()
        elif stream.remote_done:
            if len(stream.messages) != 1 or stream.body is not None:
                raise StatusError(status.INVALID_ARGUMENT, "the call ended without one whole message")
            self.start(stream, self.watch if stream.head.path == WATCH else self.unary)

    def start(self, stream: Stream, answer: Answer) -> None:
        """Answer a call by a task of its own."""
        stream.task = asyncio.get_running_loop().create_task(self.guarded(stream, answer))

    async def guarded(self, stream: Stream, answer: Answer) -> None:
        """Await an answer; whatever it raises becomes a status."""
        try:
            if stream.head.timeout is None:
                await answer(stream)
            else:
                async with asyncio.timeout(stream.start + stream.head.timeout - time.perf_counter()):
                    await answer(stream)
        except StatusError as error:
            self.failed(stream, error)
        except RequestError as fault:
            self.failed(stream, of_fault(fault))
        except TimeoutError:
            self.failed(stream, StatusError(status.DEADLINE_EXCEEDED, "no answer within the call's deadline"))
        except Exception:  # the one place for what nobody foresaw; the log says where it came from
            logging.getLogger("serving_image").exception("internal error", extra={"fields": self.fields(stream)})
            self.failed(stream, StatusError(status.INTERNAL, "internal error; the server's log says more"))

    async def unary(self, stream: Stream) -> None:
        """Answer a method with one message each way. Raises StatusError, RequestError."""
        message = await self.next(stream)
        if message is None:
            raise StatusError(status.INVALID_ARGUMENT, "the call ended without a message")
        plain = PLAIN.get(stream.head.path)
        answer = await self.infer(stream, message) if plain is None else plain(self.dataplane, message)
        stream.task = None
        stream.connection.send(stream, answer, headers.OK_TRAILERS)
        self.ended(stream, status.OK)

    async def infer(self, stream: Stream, message: memoryview) -> bytes:
        """Answer ModelInfer within the client's time and ours, both from its first byte on. Raises StatusError,
        RequestError.
        """
        request, raw = decode(message, self.settings.max_json)
        entry = self.dataplane.repository.entry(request.model, request.version)
        stream.titles = (entry.name, entry.version)
        ours, theirs = self.settings.timeout, stream.head.timeout
        left = (ours if theirs is None else min(ours, theirs)) - (time.perf_counter() - stream.start)
        try:
            return encode(await self.dataplane.infer(request, max(0.0, left)), raw=raw)
        except TimedOutError:
            if theirs is None or theirs > ours:
                raise
            raise StatusError(status.DEADLINE_EXCEEDED, "no answer within the call's deadline") from None

    async def next(self, stream: Stream) -> memoryview | None:
        """The next message, unpacked within the limit of one that is not; None after the last. Raises StatusError."""
        if not stream.messages and not await stream.wait():
            return None
        message, compressed = stream.messages.popleft()
        if not compressed:
            return message
        if stream.head.encoding != "gzip":
            raise StatusError(status.INTERNAL, "a message is compressed, grpc-encoding does not say how")
        limit = self.settings.max_body
        if len(message) > LARGE:
            return await asyncio.to_thread(gunzipped, message, limit)
        return gunzipped(message, limit)

    async def watch(self, stream: Stream) -> None:
        """Answer Watch: the state now, and each time it changes. Raises BadRequestError."""
        name, last = health.service(await self.next(stream) or memoryview(b"")), 0
        while True:
            last = await health.changed(self.dataplane, name, last)
            stream.connection.send(stream, health.response(last))

    async def reflect(self, stream: Stream) -> None:
        """Answer each request of a reflection call. Raises BadRequestError."""
        while (message := await self.next(stream)) is not None:
            stream.connection.send(stream, reflection.answer(message))
        stream.task = None
        stream.connection.finish(stream, headers.OK_TRAILERS)
        self.ended(stream, status.OK)

    def failed(self, stream: Stream, error: StatusError) -> None:
        """A call ends with a status that is not OK."""
        if stream.closed:
            return
        if stream.task is asyncio.current_task():
            stream.task = None  # closing the stream must not cancel us
        stream.connection.finish(stream, headers.trailers(error.code, str(error), error.pushback))
        self.ended(stream, error.code)

    def end_long(self, streams: dict[int, Stream]) -> None:
        """The server ends: so do the calls that would not by themselves."""
        for stream in [one for one in streams.values() if one.head.path == WATCH or one.head.path in REFLECTION]:
            self.failed(stream, StatusError(status.UNAVAILABLE, "shutting down"))

    def lost(self, stream: Stream) -> None:
        """The client has given up."""
        self.ended(stream, status.CANCELLED)

    def ended(self, stream: Stream, code: int) -> None:
        """Count and log a call."""
        if stream.head.path == INFER:
            seconds = time.perf_counter() - stream.start
            self.dataplane.telemetry.answered(*stream.titles, "grpc", status.NAMES[code], seconds)
        if self.sampled(fault=code != status.OK):
            level = logging.WARNING if code in status.SERVER_FAULTS else logging.INFO
            event(level, "request", status=status.NAMES[code], **self.fields(stream))

    def fields(self, stream: Stream) -> dict[str, object]:
        """What the log says of a call; no header but its id, no message."""
        return {
            "request_id": stream.request_id,
            "method": "gRPC",
            "path": stream.head.path[:200],
            "model": stream.titles[0],
            "version": stream.titles[1],
            "duration_ms": round((time.perf_counter() - stream.start) * 1000, 3),
        }


def gunzipped(message: memoryview, limit: int) -> memoryview:
    """A gzip message of at most `limit` bytes. Raises StatusError."""
    unpacker = zlib.decompressobj(31)  # 31: with a gzip header
    try:
        unpacked = unpacker.decompress(message, limit + 1)
    except zlib.error:
        raise StatusError(status.INVALID_ARGUMENT, "the message is not gzip") from None
    if len(unpacked) > limit:
        raise StatusError(status.RESOURCE_EXHAUSTED, f"the message unpacks to over {limit} bytes; send less at once")
    if not unpacker.eof:
        raise StatusError(status.INVALID_ARGUMENT, "the message is not all of a gzip file")
    return memoryview(unpacked)
