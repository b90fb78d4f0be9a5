"""A bad link: an HTTP proxy of ours between a client and one registry that does harm by seed.

    with FaultyProxy("127.0.0.1:5000") as proxy:
        proxy.misbehave(seed=7)     # from now on, the same harm to the same requests
        Registry(proxy.host, Access(plain_http=True))
        proxy.behave()

For each request it draws what to do: nothing, cut the connection inside the request's or the answer's body (by RST or
by FIN, which looks like a truncated answer), answer 429, 500 or 503 with Retry-After instead, take the request and keep
the answer back, wait, or flip one bit of either body. Heads are left alone: on a real link TLS guards them, and a
flipped method or path is another request, not a damaged one. `harm` counts what was done, by name.
"""

import contextlib
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from typing import Self

FAULTS = ("cut request", "cut answer", "truncate", "refuse", "keep answer", "wait", "flip request", "flip answer")
PIECE = 1 << 14
LONGEST_WAIT_S = 0.02
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
RST = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() resets the connection
sleep = time.sleep  # the real one, whatever a test puts in its place


class CutError(Exception):
    """The connection is to be cut; `reset` with RST."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class Wire:
    """One side of a connection, read head by head and body by body."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.held = sock, b""
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more(self) -> bool:
        data = self.sock.recv(1 << 16)
        self.held += data
        return bool(data)

    def head(self) -> bytes:
        """Up to and with the empty line; nothing where the other side has closed."""
        while b"\r\n\r\n" not in self.held:
            if not self.more():
                return b""
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def line(self) -> bytes:
        while b"\r\n" not in self.held:
            if not self.more():
                raise CutError(reset=True)
        line, _, self.held = self.held.partition(b"\r\n")
        return line + b"\r\n"

    def exactly(self, count: int) -> Iterator[bytes]:
        while count:
            if not self.held and not self.more():
                raise CutError(reset=True)
            part, self.held = self.held[: min(count, PIECE)], self.held[min(count, PIECE) :]
            count -= len(part)
            yield part

    def body(self, head: bytes) -> Iterator[tuple[bool, bytes]]:
        """Pieces of the body; whether one is content or framing."""
        if CHUNKED.search(head):
            size = -1
            while size:
                line = self.line()
                size = int(line.split(b";")[0], 16)
                yield False, line
                for part in self.exactly(size):
                    yield True, part
                yield False, self.line()
        else:
            found = LENGTH.search(head)
            for part in self.exactly(int(found[1]) if found else 0):
                yield True, part


def length(head: bytes) -> int:
    """What the head says of its body; a guess where it does not say."""
    found = LENGTH.search(head)
    return int(found[1]) if found else PIECE if CHUNKED.search(head) else 0


def retry_after(share: float) -> bytes:
    """A Retry-After: none, seconds, a date, or nonsense."""
    date = formatdate(time.time() + 5, usegmt=True)
    values = ("", "1", date, "soon")
    value = values[int(share * len(values))]
    return f"Retry-After: {value}\r\n".encode() if value else b""


class FaultyProxy:
    """Listens on `host`; `rate` is the share of requests that are harmed."""

    def __init__(self, upstream: str, rate: float = 0.12) -> None:
        name, _, port = upstream.rpartition(":")
        self.upstream, self.rate = (name, int(port)), rate
        self.harm: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.random: random.Random | None = None
        self.faults: tuple[str, ...] = FAULTS
        self.server = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.server.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.listen, daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.server.close()

    def misbehave(self, seed: int, faults: tuple[str, ...] = FAULTS, rate: float | None = None) -> None:
        """From now on do harm as `seed` says, of these kinds only."""
        with self.lock:
            self.random, self.faults = random.Random(seed), faults
            self.rate = self.rate if rate is None else rate

    def behave(self) -> None:
        """From now on do none."""
        with self.lock:
            self.random = None

    def draw(self) -> tuple[str, float]:
        """What to do to a request, and where in its body (a share of its length)."""
        with self.lock:
            if self.random is None or self.random.random() >= self.rate:
                return "", 0.0
            return self.random.choice(self.faults), self.random.random()

    def listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        """One connection until either side ends it or it is cut."""
        with client, contextlib.suppress(OSError), socket.create_connection(self.upstream, 20) as upstream:
            try:
                self.exchange_all(Wire(client), Wire(upstream))
            except CutError as cut:
                if cut.reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)

    def exchange_all(self, client: Wire, upstream: Wire) -> None:
        while head := client.head():
            fault, share = self.draw()
            if fault == "refuse":
                self.refuse(client, head, share)
            self.harm[fault] += fault == "wait"
            sleep(share * LONGEST_WAIT_S if fault == "wait" else 0)
            upstream.sock.sendall(head)
            self.forward(client, upstream, head, fault.removesuffix(" request") if " request" in fault else "", share)
            answer = upstream.head()
            if not answer:
                raise CutError(reset=True)
            if fault == "keep answer":
                self.harm[fault] += 1
                raise CutError(reset=True)
            bodiless = head.startswith(b"HEAD ") or answer.split(b" ", 2)[1] in (b"204", b"304")
            client.sock.sendall(answer)
            if not bodiless:
                fault = fault.removesuffix(" answer") if " request" not in fault else ""
                self.forward(upstream, client, answer, fault, share)
            if b"\r\nconnection: close" in answer.lower():
                return

    def refuse(self, client: Wire, head: bytes, share: float) -> None:
        """Answer in the registry's place; the request's body is read, so that the answer arrives."""
        status = (b"429 Too Many", b"500 Broken", b"503 Busy")[int(share * 3)]
        for _ in client.body(head):
            pass
        self.harm["refuse"] += 1
        after = retry_after(share * 3 % 1)
        client.sock.sendall(b"HTTP/1.1 " + status + b"\r\n" + after + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        raise CutError(reset=False)

    def forward(self, source: Wire, target: Wire, head: bytes, fault: str, share: float) -> None:
        """Pass a body on, cut or with one bit flipped at `share` of its length."""
        place, seen = int(length(head) * share), 0
        for content, part in source.body(head):
            hit = content and fault in ("cut", "truncate", "flip") and seen <= place < seen + len(part)
            here = place - seen
            seen += len(part) if content else 0
            if not hit:
                target.sock.sendall(part)
                continue
            if fault == "flip":
                self.harm["flip"] += 1
                changed = bytes([part[here] ^ (1 << int(share * 1000) % 8)])
                target.sock.sendall(part[:here] + changed + part[here + 1 :])
                continue
            target.sock.sendall(part[:here])
            self.harm[fault] += 1
            raise CutError(reset=fault == "cut")
