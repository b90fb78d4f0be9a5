"""How fast the core's API answers: p50 and p99 of a list and of one run at a steady rate, with so many runs there.

    flock /tmp/bench.lock python benchmarks/api.py [--runs 1000] [--cluster-runs 10000] [--rate 20] [--seconds 30]

Once with the local runner, on folders of runs as it leaves them after ten Tasks; once with Tekton's engine, on the API
server of the tests (in this process) with as many PipelineRuns, of which those that are asked for have TaskRuns. 0 runs
leave one out. `nearedge api core` is a process of its own. Asks in turns for the newest 50 runs and for one run, each
request at its own time whether the one before has come back or not. Times count from when a request was due. Prints
Markdown.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from tests import core_cluster
from tests.cluster_api import FakeApi, served

TASKS = 10
ASKED = 50
"""PipelineRuns that are asked for one by one, spread over all."""
PIPELINE = "model-to-edge"
KIND = {"apiVersion": "tekton.dev/v1"}


@dataclass
class Ground:
    """What the API stands on, and the runs to ask for."""

    title: str
    names: list[str]
    environment: dict[str, str]
    options: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


def condition(message: str) -> dict[str, str]:
    """A condition of what ended well."""
    return {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": message}


def moment(number: int) -> str:
    """When the run of that number began and ended."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_790_000_000 + number))


@contextmanager
def local(count: int, folder: Path) -> Iterator[Ground]:
    """Runs of this machine."""
    names = [fabricate(folder / "runs", number) for number in range(count)]
    yield Ground(f"local runner, {count} runs", names, {"NEAREDGE_HOME": str(folder)})


