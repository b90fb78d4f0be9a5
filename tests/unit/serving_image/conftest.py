"""Small real models, a workspace that holds one as the Tasks leave it, and the real server on a free loopback port.

Tests of other folders load this file by its path (`tests/unit/delivery/test_acceptance.py` shows how).
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests

from nearedge.release import record, sections
from serving_image import instruction_set

ROOT = Path(__file__).resolve().parents[3]
PROFILE = "microshift-small"


@dataclass
class Release:
    """A model to be released: its IR, its tensors, one dict of inputs for each golden sample."""

    name: str
    model: Any
    inputs: list[sections.TensorSpec]
    outputs: list[sections.TensorSpec]
    samples: list[dict[str, np.ndarray]] = field(default_factory=list)
    kind: str = "top1"
    close: float = 1e-3


def spec(name, datatype, *shape):
    return sections.TensorSpec(name=name, datatype=datatype, shape=list(shape))


def named(output, name):
    """Give an OpenVINO output its tensor name."""
    output.output(0).get_tensor().set_names({name})
    return output


def digits() -> Release:
    """A small CNN on [-1, 1, 8, 8] with top-1 outputs: logits and probabilities."""
    import openvino as ov
    from openvino import opset13 as op

    random = np.random.default_rng(7)
    image = named(op.parameter([-1, 1, 8, 8], ov.Type.f32), "image")
    kernel = op.constant(random.normal(size=(4, 1, 3, 3)).astype(np.float32))
    hidden = op.relu(op.convolution(image, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    flat = op.reshape(hidden, op.constant(np.array([-1, 256])), False)
    weights = op.constant(random.normal(size=(256, 10)).astype(np.float32))
    logits = named(op.matmul(flat, weights, False, False), "logits")
    chances = named(op.softmax(logits, 1), "probabilities")
    return Release(
        "digits",
        ov.Model([logits, chances], [image], "digits"),
        [spec("image", "FP32", -1, 1, 8, 8)],
        [spec("logits", "FP32", -1, 10), spec("probabilities", "FP32", -1, 10)],
        [{"image": random.random((1, 1, 8, 8), dtype=np.float32)} for _ in range(3)],
    )


def mixed() -> Release:
    """Two static inputs, INT64 [1, 4] and BOOL [1, 4]; the sum of what the mask lets through."""
    import openvino as ov
    from openvino import opset13 as op

    ids = named(op.parameter([1, 4], ov.Type.i64), "ids")
    mask = named(op.parameter([1, 4], ov.Type.boolean), "mask")
    kept = op.select(mask, ids, op.constant(np.int64(0)))
    total = named(op.reduce_sum(kept, op.constant(np.int64(1)), False), "total")
    sample = {"ids": np.array([[1, 2, 3, 4]], np.int64), "mask": np.array([[True, False, True, True]])}
    return Release(
        "mixed",
        ov.Model([total], [ids, mask], "mixed"),
        [spec("ids", "INT64", 1, 4), spec("mask", "BOOL", 1, 4)],
        [spec("total", "INT64", 1)],
        [sample],
        "value",
        0.0,
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_golden(path: Path, release: Release, xml: Path) -> None:
    """The golden samples with the answers of the IR in `xml`, computed in f32."""
    import openvino as ov

    compiled = ov.Core().compile_model(str(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answers = [compiled(sample) for sample in release.samples]
    arrays = {f"input/{one.name}": np.stack([sample[one.name] for sample in release.samples]) for one in release.inputs}
    arrays |= {f"output/{one.name}": np.stack([answer[one.name] for answer in answers]) for one in release.outputs}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def write_workspace(workspace: Path, release: Release) -> record.Identity:
    """A workspace as the Tasks up to build-serving-image leave it; the identity its sections make."""
    import openvino as ov

    xml = workspace / "ir/deployed/model.xml"
    xml.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(release.model, str(xml), compress_to_fp16=False)
    ir = {
        "inputs": release.inputs,
        "outputs": release.outputs,
        "xml_sha256": sha256(xml),
        "bin_sha256": sha256(xml.with_suffix(".bin")),
        "size_bytes": xml.stat().st_size,
    }
    source = sections.SourceSection(
        name=release.name, version="1", format="onnx", framework="onnx", sha256="0" * 64, size_bytes=1,
        description_sha256="1" * 64, data_sha256="", origin="file",
    )  # fmt: skip
    runtime = sections.RuntimeConfiguration(inference_precision="f32", performance_hint="LATENCY", streams=1, threads=1)
    thresholds = sections.Thresholds(max_relative=0.1, min_cosine=0.9, min_top1_agreement=0.9)
    for section in (
        source,
        sections.ConversionSection(openvino=ov.__version__, seconds=1.0, **ir),
        sections.OptimizationSection(
            requested="f32", precision="f32", runtime=runtime, candidates=[], reused=False, **ir
        ),
        sections.VerificationDeployedSection(
            precision="f32", instruction_set="avx2", samples=1, synthetic=True, outputs=[], thresholds=thresholds,
            metric=None,
        ),
    ):  # fmt: skip
        sections.write(workspace, section)
    if release.samples:
        write_golden(workspace / "golden/golden.npz", release, xml)
        write_golden_section(workspace, release)
    return record.identity(workspace, PROFILE)


def write_golden_section(workspace: Path, release: Release, machine: str | None = None) -> None:
    """The section of the golden samples that lie in the workspace, made on `machine`, by default this one."""
    golden = workspace / "golden/golden.npz"
    tolerances = [
        sections.Tolerance(output=one.name, kind=release.kind, value=0.0, close=release.close)
        for one in release.outputs
    ]
    section = sections.GoldenSection(
        sha256=sha256(golden),
        count=len(release.samples),
        size_bytes=golden.stat().st_size,
        instruction_set=machine or instruction_set.detect(),
        tolerances=tolerances,
    )
    sections.write(workspace, section)


def write_folder(models: Path, workspace: Path, release: Release, version: str = "1") -> Path:
    """MODELS/<name>/<version>/ from a workspace, as the image carries it."""
    folder = models / release.name / version
    folder.mkdir(parents=True)
    for name in ("model.xml", "model.bin"):
        (folder / name).write_bytes((workspace / "ir/deployed" / name).read_bytes())
    if release.samples:
        (folder / "golden.npz").write_bytes((workspace / "golden/golden.npz").read_bytes())
    (folder / "release.json").write_text(record.dump(record.identity(workspace, PROFILE)))
    return folder


def write_plain(models: Path, name: str, model: Any, version: str = "1") -> Path:
    """A model folder as OpenVINO Model Server has it: without release.json."""
    import openvino as ov

    folder = models / name / version
    folder.mkdir(parents=True)
    ov.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)
    return folder


class Running:
    """A server process, its port and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.session = requests.Session()
        self.session.trust_env = False
        listening = self.wait_for("listening", 60)
        self.port = listening["port"]
        self.grpc_port = listening["grpc_port"]

    def lines(self) -> list[dict[str, Any]]:
        """The log so far; every line must be a JSON object."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for(self, message: str, seconds: float) -> dict[str, Any]:
        """The first log line whose message begins so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            text = self.log.read_text()
            whole = text[: text.rfind("\n") + 1].splitlines()
            found = next((line for line in map(json.loads, whole) if str(line["message"]).startswith(message)), None)
            if found is not None:
                return found
            time.sleep(0.02)
        raise AssertionError(f"no {message!r} in: {self.log.read_text()}")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.url(path), timeout=30, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.session.post(self.url(path), timeout=30, **more)

    def wait_ready(self, seconds: float = 60) -> "Running":
        self.wait_for("server ready", seconds)
        return self

    def wait_in_flight(self, model: str, count: int, seconds: float = 60) -> None:
        """Wait until so many inference requests for the model wait or are computed."""
        series, deadline = f'nearedge_requests_in_flight{{model="{model}",version="1"}} ', time.monotonic() + seconds
        while f"{series}{count}" not in self.get("/metrics").text.splitlines():
            assert time.monotonic() < deadline, f"never {count} requests: {series}"
            time.sleep(0.01)

    def wait_settled(self, seconds: float = 60) -> dict[str, Any]:
        """Wait until nothing is being loaded; what health/ready says then."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            document = self.get("/v2/health/ready").json()
            if document["state"] != "loading":
                return document
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def stop(self, sig: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Send a signal, wait for the end; the exit status."""
        self.session.close()
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(seconds)


