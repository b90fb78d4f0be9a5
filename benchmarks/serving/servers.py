"""Start the servers that are compared, each on a free loopback port and on the same cores."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import environments

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
READY_S = 120.0
PEER_NAMES = ("raw ASGI", "MLServer", "KServe")


@dataclass(frozen=True)
class Running:
    """A server that is ready, and how long that took from the start of its process."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int
    ready_s: float

    def url(self, path: str) -> str:
        """An address of its."""
        return f"http://127.0.0.1:{self.port}{path}"


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ours(models: Path, port: int, grpc_port: int) -> list[str]:
    """Our server's command."""
    ports = [f"--port={port}", f"--grpc-port={grpc_port}"]
    return [sys.executable, "-m", "serving_image", f"--models={models}", "--drain-seconds=0", *ports]


def command(name: str, models: Path, model: str, port: int, cache: Path) -> list[str]:
    """The command of a peer for one model, and the files that it wants."""
    if name == "raw ASGI":
        return [sys.executable, str(PEERS / "raw_asgi.py"), str(models), model, str(port)]
    if name == "KServe":
        return [
            str(environments.python("kserve", cache)),
            str(PEERS / "kserve_server.py"),
            str(models),
            str(port),
            model,
        ]
    folder = cache / f"mlserver-{model}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"parallel_workers": 0, "host": "127.0.0.1", "http_port": port, "debug": False}
    settings |= {"grpc_port": free_port(), "metrics_port": free_port()}
    (folder / "settings.json").write_text(json.dumps(settings))
    uri = str((models / model / "1/model.xml").resolve())
    named = {"name": model, "implementation": "mlserver_runtime.OpenVino", "parameters": {"uri": uri}}
    (folder / "model-settings.json").write_text(json.dumps(named))
    return [str(environments.python("mlserver", cache)), "-m", "mlserver.cli.main", "start", str(folder)]


@contextmanager
def running(argv: list[str], port: int, grpc_port: int = 0) -> Iterator[Running]:
    """The server of `argv`, ready; it is ended with the block. Leaves where it does not become ready."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(PEERS)}
    began = time.perf_counter()
    process = subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not is_ready(port):
            if process.poll() is not None or time.perf_counter() - began > READY_S:
                raise SystemExit(f"did not become ready: {' '.join(argv)}")
            time.sleep(0.005)
        yield Running(process, port, grpc_port, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_ready(port: int) -> bool:
    """Whether the server says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
