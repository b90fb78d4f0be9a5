"""One HTTP/2 connection of the gRPC port (RFC 9113): what each frame does to the calls.

A client can neither make us hold much (frames, headers, messages and calls are bounded) nor keep us busy with frames
that ask for nothing (`calm`), nor stay for ever without a word (`sweep`).
"""

import asyncio
import struct
import time
from collections.abc import Callable

from serving_image.grpc import frames, headers, status
from serving_image.grpc.frames import ConnectionFaultError, frame
from serving_image.grpc.intake import LARGE_FRAME, SMALL_FRAME, Intake
from serving_image.grpc.sending import Sending
from serving_image.grpc.status import StatusError
from serving_image.grpc.stream import Held, Service, Stream

MAX_STREAMS = 128
STREAM_WINDOW = 1 << 22
WINDOW = 1 << 24
PATIENCE = 1000
"""Frames that ask for nothing, more than calls that were answered: then the connection is ended."""
EARNED = 10
HEAD_S = 20.0
"""Longest time for the preface, or for a frame other than DATA."""
IDLE_S = 600.0
"""Longest time of a connection without a call."""
LAST_PING = b"nearedge"


class Connection(Sending, asyncio.Protocol):
    """What asyncio's server makes for each client. `timeout` is in seconds, for a message to come or to leave."""

    own_window = STREAM_WINDOW

    def __init__(self, service: Service, held: Held, timeout: float, gone: Callable[["Connection"], None]) -> None:
        """`gone` is called when the connection has ended."""
        super().__init__()
        self.service = service
        self.held = held
        self.timeout = timeout
        self.gone = gone
        self.heads = headers.Heads()
        self.intake = Intake(self)
        self.last = 0
        self.window_in = WINDOW
        self.patience = PATIENCE
        self.heard = time.monotonic()
        self.block: bytearray | None = None
        self.block_of = (0, False)
        self.ending = self.refusing = self.broken = False
        self.kinds: dict[int, Callable[[int, int, bytes], None]] = {
            frames.HEADERS: self.on_headers,
            frames.CONTINUATION: self.on_continuation,
            frames.SETTINGS: self.on_settings,
            frames.WINDOW_UPDATE: self.on_window_update,
            frames.RST_STREAM: self.on_reset,
            frames.PING: self.on_ping,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: say what we allow."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        allowed = {
            frames.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            frames.MAX_FRAME_SIZE: LARGE_FRAME,
            frames.MAX_HEADER_LIST_SIZE: headers.MAX_HEADER_LIST,
        }
        self.write(frames.settings(allowed), frames.window_update(0, WINDOW - frames.DEFAULT_WINDOW))
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and with it its calls."""
        del exc
        for stream in list(self.streams.values()):
            self.service.lost(stream)
            self.forget(stream)
        self.gone(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if not self.intake.buffer:
            self.heard = time.monotonic()
        if self.transport.is_closing():
            return
        self.corked = True
        try:
            self.intake.take(data)
        except ConnectionFaultError as fault:
            self.write(frames.goaway(self.last, fault.code, str(fault)))
            self.broken = True
        self.corked = False
        self.flush()
        if self.broken:
            self.transport.close()

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame other than DATA. Raises ConnectionFaultError."""
        if (self.block is None) == (kind == frames.CONTINUATION):
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "a header block is not finished, or never began")
        if kind == frames.PUSH_PROMISE:
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "clients do not push")
        handle = self.kinds.get(kind)
        if handle is None:
            self.calm()  # PRIORITY, GOAWAY and what others may add mean nothing to us
        else:
            handle(flags, stream, payload)

    def calm(self) -> None:
        """A frame that asks for nothing. Raises ConnectionFaultError where there were too many."""
        self.patience -= 1
        if self.patience < 0:
            raise ConnectionFaultError(frames.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        """A call begins, or its client ends it."""
        block = frames.unpadded(flags, payload)
        self.block_of = (stream, bool(flags & frames.END_STREAM))
        if flags & frames.END_HEADERS:
            self.on_block(block)
        else:
            self.block = bytearray(block)

    def on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        """More of a header block."""
        assert self.block is not None
        if stream != self.block_of[0]:
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "another call's header block is not finished")
        self.calm()
        self.block += payload
        if len(self.block) > SMALL_FRAME:
            raise ConnectionFaultError(frames.ENHANCE_YOUR_CALM, f"headers are over {SMALL_FRAME} bytes")
        if flags & frames.END_HEADERS:
            block, self.block = bytes(self.block), None
            self.on_block(block)

    def on_block(self, block: bytes) -> None:
        """A header block is complete. It is read in any case: the next ones build on it."""
        head = self.heads.read(block)
        identifier, ends = self.block_of
        found = self.streams.get(identifier)
        if found is not None:
            if not ends:
                raise ConnectionFaultError(frames.PROTOCOL_ERROR, "trailers that end nothing")
            self.data_ended(identifier, last=True)
            return
        if identifier <= self.last:
            if identifier % 2 == 0:
                raise ConnectionFaultError(frames.PROTOCOL_ERROR, f"{identifier} is no stream of a client")
            self.calm()  # trailers of a call that we have answered already
            return
        if identifier % 2 == 0:
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, f"{identifier} is no stream of a client")
        if self.refusing or len(self.streams) >= MAX_STREAMS:
            if not self.refusing:
                self.last = identifier
            self.calm()
            self.write(frames.reset(identifier, frames.REFUSED_STREAM))
            return
        self.last = identifier
        stream = Stream(self, identifier, head, self.held)
        self.streams[identifier] = stream
        stream.remote_done = ends
        self.tell(stream, self.service.begin)

    def data_begins(self, stream: int, size: int) -> None:
        """The head of a DATA frame."""
        if self.block is not None or stream % 2 == 0 or (stream > self.last and not self.refusing):
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "DATA where none may be")
        self.window_in -= size
        found = self.streams.get(stream)
        if found is not None:
            found.window_in -= size
        if self.window_in < 0 or (found is not None and found.window_in < 0):
            raise ConnectionFaultError(frames.FLOW_CONTROL_ERROR, "more DATA than the window allows")
        if not size:
            self.calm()

    def data(self, stream: int, piece: memoryview) -> None:
        """A piece of a message."""
        found = self.streams.get(stream)
        if found is not None and not found.remote_done:
            self.tell(found, lambda stream: stream.feed(piece))

    def data_ended(self, stream: int, *, last: bool) -> None:
        """A DATA frame is complete: give back the window it took, and tell the service."""
        if self.window_in < WINDOW // 2:
            self.write(frames.window_update(0, WINDOW - self.window_in))
            self.window_in = WINDOW
        found = self.streams.get(stream)
        if found is None or found.remote_done:
            return
        if last:
            found.remote_done = True
        elif found.window_in < STREAM_WINDOW // 2:
            self.write(frames.window_update(stream, STREAM_WINDOW - found.window_in))
            found.window_in = STREAM_WINDOW
        self.tell(found, self.service.came)

    def tell(self, stream: Stream, what: Callable[[Stream], None]) -> None:
        """Do something for a call; what it fails with ends the call."""
        try:
            what(stream)
        except StatusError as error:
            self.service.failed(stream, error)

    def on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        """What the client allows."""
        if stream or len(payload) % 6 or (flags & frames.ACK and payload):
            raise ConnectionFaultError(frames.FRAME_SIZE_ERROR, "SETTINGS of a wrong size or of a stream")
        self.calm()
        if not flags & frames.ACK:
            self.configure(dict(struct.iter_unpack(">HI", payload)))
            self.write(frame(frames.SETTINGS, frames.ACK, 0))

    def on_window_update(self, flags: int, stream: int, payload: bytes) -> None:
        """The client can take more."""
        del flags
        if len(payload) != 4:
            raise ConnectionFaultError(frames.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        self.widen(stream, int.from_bytes(payload, "big") & 0x7FFFFFFF)

    def on_reset(self, flags: int, stream: int, payload: bytes) -> None:
        """The client no longer wants an answer."""
        del flags
        if len(payload) != 4 or stream == 0 or stream > self.last:
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "RST_STREAM of a wrong size or of no call")
        self.calm()
        found = self.streams.get(stream)
        if found is not None:
            self.service.lost(found)
            self.forget(found)

    def on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        """A sign of life is asked for; or the last one that we asked for: all calls that were on the way are here."""
        if len(payload) != 8 or stream:
            raise ConnectionFaultError(frames.FRAME_SIZE_ERROR, "PING of a wrong size or of a stream")
        self.calm()
        if not flags & frames.ACK:
            self.write(frame(frames.PING, frames.ACK, 0, payload))
        elif self.ending and payload == LAST_PING and not self.refusing:
            self.refusing = True
            self.write(frames.goaway(self.last, frames.NO_ERROR))

    def finish(self, stream: Stream, trailers: bytes) -> None:
        """End a call: an answer buys patience."""
        super().finish(stream, trailers)
        self.patience = min(PATIENCE, self.patience + EARNED)

    def forget(self, stream: Stream) -> None:
        """A call is over."""
        super().forget(stream)
        self.heard = time.monotonic()

    def flush(self) -> None:
        """Send what was written; behind the last answer close, where no more calls are taken."""
        super().flush()
        if self.done() and not self.corked:
            self.transport.close()

    def done(self) -> bool:
        """Whether the last call is answered."""
        return self.refusing and not self.streams

    def shut(self) -> None:
        """Take no more calls than those that are on the way (RFC 9113, section 6.8), answer them and close."""
        if not self.ending:
            self.ending = True
            last = frames.goaway(frames.MAX_WINDOW, frames.NO_ERROR)
            self.write(last, frame(frames.PING, 0, 0, LAST_PING))
            self.flush()

    def sweep(self, now: float) -> None:
        """Once in a while: end what takes too long. `now` is in seconds, of the monotonic clock."""
        stuck = self.paused and now - self.paused_since > self.timeout
        partial = self.intake.partial or self.block is not None
        if stuck or (partial and now - self.heard > HEAD_S):
            self.transport.abort()
        elif not self.streams and now - self.heard > IDLE_S:
            self.shut()
        for stream in list(self.streams.values()):
            if stream.out and now - stream.since > self.timeout:
                self.write(frames.reset(stream.id, frames.ENHANCE_YOUR_CALM))
                self.service.lost(stream)
                self.forget(stream)
                self.flush()
            elif stream.task is None and time.perf_counter() - stream.start > self.timeout:
                late = f"the message did not arrive within {self.timeout:g} s"
                self.service.failed(stream, StatusError(status.DEADLINE_EXCEEDED, late))
