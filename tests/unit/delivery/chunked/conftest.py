"""Images with a zstd:chunked layer in a registry that logs what it gives, and engines that pull them."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nearedge.delivery import digest, oci
from nearedge.delivery.access import Access
from nearedge.delivery.chunked import write_layer
from nearedge.delivery.layers import Entry
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository

CONTAINERS_CONF = (
    '[containers]\ndefault_ulimits = []\nnetns = "host"\n'
    '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
)
STORAGE_CONF = (
    '[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n[storage.options]\n'
    'pull_options = {{enable_partial_images = "{partial}", use_hard_links = "false", ostree_repos = ""}}\n'
)
WRITTEN = re.compile(r"http\.response\.written=(\d+)")
GAVE_UP = "Failed to retrieve partial blob: open source file"
"""podman 4.3 says so in one pull of sixty: its own cache names a file that is not there, and it pulls all."""


def push(store, files, tag, folder, write=write_layer):
    """Put an image of one layer with `files` (name: content) into `store`; its manifest."""
    layer = write([Entry(name, content) for name, content in files.items()], folder / "layer", "model")
    platform = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/none"]}}
    config = oci.encode(platform | {"rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}})
    described = oci.Descriptor(oci.CONFIG, digest.of_bytes(config), len(config))
    body = {"config": described.to_json(), "layers": [layer.descriptor.to_json()]}
    document = oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST} | body)
    manifest = oci.manifest(document, tag)
    store.add_bytes(described, config)
    store.add_file(layer.descriptor, layer.path)
    store.publish(manifest, tag)
    return manifest


def shards(seed=1):
    """Files as a sharded model has them: some small, some of several chunks, one empty, one of zeros."""
    chance = random.Random(seed)
    files = {
        f"models/m/1/t{n:02}": chance.randbytes(chance.choice([2000, 90_000, 240_000, 600_000])) for n in range(24)
    }
    return files | {"models/m/1/empty": b"", "models/m/1/zeros": bytes(600_000), "models/m/1/model.xml": b"<net/>"}


class Site:
    """An engine with a store of its own, and the registry it pulls from."""

    def __init__(self, folder: Path, host: str, log: Path, *, partial: bool = True) -> None:
        self.folder, self.host, self.log = folder, host, log
        self.said = ""
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        (folder / "storage.conf").write_text(STORAGE_CONF.format(folder=folder, partial=str(partial).lower()))

    def run(self, *command):
        env = os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        self.said = done.stderr
        return done.stdout.strip()

    def image(self, tag, name="m"):
        return f"{self.host}/{name}:{tag}"

    def pull(self, tag, name="m"):
        """Pull with podman; the bytes that the registry wrote for it."""
        for _ in range(4):
            before = self.log.stat().st_size
            self.run("podman", "--log-level=debug", "pull", "-q", "--tls-verify=false", self.image(tag, name))
            if GAVE_UP not in self.said:
                break
            self.run("podman", "rmi", self.image(tag, name))
        log = self.log.read_bytes()[before:].decode()
        return sum(int(written) for written in WRITTEN.findall(log))

    def files(self, tag):
        """What the image holds, by name."""
        root = Path(self.run("podman", "image", "mount", self.image(tag)))
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        self.run("podman", "image", "unmount", self.image(tag))
        return found


@pytest.fixture(scope="session")
def logging_registry(start_registry):
    return start_registry(level="info")


@pytest.fixture
def new_site(tmp_path_factory, start_registry, logging_registry):
    """A function that makes podman with an empty store."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("podman as root is needed (apt-get install podman)")
    folders = []

    def make(*, partial):
        folders.append(tmp_path_factory.mktemp("site"))
        return Site(folders[-1], logging_registry, start_registry.logs[logging_registry], partial=partial)

    yield make
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def site(new_site):
    """Podman with an empty store and partial pulls enabled."""
    return new_site(partial=True)


@pytest.fixture
def repository(logging_registry):
    return Repository(Registry(logging_registry, Access()), "m")


@pytest.fixture
def push_image(tmp_path):
    return lambda store, files, tag, **more: push(store, files, tag, tmp_path, **more)


@pytest.fixture
def model():
    return shards()
