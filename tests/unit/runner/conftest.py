"""What the tests of containers share: image layouts made by hand, good and bad."""

import gzip
import hashlib
import io
import json
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

import pytest

from hack import base_image
from nearedge.runner import podman

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class LayoutWriter:
    """Writes an OCI image layout, or one that is wrong in just the way a test asks for."""

    def __init__(self, folder):
        self.folder = folder
        self.descriptors = []

    def blob(self, content, media_type, **more):
        digest = hashlib.sha256(content).hexdigest()
        place = self.folder / "blobs" / "sha256" / digest
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def image(self, tars, tag="latest", compress=gzip.compress, kind="+gzip", **settings):
        """Add an image with these layers' tars; its manifest's digest."""
        layers = [self.blob(compress(tar), LAYER + kind) for tar in tars]
        diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
        config = {"architecture": "amd64", "os": "linux", "config": settings}
        config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": layers,
        }
        return self.entry(self.blob(json.dumps(manifest).encode(), MANIFEST), tag)

    def entry(self, descriptor, tag):
        """Name a descriptor in index.json; its digest."""
        annotations = {"org.opencontainers.image.ref.name": tag} if tag else {}
        self.descriptors.append({**descriptor, "annotations": annotations})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.descriptors}
        (self.folder / "index.json").write_text(json.dumps(index))
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return descriptor["digest"]


def tar_of(*entries):
    """A tar of (name, content or None, changes to its TarInfo)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content, changes in entries:
            member = tarfile.TarInfo(name)
            member.mode = 0o644
            for key, value in changes.items():
                setattr(member, key, value)
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
    return out.getvalue()


@pytest.fixture(scope="session")
def make_tar():
    return tar_of


@pytest.fixture(scope="session")
def layout_writer():
    return LayoutWriter


@pytest.fixture
def layout(tmp_path: Path):
    """A writer for a layout in the workspace `tmp_path`, in its folder `image`."""
    (tmp_path / "image").mkdir()
    return LayoutWriter(tmp_path / "image")


APP = """
import http.server, json, os, signal, sys
from pathlib import Path

def writable(path):
    try:
        Path(path, "probe").touch()
        return True
    except OSError:
        return False

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        state = {"uid": os.getuid(), "args": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}
        state["writable"] = [path for path in ("/", "/tmp", *os.environ.get("LOOK", "").split()) if writable(path)]
        state["proc"] = Path("/proc/cpuinfo").exists() and Path("/sys/devices").exists()
        state["null"] = Path("/dev/null").is_char_device() and len(open("/dev/urandom", "rb").read(4)) == 4
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(state).encode())
    def log_message(self, *args):
        print("asked", *args, flush=True)

host, port = os.environ.get("NEAREDGE_HOST", "127.0.0.1"), int(sys.argv[1].rpartition("=")[2])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container has no default for it
print("listening on", host, flush=True)
http.server.ThreadingHTTPServer((host, port), Answer).serve_forever()
"""
SKIPPED = ("site-packages", "test", "tests", "__pycache__", "ensurepip", "idlelib", "tkinter", "lib2to3")


def add_tree(tar, folder):
    """Add a folder of this machine under its own path, without what a small server does not need."""

    def wanted(member):
        name = Path(member.name).name
        unwanted = name in SKIPPED or name.startswith("config-") or name.endswith(".a")
        member.uid = member.gid = 0
        return None if unwanted else member

    tar.add(folder, arcname=str(folder).lstrip("/"), filter=wanted)


@pytest.fixture(scope="session")
def python_tar():
    """A layer with this machine's Python, the libraries it needs and APP at /srv/app.py."""
    program = Path(sys.executable).resolve()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=False) as tar:
        library = Path(sys.base_prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        add_tree(tar, library)
        needed = {program, *shared_libraries(program)}
        for module in (library / "lib-dynload").glob("*.so"):
            needed |= shared_libraries(module)
        for file in needed:
            tar.add(file.resolve(), arcname=str(file).lstrip("/"))
    return out.getvalue(), str(program)


def shared_libraries(program):
    listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return {Path(name) for name in re.findall(r"(/\S+) \(0x", listing)}


@pytest.fixture(scope="session")
def workspace(tmp_path_factory, python_tar):
    """A workspace with the layout `image`: `foreign` and `ours` run APP as uid 1001, `root` as uid 0."""
    folder = tmp_path_factory.mktemp("Work space") / ".nearedge"
    folder.mkdir()
    (folder / "image").mkdir()
    writer = LayoutWriter(folder / "image")
    python, program = python_tar
    app = tar_of(("srv/app.py", APP.encode(), {}), ("models/m/1/model.xml", b"<net/>", {}))
    common = {"Entrypoint": [program, "/srv/app.py"], "Env": ["GREETING=hello", "LOOK=/srv"], "WorkingDir": "/srv"}
    for tag, more in (
        ("foreign", {"User": "1001"}),
        ("ours", {"User": "1001:0", "Labels": {"io.nearedge.runtime": "1"}}),
        ("root", {}),
        ("nothing", {"Entrypoint": None}),
    ):
        writer.image([python, app], tag, compress=bytes, kind="", **{**common, **more})
    return folder


@pytest.fixture
def port():
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def ask(port, path="", timeout_s=60.0):
    """What the server answers, once it does."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="session")
def asking():
    return ask


@pytest.fixture(scope="session")
def with_podman():
    """Podman configured for a small machine; skips where it cannot run a container all the same."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    with pytest.MonkeyPatch.context() as patch, base_image.own_store() as variables:
        for name, value in variables.items():
            patch.setenv(name, value)
        podman.why_not.cache_clear()
        if (reason := podman.why_not()) is not None:
            pytest.skip(reason)
        yield
    podman.why_not.cache_clear()
