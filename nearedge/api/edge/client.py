"""A small HTTP client for model servers and Prometheus: whole answers only, within a time and a size.

h11 does the protocol; it is what uvicorn stands on, and takes a tenth of the memory of a client library.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import h11

from nearedge.errors import OutsideError

LARGEST = 4 << 20
"""Bytes of an answer."""
PIECE = 1 << 16


@dataclass(frozen=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


@lru_cache(4)
def trust(ca: Path | None, written: float) -> ssl.SSLContext:
    """What this machine trusts, and the certificates of `ca`; read when that was `written`, where a source has TLS.

    Raises OSError where it cannot be read.
    """
    del written  # only says that the file is another
    context = ssl.create_default_context()
    if ca is not None:
        context.load_verify_locations(ca)
    return context


def with_token(file: Path | None) -> dict[str, str]:
    """The header with the bearer token of a file, which may be replaced; none where it cannot be read.

    Nor where no header can hold it: the error of that would show it.
    """
    if file is None:
        return {}
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return {}
    return {"Authorization": f"Bearer {token}"} if token.isprintable() else {}


async def ask(
    url: str,
    timeout_s: float,
    *,
    headers: Mapping[str, str] | None = None,
    largest: int = LARGEST,
    body: bytes | None = None,
    ca: Path | None = None,
) -> Answer:
    """The answer to a GET, or to a POST of `body`, which is JSON. `ca`: certificates to trust besides the machine's.

    Raises OutsideError where none comes in `timeout_s` seconds, or it is none, or too large.
    """
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}:{parts.port}" if parts.port else f"{parts.scheme}://{parts.hostname}"
    try:
        async with asyncio.timeout(timeout_s):
            return await asked(url, headers or {}, largest, body, ca)
    except TimeoutError:
        raise OutsideError(f"{where}: no answer within {timeout_s:g} s") from None
    except (OSError, ValueError, h11.RemoteProtocolError, h11.LocalProtocolError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OutsideError(f"{where}: {' '.join(said.split())[:200]}") from None


async def asked(url: str, headers: Mapping[str, str], largest: int, body: bytes | None, ca: Path | None) -> Answer:
    """As `ask`, without a limit of time; raises what goes wrong."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    context = trust(ca, ca.stat().st_mtime if ca else 0.0) if secure else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        connection = h11.Connection(h11.CLIENT)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = [("Host", parts.netloc.rpartition("@")[2]), ("Connection", "close"), *headers.items()]
        if body is not None:
            fields += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        method = "GET" if body is None else "POST"
        writer.write(connection.send(h11.Request(method=method, target=target, headers=fields)) or b"")
        writer.write(connection.send(h11.Data(body)) or b"" if body else b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return await received(connection, reader, largest)
    finally:
        writer.close()
        closing = asyncio.ensure_future(writer.wait_closed())
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({closing}, timeout=0.1)  # a cancellation that comes now must not get lost


async def received(connection: h11.Connection, reader: asyncio.StreamReader, largest: int) -> Answer:
    """Read the whole answer. Raises ValueError where it is larger than `largest` bytes."""
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(PIECE))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > largest:
                raise ValueError(f"the answer is larger than {largest} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise ValueError("the connection ended before the answer did")
