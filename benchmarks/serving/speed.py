"""Requests a second, side by side: every server once in each round, medians of the rounds."""

import os
import re
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import load
import servers

CASES = (
    ("tiny", "json", 1), ("tiny", "json", 8), ("cnn", "binary", 1), ("cnn", "binary", 8), ("cnn", "json", 1),
    ("cnn", "json", 8),
)  # fmt: skip
BINARY = ("ours", "raw ASGI")
"""MLServer's and KServe's answers to binary bodies are left out: those are compared with benchmark_app."""
APP = {"sync": ["-api", "sync", "-hint", "latency"], "two streams": ["-hint", "none", "-nstreams", "2", "-nireq", "2"]}


def measure(folder: Path, cache: Path, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One row for each case and server."""
    found: list[dict[str, Any]] = []
    for model in ("tiny", "cnn"):
        with ExitStack() as stack:
            started = {name: stack.enter_context(start(name, folder / "models", model, cache)) for name in names()}
            for case in [case for case in CASES if case[0] == model]:
                found += one_case(case, started, folder, rounds, seconds)
    return found + applications(folder, rounds, seconds)


def names() -> tuple[str, ...]:
    """Ours first."""
    return ("ours", *servers.PEER_NAMES)


def start(name: str, models: Path, model: str, cache: Path) -> Any:
    """A server's context."""
    port, other = servers.free_port(), servers.free_port()
    argv = servers.ours(models, port, other) if name == "ours" else servers.command(name, models, model, port, cache)
    return servers.running(argv, port, other)


def one_case(
    case: tuple[str, str, int], started: dict[str, servers.Running], folder: Path, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """All servers in turn, `rounds` times."""
    model, kind, connections = case
    taking = [name for name in started if kind == "json" or name in BINARY]
    results: dict[str, list[load.Measured]] = {name: [] for name in taking}
    for _ in range(rounds):
        for name in taking:
            server, body = started[name], folder / "bodies" / f"{model}.{kind}"
            url = server.url(f"/v2/models/{model}/infer")
            results[name].append(load.measure(server.process.pid, url, body, connections, seconds))
    print(f"{model} {kind} at {connections}: done", file=sys.stderr, flush=True)
    return [{"model": model, "kind": kind, "connections": connections, "server": name, **medians(results[name])}
            for name in taking]  # fmt: skip


def medians(results: list[load.Measured]) -> dict[str, float]:
    """The median of each figure, and all errors."""
    figures = ("rate", "p50_ms", "p99_ms", "cpu_us")
    found = {name: statistics.median(getattr(one, name) for one in results) for name in figures}
    return {**found, "errors": sum(one.errors for one in results)}


def applications(folder: Path, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """benchmark_app on the CNN, in this process's environment."""
    rates: dict[str, list[float]] = {name: [] for name in APP}
    for _ in range(rounds):
        for name, options in APP.items():
            rates[name].append(application(folder / "models/cnn/1/model.xml", options, seconds))
    return [
        {"model": "cnn", "kind": "benchmark_app", "connections": 0, "server": name, "rate": statistics.median(found)}
        for name, found in rates.items()
    ]


def application(xml: Path, options: list[str], seconds: float) -> float:
    """Inferences a second by benchmark_app."""
    program = str(Path(sys.executable).with_name("benchmark_app"))
    argv = [program, "-m", str(xml), "-d", "CPU", "-infer_precision", "f32", "-t", str(max(1, round(seconds)))]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([*argv, *options], capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"Throughput:\s+([0-9.]+)", done.stdout)
    if done.returncode or found is None:
        raise SystemExit(f"benchmark_app failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    return float(found[1])