@contextmanager
def on_cluster(count: int, folder: Path) -> Iterator[Ground]:
    """PipelineRuns, seen with the token of somebody who may manage them."""
    with served() as fake:
        core_cluster.install(fake)
        for number in range(count):
            fake.apply(pipeline_run(number), namespace=core_cluster.NAMESPACE)
        names = [f"{PIPELINE}-{number:05}" for number in range(0, count, max(1, count // ASKED))]
        for name in names:
            task_runs(fake, name)
        options = ["--engine=tekton", f"--namespace={core_cluster.NAMESPACE}"]
        config = fake.kubeconfig(folder, "nobody's token", core_cluster.NAMESPACE)
        token = fake.user("ada", "nearedge-users")
        yield Ground(
            f"Tekton's engine, {count} PipelineRuns", names, {"NEAREDGE_HOME": str(folder)},
            [*options, f"--kubeconfig={config}"], {"Authorization": f"Bearer {token}"},
        )  # fmt: skip


def pipeline_run(number: int) -> dict[str, Any]:
    """One that ended well, of about 18 kB."""
    name, at = f"{PIPELINE}-{number:05}", moment(number)
    tasks = [f"task-{index}" for index in range(TASKS)]
    embedded = {"description": "x" * 1500, "steps": []}
    status = {
        "startTime": at, "completionTime": at, "conditions": [condition(f"Tasks Completed: {TASKS}")],
        "pipelineSpec": {"tasks": [{"name": task, "taskSpec": embedded} for task in tasks]},
        "childReferences": [{"kind": "TaskRun", "name": f"{name}-{task}", "pipelineTaskName": task} for task in tasks],
    }  # fmt: skip
    metadata = {"name": name, "labels": {"tekton.dev/pipeline": PIPELINE, "team": f"team-{number % 7}"}}
    spec = {"pipelineRef": {"name": PIPELINE}, "params": [{"name": "model", "value": "x" * 200}]}
    return {**KIND, "kind": "PipelineRun", "metadata": metadata, "spec": spec, "status": status}


def task_runs(fake: FakeApi, run: str) -> None:
    """The TaskRuns of a PipelineRun, of about 4 kB each."""
    done = {"exitCode": 0, "startedAt": moment(0), "finishedAt": moment(0), "reason": "Completed"}
    for task in range(TASKS):
        labels = {"tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": f"task-{task}"}
        status = {
            "conditions": [condition("All Steps have completed executing")], "startTime": moment(0),
            "completionTime": moment(0), "podName": f"{run}-task-{task}-pod",
            "steps": [{"name": "step", "container": "step-step", "terminated": done}],
            "results": [{"name": "result", "type": "string", "value": "x" * 200}],
            "taskSpec": {"description": "x" * 3000},
        }  # fmt: skip
        head = {**KIND, "kind": "TaskRun", "metadata": {"name": f"{run}-task-{task}", "labels": labels}}
        fake.apply({**head, "spec": {}, "status": status}, namespace=core_cluster.NAMESPACE)


def fabricate(root: Path, number: int) -> str:
    """A run's folder: run.json of about 18 kB, a document for each Task."""
    name, at = f"{PIPELINE}-{number:05}", moment(number)
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
    run = {"metadata": {"name": name}, "spec": {"pipelineRef": {"name": PIPELINE}, "params": []}}
    (folder / "run.json").write_text(json.dumps({**run, "status": status}))
    return name


def asked(session: requests.Session, url: str, due: float, times: list[float]) -> None:
    """One request; milliseconds since it was due."""
    answer = session.get(url, timeout=30)
    times.append((time.perf_counter() - due) * 1000)
    answer.raise_for_status()


def measure(url: str, ground: Ground, rate: float, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each request by what was asked."""
    found: dict[str, list[float]] = {"list": [], "get": []}
    sessions = [requests.Session() for _ in range(8)]
    for session in sessions:
        session.headers.update(ground.headers)
    start, threads = time.perf_counter() + 0.5, []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        kind = ("list", "get")[number % 2]
        path = "runs?limit=50" if kind == "list" else f"runs/{ground.names[number * 7919 % len(ground.names)]}"
        task = (sessions[number % len(sessions)], f"{url}/api/v1/{path}", due, found[kind])
        threads.append(threading.Thread(target=asked, args=task))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return found


def first_list(url: str, ground: Ground) -> float:
    """Seconds until runs are listed; a 503 says that they are being listed, and to try again."""
    start = time.perf_counter()
    while (answer := requests.get(f"{url}/api/v1/runs", headers=ground.headers, timeout=120)).status_code == 503:
        time.sleep(0.1)
    answer.raise_for_status()
    return time.perf_counter() - start


def resident(server: psutil.Process) -> float:
    """MiB."""
    return float(server.memory_info().rss / 2**20)


def measured(ground: Ground, rate: float, seconds: float) -> None:
    """Start the API, ask, and print."""
    command = [sys.executable, "-m", "scripts.nearedge", "api", "core", "--port=0", *ground.options]
    with subprocess.Popen(
        command, env=os.environ | ground.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        url, process = server.stdout.readline().split()[0], psutil.Process(server.pid)
        before = resident(process)
        first = first_list(url, ground)
        found = measure(url, ground, rate, seconds)
        after, used = resident(process), process.cpu_times()
        server.terminate()
    print(f"\n{ground.title}, {rate:g} requests/s for {seconds:g} s, {os.cpu_count()} cores\n")
    print("| ms | p50 | p99 | largest |\n|---|---:|---:|---:|")
    for kind, times in found.items():
        cut = statistics.quantiles(times, n=100)
        print(f"| {kind} | {cut[49]:.1f} | {cut[98]:.1f} | {max(times):.1f} |")
    cpu = f"CPU {used.user + used.system:.1f} s"
    print(
        f"\nfirst list {first:.2f} s, resident {before:.0f} MiB before it, {after:.0f} MiB at the end, {cpu}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--cluster-runs", type=int, default=10_000)
    options.add_argument("--rate", type=float, default=20.0)
    options.add_argument("--seconds", type=float, default=30.0)
    given = options.parse_args()
    for count, made in ((given.runs, local), (given.cluster_runs, on_cluster)):
        with tempfile.TemporaryDirectory() as folder:
            if count:
                with made(count, Path(folder)) as ground:
                    measured(ground, given.rate, given.seconds)


if __name__ == "__main__":
    main()
