"""Building and pushing a new version of a model on an existing base, beside buildah; peak memory; bytes that travel.

    python benchmarks/delivery.py [--megabytes 100] [--rounds 5] [--alone]

Needs docker-registry, buildah (both Debian's) and root, for buildah. The base is this machine's host base, pushed once
to a registry on loopback and pulled once by buildah. Each round both sides get the same new random weights, which no
compressor makes smaller: `nearedge build-serving-image`, a process of its own from start to end, attaching SBOM and
record; and `buildah bud --isolation chroot` with `buildah push` of a Containerfile that copies the same files. The two
take turns; medians are compared. Peak memory is the largest resident set of the process (of buildah's, the larger of
the two). Bytes are those of the blobs that the registry has afterwards and had not before; what goes beyond the model's
layer (config, manifests, bill of materials, record) is told apart. `--alone` leaves buildah out, for large models. At
the end the last version is bundled for a site that has the one before. Prints Markdown for RESULTS.md.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery.access import Access
from nearedge.delivery.host.host_base import host_base
from nearedge.delivery.host.host_image import TAG
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.delivery.transfer import copy_image
from nearedge.files import sha256_file
from nearedge.release import sections
from nearedge.release.sections import (
    ConversionSection,
    ImageSection,
    OptimizationSection,
    RuntimeConfiguration,
    SourceSection,
)

ROOT = Path(__file__).resolve().parent.parent
MODEL_YAML = """schema: 1
name: large
version: "1"
source: {path: model.onnx}
inputs: [{name: x, shape: [1, 4], dtype: FP32}]
outputs: [{name: y}]
"""
CONTAINERS_CONF = '[containers]\ndefault_ulimits = []\nnetns = "host"\n[engine]\nruntime = "runc"\n'
CONTAINERFILE = "FROM {base}\nCOPY models /models\n"
LAUNCHER = """
import json, os, sys, time
began, own = time.perf_counter(), os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
pid = os.fork()
if not pid:
    os.dup2(1, 2)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
figures = [time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]
os.write(own, json.dumps(figures).encode())
sys.exit(1 if status else 0)
"""
"""Runs a command from a small process, since Linux counts the resident set that it was forked from as its own."""
ALLOWED_EXTRA, ALLOWED_MIB, WANTED_RATIO, ALLOWED_BUNDLE = 64 << 10, 96, 2.0, 1.05


@dataclass
class Side:
    """What was measured of one side."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    new_bytes: list[int] = field(default_factory=list)
    model_bytes: list[int] = field(default_factory=list)


@dataclass
class Bench:
    """Where everything is: a scratch folder and a registry whose data lie in it."""

    folder: Path
    host: str

    def stored(self) -> int:
        """Bytes of all blobs in the registry."""
        blobs = self.folder / "registry/docker/registry/v2/blobs"
        return sum(path.stat().st_size for path in blobs.rglob("data"))

    def timed(self, side: Side, *commands: list[str]) -> None:
        """Run commands one after the other and note what they took. The file cache is written out before."""
        os.sync()
        before, spent, cpu, peak = self.stored(), 0.0, 0.0, 0
        for command in commands:
            done = subprocess.run(
                [sys.executable, "-S", "-c", LAUNCHER, *command],
                cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, check=False,
            )  # fmt: skip
            if done.returncode:
                sys.exit(f"{command[0]} failed")
            seconds, used, resident = json.loads(done.stdout)
            spent, cpu, peak = spent + seconds, cpu + used, max(peak, resident)
        side.seconds.append(spent)
        side.cpu_seconds.append(cpu)
        side.peak_mib.append(peak / 1024)
        side.new_bytes.append(self.stored() - before)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of both sides."""
        return {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf"), "OMP_WAIT_POLICY": "PASSIVE"}


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A scratch folder with a registry on loopback; both are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="nearedge-bench-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        folder = Path(name)
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        (folder / "registry.yml").write_text(
            f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{host}'}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        )
        command = ["docker-registry", "serve", str(folder / "registry.yml")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            yield Bench(folder, host)
        finally:
            process.terminate()
            process.wait(10)


def write_release(workspace: Path, megabytes: int) -> None:
    """A release up to benchmark-model, whose weights are new random bytes; no step reads the IR."""
    shutil.rmtree(workspace, ignore_errors=True)
    deployed = workspace / "ir" / "deployed"
    deployed.mkdir(parents=True)
    (workspace / "source").mkdir()
    (workspace / "source" / "model.yaml").write_text(MODEL_YAML)
    (deployed / "model.xml").write_text("<net/>\n" * 2000)
    with (deployed / "model.bin").open("wb") as weights:
        for _ in range(megabytes):
            weights.write(os.urandom(1_000_000))
    spec = sections.TensorSpec(name="x", datatype="FP32", shape=[1, 4])
    found = {"xml_sha256": sha256_file(deployed / "model.xml"), "bin_sha256": sha256_file(deployed / "model.bin")}
    runtime = RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=2)
    limits = sections.Thresholds(max_relative=0.01, min_cosine=0.99, min_top1_agreement=0.99)
    for section in (
        SourceSection(
            name="large", version="1", format="onnx", framework="onnx", sha256="0" * 64, size_bytes=1,
            description_sha256="1" * 64, data_sha256="", origin="benchmark",
        ),
        ConversionSection(openvino="-", inputs=[spec], outputs=[spec], size_bytes=1, seconds=0.1, **found),
        OptimizationSection(
            requested="auto", precision="f32", runtime=runtime, inputs=[spec], outputs=[spec], size_bytes=1,
            candidates=[], reused=False,
            xml_sha256=found["xml_sha256"], bin_sha256=found["bin_sha256"],
        ),
        sections.VerificationDeployedSection(
            precision="f32", instruction_set="avx2", samples=8, synthetic=False, outputs=[], thresholds=limits,
            metric=None,
        ),
    ):  # fmt: skip
        sections.write(workspace, section)


def ours(place: Bench, workspace: Path, number: int) -> list[str]:
    """The command line of our side."""
    return [
        sys.executable, "-m", "scripts.nearedge", "build-serving-image", f"--workspace={workspace}",
        f"--serving-image={place.host}/ours/large:{number}", f"--base-image={place.host}/base:1",
    ]  # fmt: skip


def theirs(place: Bench, workspace: Path, number: int) -> tuple[list[str], list[str]]:
    """Buildah's command lines; its context is hard links to the same files."""
    context = workspace / "context"
    model = context / "models" / "large" / "1"
    model.mkdir(parents=True)
    for name in ("model.xml", "model.bin"):
        os.link(workspace / "ir" / "deployed" / name, model / name)
    (context / "Containerfile").write_text(CONTAINERFILE.format(base=f"{place.host}/base:1"))
    store = [
        "--root",
        str(place.folder / "storage"),
        "--runroot",
        str(place.folder / "run"),
        "--storage-driver=overlay",
    ]
    image = f"{place.host}/theirs/large:{number}"
    build = ["buildah", *store, "bud", "--isolation=chroot", "--tls-verify=false", "--pull=false", "-t", image]
    push = ["buildah", *store, "push", "--tls-verify=false", image, f"docker://{image}"]
    return [*build, str(context)], push


