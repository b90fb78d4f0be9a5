"""What the edge's API costs while nobody asks: resident memory and CPU time with so many models, for each source.

    flock /tmp/bench.lock python benchmarks/edge_footprint.py [--models 20] [--seconds 60]

Starts `nearedge api edge` in a process of its own, once as on a machine where `nearedge serve` started servers, once on
a cluster: the API server of the tests, with a Deployment, a pod and ten events for each model. The models' servers are
stand-ins in this process. Each kind of request is asked once, then the time without requests is measured; a GitOps
repository is asked every minute. Prints Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import requests

from nearedge.runner import serving
from nearedge.runner.serving import Served
from tests import edge_api, edge_cluster
from tests.cluster_api import served as cluster
from tests.gitops_repository import Place

EVENTS = 10
SETTLES_S = 20


@contextmanager
def stand_ins() -> Iterator[int]:
    """A server that is one for each model: its port. Paths begin with the model's name."""
    told = edge_api.Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, name, path = self.path.split("/", 2)
            try:
                body = told.body(f"/{path}".replace(f"/models/{name}", "/models/m")).replace(
                    b'"m"', f'"{name}"'.encode()
                )
            except KeyError:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@contextmanager
def embedded(home: Path, names: list[str], port: int) -> Iterator[list[str]]:
    """Options for servers that `nearedge serve` started."""
    (home / "serving").mkdir()
    for number, name in enumerate(names):
        document = Served(f"http://127.0.0.1:{port}/{name}", "", "", "a folder", serving.now())
        (home / "serving" / f"{number}.json").write_text(json.dumps(vars(document)))
    yield []


@contextmanager
def on_cluster(home: Path, names: list[str], port: int) -> Iterator[list[str]]:
    """Options for a cluster with Deployments, pods and events."""
    with cluster(tls=home) as fake:
        for name in names:
            pod = f"{name}-1-aaaaa"
            fake.apply(edge_cluster.deployment(name, edge_cluster.A))
            fake.apply(edge_cluster.pod(name, pod, edge_cluster.A, **edge_cluster.running()))
            fake.apply(*(edge_cluster.event(f"{pod}.{number}", pod, "Pulled", "x" * 300) for number in range(EVENTS)))
        options = ["--source=cluster", f"--kubeconfig={fake.kubeconfig(home, '', edge_cluster.NAMESPACE)}"]
        yield [*options, f"--server-address=http://127.0.0.1:{port}/{{model}}", "--argocd-namespace=openshift-gitops"]


def measure(options: list[str], home: Path, names: list[str], seconds: float) -> tuple[float, float, float]:
    """Resident memory and its peak in MB, and per cent of a core."""
    tokens = home / "tokens"
    tokens.write_text("bench manage 0123456789abcdef\n")
    command = [sys.executable, "-m", "scripts.nearedge", "api", "edge", "--port=0", "--site=edge-1", *options]
    environment = {**os.environ, "NEAREDGE_HOME": str(home)}
    with subprocess.Popen(
        [*command, f"--tokens={tokens}"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server, requests.Session() as session:  # fmt: skip
        assert server.stdout is not None
        url = server.stdout.readline().split()[0] + "/api/v1"
        session.headers["Authorization"] = "Bearer 0123456789abcdef"
        while len([one for one in session.get(f"{url}/models").json()["items"] if one["version"]]) < len(names):
            time.sleep(0.5)
        for path in (
            "/site",
            "/models",
            "/events",
            "/audit",
            *(f"/models/{names[0]}{path}" for path in edge_api.LOOKS),
        ):
            session.get(url + path, timeout=60).raise_for_status()
        time.sleep(SETTLES_S)
        process = psutil.Process(server.pid)
        before = sum(process.cpu_times()[:4])
        time.sleep(seconds)
        used = sum(process.cpu_times()[:4]) - before
        status = dict(line.split(":", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
        server.terminate()
    kilobytes = [int(status[key].split()[0]) for key in ("VmRSS", "VmHWM")]
    return kilobytes[0] * 1024 / 1e6, kilobytes[1] * 1024 / 1e6, 100 * used / seconds


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--models", type=int, default=20)
    options.add_argument("--seconds", type=float, default=60.0)
    given = options.parse_args()
    names = [f"model-{number:02}" for number in range(given.models)]
    print("| source | resident, MB | peak, MB | of a core, % |\n|---|---:|---:|---:|", flush=True)
    for label, source in (("embedded", embedded), ("cluster", on_cluster)):
        with tempfile.TemporaryDirectory() as folder, stand_ins() as port:
            place = Place(Path(folder))
            for name in names[:2]:
                place.put("a", "edge-1", name=name)
            home = Path(folder) / "home"
            home.mkdir()
            with source(home, names, port) as more:
                figures = measure([*more, f"--git-url={place.target.url}"], home, names, given.seconds)
        print(f"| {label} | {figures[0]:.1f} | {figures[1]:.1f} | {figures[2]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
