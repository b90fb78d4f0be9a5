"""CPU time that our server spends on a request: REST with binary tensors, and gRPC, asked by Triton's clients."""

import statistics
import subprocess
import sys
from pathlib import Path

import load
import servers

COUNTS = {"tiny": 2000, "cnn": 200}


def measure(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds for each request, by model and protocol; medians of the rounds, which alternate."""
    port, other = servers.free_port(), servers.free_port()
    with servers.running(servers.ours(folder / "models", port, other), port) as server:
        found: dict[str, dict[str, list[float]]] = {model: {"rest": [], "grpc": []} for model in COUNTS}
        for _ in range(rounds):
            for model, count in COUNTS.items():
                for kind, at in (("rest", port), ("grpc", other)):
                    found[model][kind].append(once(server.process.pid, kind, at, model, count))
    return {model: {kind: statistics.median(some) for kind, some in kinds.items()} for model, kinds in found.items()}


def once(pid: int, kind: str, port: int, model: str, count: int) -> float:
    """CPU microseconds of the server for each of `count` requests."""
    before = load.cpu_seconds(pid)
    argv = [sys.executable, str(servers.PEERS / "triton_client.py"), kind, str(port), model, str(count)]
    subprocess.run(argv, check=True, capture_output=True)
    return (load.cpu_seconds(pid) - before) / count * 1e6
