"""Cuts what a client sends into HTTP/2 frames: DATA in pieces as it comes, all others whole, none of them large."""

from typing import Protocol

from serving_image.grpc import frames
from serving_image.grpc.frames import ConnectionFaultError

LARGE_FRAME = 1 << 20
"""Largest DATA frame that clients may send: fewer frames for a large message."""
SMALL_FRAME = 1 << 15
"""Largest frame of any other kind, and largest header block."""


class Receiver(Protocol):
    """Who is told of frames. All methods raise ConnectionFaultError."""

    def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """A frame other than DATA."""

    def data_begins(self, stream: int, size: int) -> None:
        """A DATA frame of `size` bytes, padding included, begins."""

    def data(self, stream: int, piece: memoryview) -> None:
        """A piece of it has come."""

    def data_ended(self, stream: int, *, last: bool) -> None:
        """It is complete; `last`: the client ends the stream with it."""


class Intake:
    """The state between two reads. `partial`: something began that is not DATA."""

    def __init__(self, receiver: Receiver) -> None:
        """Nothing has come yet."""
        self.receiver = receiver
        self.buffer = b""
        self.prefaced = False
        self.configured = False
        self.stream = 0
        self.left = 0
        self.padding = 0
        self.last = False

    @property
    def partial(self) -> bool:
        """Whether a frame other than DATA has begun, or the preface and the first frame have not come."""
        return bool(self.buffer) or not self.configured

    def take(self, data: bytes) -> None:
        """All frames that are complete, and what is there of DATA. Raises ConnectionFaultError."""
        if self.buffer:
            data, self.buffer = self.buffer + data, b""
        at = 0
        if not self.prefaced:
            at = self.preface(data)
        view, end = memoryview(data), len(data)
        while at < end and self.prefaced:
            if self.left or self.padding:
                at += self.piece(view[at:])
                continue
            taken = self.frame(data, at)
            if not taken:
                break
            at += taken
        self.buffer = data[at:]

    def preface(self, data: bytes) -> int:
        """How much of `data` was the preface. Raises ConnectionFaultError where it is something else."""
        if not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "this port speaks gRPC: HTTP/2 with prior knowledge")
        self.prefaced = len(data) >= len(frames.PREFACE)
        return len(frames.PREFACE) if self.prefaced else 0

    def frame(self, data: bytes, at: int) -> int:
        """Take the frame at `at`, of DATA only its head; how many bytes that was, 0 where more must come first."""
        here = len(data) - at - frames.HEAD_BYTES
        if here < 0:
            return 0
        high, low, kind, flags, stream = frames.HEAD.unpack_from(data, at)
        size, stream = high << 8 | low, stream & 0x7FFFFFFF
        if not self.configured and kind != frames.SETTINGS:
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "the first frame must be SETTINGS")
        self.configured = True
        at += frames.HEAD_BYTES
        if size > (LARGE_FRAME if kind == frames.DATA else SMALL_FRAME):
            raise ConnectionFaultError(frames.FRAME_SIZE_ERROR, f"a frame has {size} bytes")
        if kind == frames.DATA:
            padded = bool(flags & frames.PADDED)
            if padded and here < 1:
                return 0
            self.begin(stream, size, flags, data[at] if padded else -1)
            return frames.HEAD_BYTES + padded
        if here < size:
            return 0
        self.receiver.frame(kind, flags, stream, data[at : at + size])
        return frames.HEAD_BYTES + int(size)

    def begin(self, stream: int, size: int, flags: int, padding: int) -> None:
        """The head of a DATA frame; `padding` is -1 where it has no such field."""
        if padding >= size:
            raise ConnectionFaultError(frames.PROTOCOL_ERROR, "padding is longer than the frame")
        self.receiver.data_begins(stream, size)
        self.stream, self.last = stream, bool(flags & frames.END_STREAM)
        self.left, self.padding = size - padding - 1, max(0, padding)
        if not self.left and not self.padding:
            self.receiver.data_ended(stream, last=self.last)

    def piece(self, view: memoryview) -> int:
        """Take what is there of a DATA frame; how many bytes that was."""
        count = min(len(view), self.left)
        if count:
            self.left -= count
            self.receiver.data(self.stream, view[:count])
        skipped = min(len(view) - count, self.padding) if not self.left else 0
        self.padding -= skipped
        if not self.left and not self.padding:
            self.receiver.data_ended(self.stream, last=self.last)
        return count + skipped
