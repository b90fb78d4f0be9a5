"""What gathering requests gains: the same model with and without it, side by side, each in its turn in every round."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import load
import models
import servers
import speed

CONNECTIONS = (1, 8)
RUNTIMES: dict[str, dict[str, Any]] = {
    "not batched": {},
    "max_batch 8, max_wait_ms 2": {"max_batch": 8, "max_wait_ms": 2.0},
}


def measure(folder: Path, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One row for each way to run the model and number of connections."""
    folder = folder / "batching"
    if not (folder / "done").exists():
        for name, runtime in RUNTIMES.items():
            models.write_model(folder / name / "dense/1", models.dense_layers(), **runtime)
        models.write_bodies(folder, "dense")
        (folder / "done").touch()
    found: list[dict[str, Any]] = []
    with ExitStack() as stack:
        started = {name: stack.enter_context(start(folder / name)) for name in RUNTIMES}
        for connections in CONNECTIONS:
            results: dict[str, list[load.Measured]] = {name: [] for name in started}
            for _ in range(rounds):
                for name, server in started.items():
                    url, body = server.url("/v2/models/dense/infer"), folder / "dense.binary"
                    results[name].append(load.measure(server.process.pid, url, body, connections, seconds))
            print(f"batching at {connections}: done", file=sys.stderr, flush=True)
            found += [
                {"model": "dense", "kind": "binary", "connections": connections, "server": name, **speed.medians(many)}
                for name, many in results.items()
            ]
    return found


def start(folder: Path) -> Any:
    """A server's context."""
    port, other = servers.free_port(), servers.free_port()
    return servers.running(servers.ours(folder, port, other), port, other)
