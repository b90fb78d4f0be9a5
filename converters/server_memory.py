"""What the server really takes with the deployed model: `python -m serving_image` is started and put under load.

The server is a program of its own, which we start and do not import. Its largest resident memory is what a pod's limit
has to hold; a process that only runs the model has neither its HTTP parts nor its requests in flight. Mapped weights
count in it, so it holds for an image whose weights are put together in memory, too (docs/thin-links.md).
"""

import contextlib
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.confinement import Share
from converters.samples import Feed
from converters.timed_process import environment
from nearedge.errors import InputError, MachineError
from nearedge.files import write_text
from nearedge.release import record
from nearedge.release.description import Description
from nearedge.release.record import Identity

HOST = "127.0.0.1"
NEEDED = ("uvicorn", "httptools", "orjson", "hpack", "simdjson")
"""What the extra `serve` brings; without it the server cannot be started here."""
READY_WITHIN_S = 60.0
POLL_S = 0.05
CALL_S = 60.0
CLIENTS = 4
LOAD_S = 0.8
FEWEST = 8
HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Request:
    """A body of the Open Inference Protocol, whose JSON part has `header` bytes."""

    body: bytes
    header: int


def available() -> bool:
    """Whether the server can be started with this Python."""
    return all(importlib.util.find_spec(name) is not None for name in ("serving_image", *NEEDED))


def lay_out(folder: Path, xml: Path, identity: Identity) -> None:
    """A folder of models as the image has it, without golden samples."""
    place = folder / identity.name / identity.version
    place.mkdir(parents=True)
    for file in (xml, xml.with_suffix(".bin")):
        (place / file.name).symlink_to(file.resolve())
    write_text(place / record.IDENTITY_FILE, record.dump(identity.model_copy(update={"golden": None})))


def peak_mib(
    description: Description,
    xml: Path,
    identity: Identity,
    feeds: Sequence[Feed],
    cores: Sequence[int],
    held: Share,
    folder: Path,
    seconds: float = LOAD_S,
    clients: int = CLIENTS,
) -> float:
    """Largest resident memory in MiB of the server with the IR at `xml` under load, held to a share's CPU.

    Raises MachineError where the server does not become ready, InputError where it refuses the samples.
    """
    lay_out(folder / "models", xml, identity)
    log = folder / "server.log"
    clients = max(clients, identity.runtime.streams * identity.runtime.max_batch)
    with started(folder / "models", identity.runtime.threads, cores, held, log) as (process, port):
        wait_ready(process, port, log)
        load(port, f"/v2/models/{identity.name}/infer", requests(description, feeds), clients, seconds)
        return high_water_mib(process.pid)


@contextlib.contextmanager
def started(
    models: Path, threads: int, cores: Sequence[int], held: Share, log: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The server's process and port; killed after the block."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    plain = {name: value for name, value in environment(threads, {}).items() if not name.startswith("NEAREDGE_")}
    options = {"models": str(models), "host": HOST, "port": str(port), "grpc-port": "0", "access-log": "off"}
    command = [sys.executable, "-m", "serving_image", *(f"--{name}={value}" for name, value in options.items())]
    with held.group(memory=False) as groups, log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=errors, stderr=errors, stdin=subprocess.DEVNULL, env=plain)
        try:
            for file in groups:
                file.write_text(str(process.pid), encoding="ascii")
            os.sched_setaffinity(process.pid, cores)
            yield process, port
        finally:
            process.kill()
            process.wait()


def wait_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait until the server answers that it is ready. Raises MachineError where it ended or takes too long."""
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        connection = http.client.HTTPConnection(HOST, port, timeout=CALL_S)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            if call(connection, "GET", "/v2/health/ready")[0] == 200:
                return
        time.sleep(POLL_S)
    last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
    raise MachineError(f"the server did not become ready with the model: {''.join(last)[:200] or 'it said nothing'}")


def call(
    connection: http.client.HTTPConnection, method: str, path: str, request: Request | None = None
) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    headers = {} if request is None else {HEADER: str(request.header)}
    connection.request(method, path, None if request is None else request.body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def requests(description: Description, feeds: Sequence[Feed]) -> list[Request]:
    """Each feed as binary tensors; every other one asks for binary answers, the rest for JSON."""
    return [request(description, feed, binary=at % 2 == 0) for at, feed in enumerate([*feeds, *feeds[:1]])]


def request(description: Description, feed: Feed, *, binary: bool) -> Request:
    """One feed as a body. bfloat16 travels as the upper half of float32's bits."""
    inputs, parts = [], []
    for one in description.inputs:
        array = feed[one.name]
        if one.dtype == "BF16":
            array = (array.astype("<f4").view("<u4") >> 16).astype("<u2")
        parts.append(np.ascontiguousarray(array).tobytes())
        inputs.append(
            {
                "name": one.name,
                "datatype": one.dtype,
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(parts[-1])},
            }
        )
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": binary}}).encode()
    return Request(b"".join([head, *parts]), len(head))


def load(port: int, path: str, bodies: Sequence[Request], clients: int, seconds: float) -> None:
    """Send requests from so many clients for so long. Raises InputError where the server refuses one."""
    until, faults = time.monotonic() + seconds, list[str]()

    def client(first: int) -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=CALL_S)
        number = first
        try:
            while not faults and (number - first < FEWEST or time.monotonic() < until):
                status, body = call(connection, "POST", path, bodies[number % len(bodies)])
                if status != 200:
                    faults.append(f"{status} {body[:200].decode(errors='replace')}")
                number += 1
        except (OSError, http.client.HTTPException) as error:
            faults.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=client, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise InputError(f"the server does not answer the samples of model.yaml's data: {faults[0]}")


def high_water_mib(pid: int) -> float:
    """Largest resident memory of a process so far. Raises MachineError where it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    raise MachineError("the server ended under load; it may need more memory")
