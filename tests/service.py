"""What a Service does to servers, as a small TCP proxy: new connections go to those that are ready, the rest stay.

And clients that ask through it without a pause, each on one connection for as long as it lasts or on a new one for each
request. Everything runs on one event loop; the servers are processes of their own.
"""

import asyncio
import contextlib
import re
from collections import Counter
from itertools import count

PROBE_S = 0.05
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
VERSION = re.compile(rb'"model_version":"(\d+)"')


class Pipe(asyncio.Protocol):
    """One direction of a connection; what arrives is written to `other`, which ends with this one."""

    def __init__(self) -> None:
        self.other: asyncio.Transport | None = None
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def join(self, other: asyncio.Transport) -> None:
        self.other = other
        for data in self.early:
            other.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.write(data)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.other is not None:
            self.other.close()


class Service:
    """Listens on `port`; probes each backend's readiness as a kubelet does, and picks among the ready ones in turn."""

    def __init__(self) -> None:
        self.backends: dict[int, bool] = {}
        self.turn = count()
        self.waiting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.accept, "127.0.0.1", 0)
        self.port: int = self.server.sockets[0].getsockname()[1]
        self.prober = asyncio.create_task(self.probe())

    async def stop(self) -> None:
        self.prober.cancel()
        self.server.close()
        await asyncio.gather(self.prober, *self.waiting, return_exceptions=True)

    async def probe(self) -> None:
        while True:
            for port in list(self.backends):
                ready = await is_ready(port)
                if port in self.backends:
                    self.backends[port] = ready
            await asyncio.sleep(PROBE_S)

    def accept(self) -> Pipe:
        client = Pipe()
        task = asyncio.get_running_loop().create_task(self.connect(client))
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)
        return client

    async def connect(self, client: Pipe) -> None:
        """Join a client to a backend; where none is ready it is dropped, and its request counts as lost."""
        await asyncio.sleep(0)  # the loop tells the client of its transport first
        ready = [port for port, is_ready in self.backends.items() if is_ready]
        try:
            port = ready[next(self.turn) % len(ready)]
            transport, backend = await asyncio.get_running_loop().create_connection(Pipe, "127.0.0.1", port)
        except (OSError, ZeroDivisionError):
            client.transport.abort()
            return
        backend.join(client.transport)
        client.join(transport)
        if client.transport.is_closing():
            transport.close()


async def is_ready(port: int) -> bool:
    """What the server's readiness path says."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
        await reader.read()
    except OSError:
        return False
    finally:
        await closed(writer)
    return b" 200 " in line


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection for good: one that is only told to may outlive its event loop, which is a warning."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class Answers(asyncio.Protocol):
    """One connection of a client; `next` is the answer to come, None where the connection ended without."""

    def __init__(self) -> None:
        self.received, self.closed = b"", False
        self.next: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    def ask(self, transport: asyncio.WriteTransport, request: bytes) -> asyncio.Future[bytes | None]:
        if not self.closed:
            self.next = asyncio.get_running_loop().create_future()
            transport.write(request)
        return self.next

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if found and length is not None and len(body) >= int(length[1]):
            self.next.set_result(self.received)
            self.received = b""

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed = True
        if not self.next.done():
            self.next.set_result(None)


class Client:
    """Sends `request` again and again through `port`; counts answers by version, and what went wrong."""

    def __init__(self, port: int, request: bytes, *, keep_alive: bool) -> None:
        self.port, self.request, self.keep_alive = port, request, keep_alive
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.connections = 0

    async def run(self, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        while not (stopping.is_set() or self.failures):
            transport, connection = await loop.create_connection(Answers, "127.0.0.1", self.port)
            self.connections += 1
            while self.count(await connection.ask(transport, self.request)) and not stopping.is_set():
                pass
            transport.close()

    def count(self, answer: bytes | None) -> bool:
        """Count an answer; whether its connection can be used again."""
        version = VERSION.search(answer or b"")
        if answer is None or version is None or not answer.startswith(b"HTTP/1.1 200 "):
            self.failures.append(repr(answer)[:300])
            return False
        self.answers[version[1].decode()] += 1
        return self.keep_alive and b"connection: close" not in answer.lower()
