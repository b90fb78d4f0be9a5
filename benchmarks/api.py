"""How fast the core's API answers: p50 and p99 of a list and of one run at a steady rate, with so many runs there.

    python benchmarks/api.py [--runs 1000] [--rate 20] [--seconds 30]

Fabricates the folders of runs as the runner leaves them after ten Tasks, starts `nearedge api core` in a process of its
own, and asks in turns for the newest 50 runs and for one run, each request at its own time whether the one before has
come back or not. Times count from when a request was due. Prints Markdown.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import requests

TASKS = 10


def condition(message: str) -> dict[str, str]:
    """A condition of what ended well."""
    return {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": message}


def fabricate(root: Path, number: int) -> str:
    """A run's folder: run.json of about 18 kB, a document for each Task."""
    name, at = f"model-to-edge-{number:05}", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_790_000_000 + number))
    folder = root / name
    (folder / "taskruns").mkdir(parents=True)
    tasks = [f"task-{index}" for index in range(TASKS)]
    done = {"exitCode": 0, "startedAt": at, "finishedAt": at}
    for task in tasks:
        status = {
            "conditions": [condition("All Steps have completed executing")], "startTime": at, "completionTime": at,
            "steps": [{"name": "step", "terminated": done}], "results": [{"name": "result", "value": "x" * 200}],
        }  # fmt: skip
        document = {"metadata": {"name": f"{name}-{task}"}, "status": {**status, "taskSpec": {"about": "x" * 3000}}}
        (folder / "taskruns" / f"{task}.json").write_text(json.dumps(document))
    spec = {"tasks": [{"name": task, "about": "x" * 1500} for task in tasks]}
    status = {
        "startTime": at, "completionTime": at, "conditions": [condition(f"Tasks Completed: {TASKS}")],
        "pipelineSpec": spec, "childReferences": [{"name": f"{name}-{task}"} for task in tasks],
    }  # fmt: skip
    run = {"metadata": {"name": name}, "spec": {"pipelineRef": {"name": "model-to-edge"}, "params": []}}
    (folder / "run.json").write_text(json.dumps({**run, "status": status}))
    return name


def asked(session: requests.Session, url: str, due: float, times: list[float]) -> None:
    """One request; milliseconds since it was due."""
    answer = session.get(url, timeout=30)
    times.append((time.perf_counter() - due) * 1000)
    answer.raise_for_status()


def measure(url: str, names: list[str], rate: float, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each request by what was asked."""
    found: dict[str, list[float]] = {"list": [], "get": []}
    sessions = [requests.Session() for _ in range(8)]
    start, threads = time.perf_counter() + 0.5, []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        kind = ("list", "get")[number % 2]
        path = "runs?limit=50" if kind == "list" else f"runs/{names[number * 7919 % len(names)]}"
        task = (sessions[number % len(sessions)], f"{url}/api/v1/{path}", due, found[kind])
        threads.append(threading.Thread(target=asked, args=task))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return found


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--rate", type=float, default=20.0)
    options.add_argument("--seconds", type=float, default=30.0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as home:
        names = [fabricate(Path(home) / "runs", number) for number in range(given.runs)]
        command = [sys.executable, "-m", "scripts.nearedge", "api", "core", "--port=0"]
        environment = {**os.environ, "NEAREDGE_HOME": home}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split()[0]
            first = time.perf_counter()
            requests.get(f"{url}/api/v1/runs", timeout=120).raise_for_status()
            first = time.perf_counter() - first
            found = measure(url, names, given.rate, given.seconds)
            process = psutil.Process(server.pid)
            resident, used = process.memory_info().rss / 2**20, process.cpu_times()
            server.terminate()
    print(f"{given.runs} runs, {given.rate:g} requests/s for {given.seconds:g} s, {os.cpu_count()} cores\n")
    print("| ms | p50 | p99 | largest |\n|---|---:|---:|---:|")
    for kind, times in found.items():
        cut = statistics.quantiles(times, n=100)
        print(f"| {kind} | {cut[49]:.1f} | {cut[98]:.1f} | {max(times):.1f} |")
    print(f"\nfirst list {first:.2f} s, resident {resident:.0f} MiB, CPU {used.user + used.system:.1f} s")


if __name__ == "__main__":
    main()