@contextmanager
def started(models: Path, log: Path, *arguments: str, **environment: str) -> Iterator[Running]:
    """The real server on a free loopback port; it must end with status 0 at the end of the block."""
    ports = ("--host=127.0.0.1", "--port=0", "--grpc-port=0")
    command = [sys.executable, "-m", "serving_image", f"--models={models}", *ports, *arguments]
    if not any(argument.startswith("--drain-seconds") for argument in arguments):
        command.append("--drain-seconds=0")
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command, stderr=stderr, stdout=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, **environment}
        )
    running = None
    try:
        running = Running(process, log)
        yield running
        assert running.stop() == 0, log.read_text()
    finally:
        if running is not None:
            running.session.close()
        if process.poll() is None:
            process.kill()
            process.wait(30)


@dataclass
class Released:
    """Two released models in a folder, and the workspaces they come from."""

    models: Path
    workspaces: dict[str, Path]
    releases: dict[str, Release]


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """A model folder with digits and mixed, and their workspaces."""
    root = tmp_path_factory.mktemp("released")
    releases = {release.name: release for release in (digits(), mixed())}
    for name, release in releases.items():
        write_workspace(root / name, release)
        write_folder(root / "models", root / name, release)
    return Released(root / "models", {name: root / name for name in releases}, releases)


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory, tools) -> Path:
    """A model of one number in and out that takes a good part of a second."""
    import openvino as ov
    from openvino import opset13 as op

    given = tools.named(op.parameter([1], ov.Type.f32), "x")
    node = op.broadcast(given, op.constant(np.array([600, 600])))
    for _ in range(60):
        node = op.matmul(node, op.tanh(node), False, False)
    answer = tools.named(op.reduce_mean(node, op.constant(np.array([0, 1])), False), "y")
    models = tmp_path_factory.mktemp("slow")
    tools.plain(models, "slow", ov.Model([answer], [given], "slow"))
    return models


