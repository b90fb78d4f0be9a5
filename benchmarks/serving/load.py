"""Put load on one server with wrk, and say what came back and what it cost."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

SCRIPT = Path(__file__).with_name("load.lua")
WARM_S = 1


@dataclass(frozen=True)
class Measured:
    """One run: requests a second, latencies in ms, CPU time of the server in us for each request, failed requests."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    errors: int


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children so far."""
    whole = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        times = process.cpu_times()
        whole += times.user + times.system
    return whole


def wrk(url: str, body: Path, header: str, connections: int, seconds: float) -> dict[str, float]:
    """What load.lua says of one run of wrk with one thread. Leaves where wrk is missing or fails."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; on Debian: apt-get install wrk")
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout=30s",
        f"-s{SCRIPT}",
        url,
        "--",
        str(body),
    ]
    done = subprocess.run([*command, *([header] if header else [])], capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not found:
        raise SystemExit(f"wrk failed on {url}: {done.stderr or done.stdout}")
    answer: dict[str, float] = json.loads(found[0])
    return answer


def measure(pid: int, url: str, body: Path, connections: int, seconds: float) -> Measured:
    """Load `url` with the body in the file, which is binary where a .header lies beside it and its suffix says so."""
    header = body.with_suffix(".header").read_text() if body.suffix == ".binary" else ""
    wrk(url, body, header, connections, WARM_S)
    before = cpu_seconds(pid)
    found = wrk(url, body, header, connections, seconds)
    spent = cpu_seconds(pid) - before
    requests = max(1.0, found["requests"])
    return Measured(
        found["requests"] / found["seconds"],
        found["p50_ms"],
        found["p99_ms"],
        spent / requests * 1e6,
        int(found["errors"]),
    )
