"""The whole way of an example: train it, run the model-to-edge Pipeline on it, serve what came out, ask it one thing.

`make demo` runs this. Everything is kept under `.nearedge/demo/<example>/`: the trained model, the release with its
image and report, and the GitOps repository, which a second run with another seed upgrades.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import requests
from rich.console import Console

from nearedge.release import description, record, sections
from nearedge.release.record import Record

EXAMPLES = Path(__file__).resolve().parent
EXAMPLE_OF = {"pytorch": "digits", "tensorflow": "diabetes", "onnx": "filetypes"}
READY_WITHIN_S = 60
console = Console(highlight=False, soft_wrap=True)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def step(text: str) -> None:
    """A heading."""
    console.print(f"\n[bold]{text}[/bold]")


def trained(name: str, seed: int, home: Path) -> Path:
    """The folder of the trained example; an earlier run's is taken as it is."""
    folder = home / f"trained-{seed}"
    if (folder / "model.yaml").exists():
        console.print(f"{folder} is there from an earlier run")
        return folder
    environment = {
        **os.environ,
        "OMP_WAIT_POLICY": "PASSIVE",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    started = time.monotonic()
    with console.status(f"training {name}"):
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name / "train.py"), f"--out={folder}", f"--seed={seed}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"examples/{name}/train.py failed:\n{done.stderr}")
    console.print(f"{folder} written in {time.monotonic() - started:.1f} s")
    return folder


def git(*arguments: str) -> str:
    """What git prints."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


def run_pipeline(name: str, source: Path, home: Path) -> None:
    """Run the Pipeline as a person would; leave with its exit status where it fails."""
    repository = home / "gitops.git"
    if not repository.exists():
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(repository)], check=True)
    (home / "release").mkdir(exist_ok=True)
    command = [
        "run",
        "model-to-edge",
        f"-p=image=oci:image:{name}",
        "-p=allow-layout=true",
        "-p=base-image=host",
        f"-p=git-url={repository.resolve().as_uri()}",
        f"-p=test-port={free_port()}",
        f"-w=source={source}",
        f"-w=release={home / 'release'}",
    ]
    console.print(f"[dim]nearedge {' '.join(command)}[/dim]")
    done = subprocess.run([sys.executable, "-m", "scripts.nearedge", *command], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def megabytes(size: int) -> str:
    """Bytes for a person."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def differences(stage: sections.VerificationSection) -> str:
    """The largest difference over the largest magnitude of the output, and how often the decision is the same."""
    worst = max(stage.outputs, key=lambda output: output.max_relative)
    agreed = [output.top1_agreement for output in stage.outputs if output.top1_agreement is not None]
    top1 = f", top-1 the same on {min(agreed):.1%}" if agreed else ""
    return f"{worst.max_relative:.2g} in {stage.precision}{top1}"


def summary(release: Record, home: Path, before: str) -> list[tuple[str, str]]:
    """What a person wants to know of the release."""
    evidence = release.evidence
    rows: list[tuple[str, str]] = []
    deployed, first = evidence.verification_deployed, evidence.verification_f32
    if deployed and deployed.metric:
        metric = deployed.metric
        rows.append(
            (metric.name, f"{metric.source:.4f} before, {metric.converted:.4f} as deployed ({metric.rows} held out)")
        )
    if first and deployed:
        rows.append(("largest difference", f"{differences(first)}; as deployed {differences(deployed)}"))
    if evidence.benchmark:
        for timing in evidence.benchmark.timings:
            ratio = timing.faster.value if timing.faster else 1.0
            rows.append((f"latency, {timing.name}", f"{timing.p50_ms:.3f} ms median, {ratio:.1f}x  ({timing.detail})"))
    if evidence.image:
        image = evidence.image
        rows += [("image", image.digest), ("image size", megabytes(image.size_bytes))]
        pulls = {None: "first release, nothing to compare with", 0: "nothing, the image is the same"}
        upgrade = pulls.get(image.upgrade_bytes) or megabytes(image.upgrade_bytes or 0)
        rows.append(("an upgrade pulls", upgrade))
    head = git("-C", str(home / "gitops.git"), "rev-parse", "main")
    rows.append(("git commit", f"{head}{'' if head != before else ' (nothing changed, no new commit)'}"))
    rows.append(("GitOps repository", str(home / "gitops.git")))
    rows.append(("report", str(home / "release" / "report" / "report.html")))
    return rows