@pytest.fixture(scope="session")
def server(released: Released, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A ready server of both models, shared by tests that leave it as it is."""
    with started(released.models, tmp_path_factory.mktemp("log") / "log", "--access-log=all") as running:
        yield running.wait_ready()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """A function that starts servers which end with the test."""
    contexts: list[Any] = []

    def begin(models: Path, *arguments: str, **environment: str) -> Running:
        contexts.append(started(models, tmp_path / f"log{len(contexts)}", *arguments, **environment))
        return contexts[-1].__enter__()

    yield begin
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """The functions above, for tests that make models of their own."""
    return SimpleNamespace(
        digits=digits, mixed=mixed, spec=spec, named=named, release=Release, sha256=sha256, golden=write_golden,
        workspace=write_workspace, golden_section=write_golden_section, folder=write_folder, plain=write_plain,
        started=started,
    )  # fmt: skip


@pytest.fixture(scope="session")
def texts(tools: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a model that gives back strings [-1] and the bytes that they have together."""
    import openvino as ov
    from openvino import opset15 as op

    given = tools.named(op.parameter([-1], ov.Type.string), "text")
    unpacked = op.string_tensor_unpack(given)
    begins, ends, symbols = (unpacked.output(at) for at in range(3))
    packed = tools.named(op.string_tensor_pack(begins, ends, symbols), "same")
    sizes = op.subtract(ends, begins)
    sizes.output(0).get_tensor().set_names({"sizes"})
    root = tmp_path_factory.mktemp("texts")
    tools.plain(root / "models", "m", ov.Model([packed, sizes], [given], "m"))
    with tools.started(root / "models", root / "log") as running:
        yield running.wait_ready()


@pytest.fixture(scope="session")
def oip() -> SimpleNamespace:
    """Protobuf's own classes of the protocol's messages, made of the descriptors that the server tells of."""
    from google.protobuf import descriptor_pool, message_factory

    from serving_image.grpc.descriptors import FILES

    pool = descriptor_pool.DescriptorPool()
    for file in FILES.values():
        pool.AddSerializedFile(file)
    file = pool.FindFileByName("open_inference_grpc.proto")
    return SimpleNamespace(
        **{name: message_factory.GetMessageClass(kind) for name, kind in file.message_types_by_name.items()}
    )


@pytest.fixture(scope="session")
def call(oip: SimpleNamespace) -> Callable[..., Any]:
    """A function that calls a method of the inference service by grpcio's client."""

    def ask(channel: Any, method: str, request: Any = None, **more: Any) -> Any:
        kind, answer = getattr(oip, f"{method}Request"), getattr(oip, f"{method}Response")
        path = f"/inference.GRPCInferenceService/{method}"
        ready = channel.unary_unary(path, kind.SerializeToString, answer.FromString)
        return ready(kind() if request is None else request, timeout=more.pop("timeout", 30), **more)

    return ask


@pytest.fixture(scope="session")
def channel(server: Running) -> Iterator[Any]:
    """A channel of grpcio to the shared server."""
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as made:
        yield made
