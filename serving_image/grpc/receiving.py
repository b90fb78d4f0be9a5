"""What each frame of a client does to its calls (RFC 9113), and how many frames that ask for nothing it may send."""

import struct
import time
from collections.abc import Callable

from serving_image.grpc import frames, headers
from serving_image.grpc.frames import ConnectionFaultError, frame
from serving_image.grpc.intake import SMALL_FRAME, Intake
from serving_image.grpc.sending import Sending
from serving_image.grpc.status import StatusError
from serving_image.grpc.stream import Held, Service, Stream

MAX_STREAMS = 128
STREAM_WINDOW = 1 << 22
WINDOW = 1 << 24
PATIENCE = 1000
"""Frames that ask for nothing, more than calls that were answered: then the connection is ended."""
LAST_PING = b"nearedge"


class Receiving(Sending):
    """The calls of a connection as frames come; `intake.Receiver`."""

    own_window = STREAM_WINDOW

    def __init__(self, service: Service, held: Held) -> None:
        """Before the client has said anything."""
        super().__init__()
        self.service = service
        self.held = held
        self.heads = headers.Heads()
        self.intake = Intake(self)
        self.last = 0
        self.window_in = WINDOW
        self.patience = PATIENCE
        self.heard = time.monotonic()
        self.block: bytearray | None = None
        self.block_of = (0, False)
        self.ending = self.refusing = False
        self.kinds: dict[int, Callable[[int, int, bytes], None]] = {
            frames.HEADERS: self.on_headers,
            frames.CONTINUATION: self.on_continuation,
            frames.SETTINGS: self.on_settings,
            frames.WINDOW_UPDATE: self.on_window_update,
            frames.RST_STREAM: self.on_reset,
            frames.PING: self.on_ping,
        }

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