def wait_ready(server: subprocess.Popen[bytes], address: str) -> None:
    """Until the server has passed its self-test."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(f"{address}/v2/health/ready", timeout=2).ok:
                return
        except requests.ConnectionError:
            pass  # it does not listen yet
        time.sleep(0.1)
    raise SystemExit(f"the server at {address} did not become ready; `nearedge serve` says why")


def ask(address: str, source: Path) -> None:
    """Send one sample that the model never saw and print the answer next to the label."""
    wanted = description.read(source / "model.yaml")
    assert wanted.data is not None and wanted.data.labels is not None and wanted.data.evaluation is not None
    arrays = np.load(source / wanted.data.path, allow_pickle=False)
    row = wanted.data.evaluation[0]
    inputs = []
    for tensor in wanted.inputs:
        sample = arrays[tensor.name][row : row + 1]
        inputs.append(
            {
                "name": tensor.name,
                "datatype": tensor.dtype,
                "shape": list(sample.shape),
                "data": sample.ravel().tolist(),
            }
        )
    url = f"{address}/v2/models/{wanted.name}/infer"
    response = requests.post(url, json={"inputs": inputs}, timeout=10)
    response.raise_for_status()
    answer = response.json()
    output = answer["outputs"][0]
    values = np.array(output["data"]).reshape(output["shape"])[0]
    console.print(f"POST {url}")
    if values.size > 1:
        said, shown = str(values.argmax()), f"{values.max():.4g} at {values.argmax()}, the largest of {values.size}"
    else:
        said, shown = f"{values.item():.1f}", f"{values.item():.4g}"
    console.print(f"{output['name']}: {shown}")
    console.print(f"answer [bold]{said}[/bold], label [bold]{arrays[wanted.data.labels][row]}[/bold]")


def serve(name: str, home: Path, source: Path, keep: bool) -> None:
    """Start the image's server, ask it, and stop it unless it shall stay."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "scripts.nearedge",
        "serve",
        f"oci:{home / 'release' / 'image'}:{name}",
        f"--port={port}",
        "--grpc-port=off",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_ready(server, f"http://127.0.0.1:{port}")
        ask(f"http://127.0.0.1:{port}", source)
        if keep:
            console.print(f"\nserving at http://127.0.0.1:{port} until Ctrl-C")
            server.wait()
        else:
            console.print("\nstopping the server (KEEP=1 leaves it running)")
    except KeyboardInterrupt:
        console.print()
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", choices=sorted(EXAMPLE_OF), default="pytorch", help="the framework, and so the example"
    )
    parser.add_argument("--seed", type=int, default=1, help="another seed trains another model: an upgrade")
    parser.add_argument("--keep", action="store_true", help="leave the server running until Ctrl-C")
    options = parser.parse_args()
    name = EXAMPLE_OF[options.model]
    home = Path(".nearedge") / "demo" / name
    home.mkdir(parents=True, exist_ok=True)
    step(f"1. Train {name} ({options.model}, seed {options.seed})")
    source = trained(name, options.seed, home)
    before = git("-C", str(home / "gitops.git"), "rev-parse", "main") if (home / "gitops.git").exists() else ""
    step("2. Run pipelines/model-to-edge on it")
    run_pipeline(name, source, home)
    profile = sections.read(home / "release", sections.BenchmarkSection).profile
    console.print()
    for what, value in summary(record.assemble(home / "release", profile), home, before):
        console.print(f"[dim]{what:20}[/dim]{value}")
    step("3. Serve the image and ask it one thing")
    serve(name, home, source, options.keep)
    console.print("\nnext: make demo SEED=2 for an upgrade; .venv/bin/nearedge api core for pages about this run;")
    console.print("      README.md, 'Your own model', for yours")


if __name__ == "__main__":
    main()