def prepared(place: Bench, *, alone: bool) -> None:
    """Push the base, and let buildah pull it."""
    target = Repository(Registry(place.host, Access(plain_http=True)), "base")
    copy_image(host_base(None), TAG, target, "1")
    if not alone:
        store = ["--root", str(place.folder / "storage"), "--runroot", str(place.folder / "run")]
        pull = ["buildah", *store, "--storage-driver=overlay", "pull", "--tls-verify=false", f"{place.host}/base:1"]
        subprocess.run(pull, check=True, env=place.environment, capture_output=True)


def model_layer(workspace: Path) -> int:
    """Bytes of the layer with the model in the image that was just built."""
    return next(layer.size_bytes for layer in sections.read(workspace, ImageSection).layers if layer.title == "model")


def bundled(place: Bench, workspace: Path, number: int) -> str:
    """What a bundle of the last version costs a site that has the version before, against its new blobs."""
    image = f"{place.host}/ours/large"
    command = [
        sys.executable, "-m", "scripts.nearedge", "bundle-release", f"--workspace={workspace}", "--mode=export",
        f"--have={image}:{number - 1}", "--", f"{image}:{number}",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, env=place.environment, capture_output=True)
    size = (workspace / "bundle.tar").stat().st_size
    had = {
        layer.digest
        for layer in Repository(Registry(place.host, Access()), "ours/large").resolve(str(number - 1)).layers
    }
    new = sum(one.size_bytes for one in sections.read(workspace, ImageSection).layers if one.digest not in had)
    ratio = f"{size / new:.4f} times its new layers ({new} bytes; allowed: {ALLOWED_BUNDLE:g})"
    return f"A bundle for a site that has the version before: {size} bytes, {ratio}."


def report(megabytes: int, us: Side, them: Side) -> str:
    """A table in Markdown, and whether the figures that were aimed at are reached."""
    lines = [
        f"| {megabytes} MB of random weights | seconds | CPU s | peak MiB | new bytes in the registry |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, side in (("build-serving-image", us), ("buildah bud + push", them)):
        if side.seconds:
            figures = (
                statistics.median(side.seconds),
                statistics.median(side.cpu_seconds),
                max(side.peak_mib),
                int(statistics.median(side.new_bytes)),
            )
            lines.append("| {} | {:.2f} | {:.2f} | {:.0f} | {} |".format(name, *figures))
    extra = max(new - model for new, model in zip(us.new_bytes, us.model_bytes, strict=True))
    lines.append("")
    if them.seconds:
        ratio = statistics.median(them.seconds) / statistics.median(us.seconds)
        lines.append(f"buildah takes {ratio:.2f} times as long (wanted: {WANTED_RATIO:g}).")
    lines.append(f"Peak memory {max(us.peak_mib):.0f} MiB (allowed: {ALLOWED_MIB}).")
    lines.append(f"Beyond the model's layer {extra} bytes (allowed: {ALLOWED_EXTRA}).")
    return "\n".join(lines)


def main() -> None:
    """Run the rounds and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--megabytes", type=int, default=100)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--alone", action="store_true", help="leave buildah out")
    given = options.parse_args()
    us, them = Side(), Side()
    with bench() as place:
        prepared(place, alone=given.alone)
        workspace = place.folder / "release"
        for number in range(given.rounds + (not given.alone)):
            write_release(workspace, given.megabytes)
            place.timed(us, ours(place, workspace, number))
            us.model_bytes.append(model_layer(workspace))
            if not given.alone:
                place.timed(them, *theirs(place, workspace, number))
            if number == 0 and not given.alone:  # the first round warms both up
                us, them = Side(), Side()
        print(report(given.megabytes, us, them))
        if number:
            print(bundled(place, workspace, number))


if __name__ == "__main__":
    main()
