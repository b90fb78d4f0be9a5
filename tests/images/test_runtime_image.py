"""The serving image run as it is, each way a machine can run it, and what it does not hold."""

import hashlib
import json
import socket
import subprocess
import time
import urllib.request
from pathlib import PurePosixPath

import grpc
import pytest

from nearedge.delivery import sbom
from nearedge.delivery.host import host_packages
from nearedge.runner import sidecars
from nearedge.runner.process import Container
from tests.images.test_pipeline_in_images import HARDENED
from tests.images.test_step_image import podman_run, without_tag

pytestmark = pytest.mark.images


def call(port, path, body=None, timeout_s=120.0):
    """The answer, once the server is there and ready."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", json.dumps(body).encode() if body else None)
    until = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


grpc_port = port


def serve_and_ask(container, backend, cache, port):
    sidecar = sidecars.start(container, [backend], cache)
    try:
        call(port, "v2/health/ready")
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]}]}
        return call(port, "v2/models/plus/infer", body)["outputs"][0]["data"]
    finally:
        sidecar.stop()


@pytest.mark.parametrize("backend", sidecars.ORDER)
def test_the_image_serves_with_every_backend(serving, tmp_path, port, backend):
    if backend == "chroot" and (reason := sidecars.chroot_why_not()):
        pytest.skip(reason)
    log = tmp_path / "server.log"
    container = Container("server", "oci:image:1", (), (f"--port={port}",), {}, None, log, (serving,))
    assert serve_and_ask(container, backend, tmp_path / "cache", port) == [2.5, 3.0], log.read_text()
    assert log.read_text().splitlines()[0].endswith(f"runs with backend {backend}")


def test_the_image_serves_from_a_registry_by_digest(serving, registry, tmp_path, port):
    place = f"{registry}/nearedge-models/plus:1"
    digest_file = tmp_path / "digest"
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"--digestfile={digest_file}",
         f"oci:{serving}/image:1", f"docker://{place}"],
        check=True, timeout=300,
    )  # fmt: skip
    reference = f"{without_tag(place + '@')}{digest_file.read_text().strip()}"
    log = tmp_path / "server.log"
    container = Container("server", reference, (), (f"--port={port}",), {}, None, log, ())
    assert serve_and_ask(container, "podman", tmp_path / "cache", port) == [2.5, 3.0], log.read_text()


def test_the_runtime_holds_the_server_and_nothing_else(images):
    code = (
        "import importlib.util as u, json, shutil, openvino\n"
        "names = ('serving_image', 'nearedge', 'converters', 'scripts', 'pip', 'openvino_telemetry', 'numpy.f2py')\n"
        "programs = [name for name in ('pip', 'pip3', 'cc', 'gcc', 'g++', 'make', 'ld') if shutil.which(name)]\n"
        "found = [name for name in names if u.find_spec(name)]\n"
        "print(json.dumps([found, programs, openvino.Core().available_devices]))"
    )
    status, out, err = podman_run(images.references["runtime"], "-c", code, options=["--entrypoint=python3"])
    assert status == 0, err
    assert json.loads(out) == [["serving_image"], [], ["CPU"]]


def test_its_config_is_the_contract(images, base):
    inspected = subprocess.run(
        ["skopeo", "inspect", "--config", "--tls-verify=false", f"docker://{without_tag(images.references['runtime'])}"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    config = json.loads(inspected)["config"]
    assert (config["User"], config["Entrypoint"]) == ("1001", ["python3", "-m", "serving_image"])
    assert config["Labels"]["io.nearedge.runtime"] == "1"
    assert config["Labels"]["org.opencontainers.image.base.name"] == base
    assert config["Labels"]["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert {"NEAREDGE_MODELS=/models", "NEAREDGE_PORT=8080", "NEAREDGE_HOST=0.0.0.0"} <= set(config["Env"])


LISTING = """
import hashlib, json, pathlib
root = pathlib.Path("/opt/runtime")
files = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
print(json.dumps({str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}))
"""


def test_it_holds_what_a_base_of_this_machine_holds(images):
    status, out, err = podman_run(images.references["runtime"], "-c", LISTING, options=["--entrypoint=python3"])
    assert status == 0, err
    found = json.loads(out)
    assert found.pop(sbom.FILE)
    packages = [
        one for package in host_packages.serving_distributions().values() for one in host_packages.files(package)
    ]
    wanted = {f"packages/{name}": path for name, path in packages}
    wanted |= {f"server/{name}": path for name, path in host_packages.server_files()}
    own = {name for name in set(found) | set(wanted) if not PurePosixPath(name).match("*.dist-info/*")}
    assert own & set(found) == own & set(wanted)
    damaged = [name for name in own if hashlib.sha256(wanted[name].read_bytes()).hexdigest() != found[name]]
    assert damaged == []


def test_its_bill_names_the_packages_it_holds(images):
    code = "print(open('/opt/runtime/sbom.cdx.json').read())"
    status, out, err = podman_run(images.references["runtime"], "-c", code, options=["--entrypoint=python3"])
    assert status == 0, err
    found = {one["name"]: one["version"] for one in json.loads(out)["components"]}
    assert {name: found[name] for name in ("openvino", "numpy", "uvicorn")} == {
        name: host_packages.installed(name).version for name in ("openvino", "numpy", "uvicorn")
    }


@pytest.mark.parametrize("user", ["1001", "1000710000:0", "65534:65534"])
def test_it_serves_as_anybody_with_nothing(serving, port, grpc_port, user):
    options = ["--detach", "--network=host", f"--user={user}", *HARDENED]
    started = subprocess.run(
        ["podman", "run", *options, f"oci:{serving}/image:1", "--host=127.0.0.1", f"--port={port}",
         f"--grpc-port={grpc_port}"],
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    container = started.stdout.strip()
    try:
        assert call(port, "v2/health/ready")["ready"] is True
        result = call(port, "v2/models/plus/self-test")
        assert (result["passed"], result["samples"]) == (True, 2)
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            ask = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
            assert ask(b"", timeout=30) == b"\x08\x01", "field 1, ready, is true"
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]}]}
        assert call(port, "v2/models/plus/infer", body)["outputs"][0]["data"] == [2.5, 3.0]
        stopped = subprocess.run(["podman", "stop", "--time=30", container], capture_output=True, check=False)
        inspected = subprocess.run(
            ["podman", "inspect", "--format={{.State.ExitCode}}", container], capture_output=True, text=True, check=True
        )
        assert (stopped.returncode, inspected.stdout.strip()) == (0, "0")
    finally:
        subprocess.run(["podman", "rm", "--force", "--time=0", container], capture_output=True, check=True)
