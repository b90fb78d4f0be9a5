"""One HTTP/2 connection of the gRPC port: its beginning, its end, and what ends it.

A client can neither make us hold much (frames, headers, messages and calls are bounded) nor keep us busy with frames
that ask for nothing (`calm`), nor stay for ever without a word (`sweep`).
"""

import asyncio
import time
from collections.abc import Callable

from serving_image.grpc import frames, headers, status
from serving_image.grpc.frames import ConnectionFaultError, frame
from serving_image.grpc.intake import LARGE_FRAME
from serving_image.grpc.receiving import LAST_PING, MAX_STREAMS, PATIENCE, STREAM_WINDOW, WINDOW, Receiving
from serving_image.grpc.status import StatusError
from serving_image.grpc.stream import Held, Service, Stream

EARNED = 10
"""Frames that an answered call pays for."""
HEAD_S = 20.0
"""Longest time for the preface, or for a frame other than DATA."""
IDLE_S = 600.0
"""Longest time of a connection without a call."""


class Connection(Receiving, asyncio.Protocol):
    """What asyncio's server makes for each client. `timeout` is in seconds, for a message to come or to leave."""

    def __init__(self, service: Service, held: Held, timeout: float, gone: Callable[["Connection"], None]) -> None:
        """`gone` is called when the connection has ended."""
        super().__init__(service, held)
        self.timeout = timeout
        self.gone = gone
        self.broken = False

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
