"""Servers that come and go behind a Service, under load that never pauses: no request is lost."""

import asyncio
import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.service import Client, Service

CLIENTS = 8
REQUESTS = 10_000
REPLACEMENTS = 2
BODY = json.dumps(
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0.0] * 64}]}
).encode()
HEAD = "POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n"


@pytest.fixture(scope="module")
def versions(released, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two model folders as two images have them: digits version 1 in one, version 2 in the other."""
    root = tmp_path_factory.mktemp("versions")
    for version in ("1", "2"):
        shutil.copytree(released.models / "digits/1", root / version / "digits" / version)
    return [root / "1", root / "2"]


async def replaced_again_and_again(service: Service, versions: list[Path], start) -> list[Client]:
    """Replace the server while clients ask, until there were enough requests and replacements; the clients."""
    await service.start()
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def begin(number: int):
        return start(versions[number % 2], "--drain-seconds=0.5").wait_ready()

    old = await loop.run_in_executor(None, begin, 0)
    service.backends[old.port] = True
    requests = [HEAD.format(len(BODY), more).encode() + BODY for more in ("", "Connection: close\r\n")]
    clients = [Client(service.port, requests[at % 2], keep_alive=at % 2 == 0) for at in range(CLIENTS)]
    tasks = [asyncio.create_task(client.run(stopping)) for client in clients]
    number = 0
    while number < REPLACEMENTS or sum(client.answers.total() for client in clients) < REQUESTS:
        if any(client.failures for client in clients) or number >= 20:
            break
        number += 1
        new = await loop.run_in_executor(None, begin, number)
        service.backends[new.port] = False  # the prober finds it ready
        while not service.backends[new.port]:
            await asyncio.sleep(0.01)
        old.process.send_signal(signal.SIGTERM)
        assert await loop.run_in_executor(None, old.process.wait, 30) == 0
        del service.backends[old.port]
        old = new
    await asyncio.sleep(0.3)
    stopping.set()
    await asyncio.gather(*tasks)
    await service.stop()
    await asyncio.sleep(0.1)  # transports close a turn later
    return clients


def test_no_request_is_lost_while_servers_are_replaced(versions: list[Path], start) -> None:
    clients = asyncio.run(replaced_again_and_again(Service(), versions, start))
    assert [failure for client in clients for failure in client.failures] == []
    assert sum(client.answers.total() for client in clients) >= REQUESTS
    for client in clients:
        assert client.answers["1"] > 0 and client.answers["2"] > 0
        if client.keep_alive:  # a connection lasts until its server goes: it is told to close, not cut off
            assert client.connections < client.answers.total() / 10
        else:
            assert client.connections == client.answers.total()
