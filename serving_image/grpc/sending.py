"""The way out of an HTTP/2 connection: answers within the windows that the client gives (RFC 9113, section 5.2)."""

import asyncio
import time

from serving_image.grpc import frames
from serving_image.grpc.frames import ConnectionFaultError, frame
from serving_image.grpc.headers import OK_HEAD, literal, refusal
from serving_image.grpc.stream import Stream

JOINED_BYTES = 1 << 16
"""Pieces larger than this are sent by themselves rather than copied."""


class Sending:
    """What is to be sent, and how much may be."""

    def __init__(self) -> None:
        """Before the client has said anything."""
        self.transport: asyncio.Transport
        self.streams: dict[int, Stream] = {}
        self.peer_window = frames.DEFAULT_WINDOW
        self.peer_frame = frames.DEFAULT_FRAME
        self.window_out = frames.DEFAULT_WINDOW
        self.paused = False
        self.paused_since = 0.0
        self.pieces: list[bytes | memoryview] = []
        self.corked = False

    def write(self, *pieces: bytes | memoryview) -> None:
        """Keep bytes for the next `flush`: what is sent at once costs one system call."""
        self.pieces += pieces

    def flush(self) -> None:
        """Send what was written, unless more is being written."""
        if self.corked:
            return
        pieces, self.pieces = self.pieces, []
        if not pieces or self.transport.is_closing():
            return
        if sum(map(len, pieces)) <= JOINED_BYTES:
            self.transport.write(b"".join(pieces))
            return
        for piece in pieces:
            self.transport.write(piece)

    def pause_writing(self) -> None:
        """The client does not take what we send: we take nothing more from it either, lest answers pile up."""
        self.paused, self.paused_since = True, time.monotonic()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self.paused = False
        self.transport.resume_reading()
        self.pump()

    def head(self, stream: Stream) -> bytes:
        """The HEADERS frame of an answer that has messages."""
        stream.sent_head = True
        block = OK_HEAD + literal(b"x-request-id", stream.request_id.encode())
        return frame(frames.HEADERS, frames.END_HEADERS, stream.id, block)

    def send(self, stream: Stream, message: bytes, trailers: bytes | None = None) -> None:
        """Send a message, and behind it the trailers that end the call, as the client's windows allow."""
        if stream.closed:
            return
        pieces = [] if stream.sent_head else [self.head(stream)]
        prefix = b"\0" + len(message).to_bytes(4, "big")
        size = len(message) + len(prefix)
        free = not stream.out and not self.paused
        if free and size <= min(self.window_out, stream.window_out, self.peer_frame):
            self.window_out -= size
            stream.window_out -= size
            head = frames.HEAD.pack(size >> 8, size & 0xFF, frames.DATA, 0, stream.id)
            self.write(*pieces, head, prefix, message)
            if trailers is None:
                self.flush()
            else:
                self.finish(stream, trailers)
            return
        if pieces:
            self.write(*pieces)
        stream.out = memoryview(b"".join([stream.out, prefix, message]))
        stream.trailers = trailers
        stream.since = time.monotonic()
        self.pump()

    def finish(self, stream: Stream, trailers: bytes) -> None:
        """End a call with trailers, as soon as its messages are sent."""
        if stream.closed:
            return
        if stream.out:
            stream.trailers = trailers
            return
        if stream.sent_head:
            block = trailers
        else:
            block = OK_HEAD + literal(b"x-request-id", stream.request_id.encode()) + trailers
        self.write(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream.id, block))
        if not stream.remote_done:  # the client need not send the rest
            self.write(frames.reset(stream.id, frames.NO_ERROR))
        self.forget(stream)
        self.flush()

    def refuse(self, stream: Stream, http_status: int) -> None:
        """Answer what is no gRPC call with a status of HTTP's."""
        flags = frames.END_HEADERS | frames.END_STREAM
        self.write(frame(frames.HEADERS, flags, stream.id, refusal(http_status)))
        if not stream.remote_done:
            self.write(frames.reset(stream.id, frames.NO_ERROR))
        self.forget(stream)
        self.flush()

    def forget(self, stream: Stream) -> None:
        """A call is over."""
        self.streams.pop(stream.id, None)
        stream.close()

    def pump(self) -> None:
        """Send what waits, call by call, as far as the windows allow."""
        for stream in [waiting for waiting in self.streams.values() if waiting.out]:
            while stream.out and not self.paused:
                size = min(len(stream.out), self.window_out, stream.window_out, self.peer_frame)
                if size <= 0:
                    break
                self.window_out -= size
                stream.window_out -= size
                head = frames.HEAD.pack(size >> 8, size & 0xFF, frames.DATA, 0, stream.id)
                self.write(head, stream.out[:size])
                stream.out = stream.out[size:]
                stream.since = time.monotonic()
            if not stream.out and stream.trailers is not None:
                self.finish(stream, stream.trailers)
        self.flush()

    def widen(self, stream: int, amount: int) -> None:
        """The client allows `amount` more bytes, of the connection where `stream` is 0. Raises ConnectionFaultError."""
        if stream == 0:
            self.window_out += amount
            found = None
        else:
            found = self.streams.get(stream)
            if found is not None:
                found.window_out += amount
        if amount == 0 or (found.window_out if found else self.window_out) > frames.MAX_WINDOW:
            raise ConnectionFaultError(frames.FLOW_CONTROL_ERROR, "a window of no size, or too large")
        self.pump()

    def configure(self, values: dict[int, int]) -> None:
        """The client's SETTINGS. Raises ConnectionFaultError."""
        window = values.get(frames.INITIAL_WINDOW_SIZE, self.peer_window)
        size = values.get(frames.MAX_FRAME_SIZE, self.peer_frame)
        if window > frames.MAX_WINDOW:
            raise ConnectionFaultError(frames.FLOW_CONTROL_ERROR, f"a window of {window} bytes")
        if not frames.DEFAULT_FRAME <= size <= frames.LARGEST_FRAME:
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, f"frames of {size} bytes")
        for stream in self.streams.values():
            stream.window_out += window - self.peer_window
        self.peer_window, self.peer_frame = window, size
        self.pump()
