"""What an upgrade pulls where a share of the weights changed: predicted, and by the registry's own log.

    python benchmarks/upgrade.py [--megabytes 100] [--changed 0.05]

Needs docker-registry, podman (both Debian's) and root. The weights are random bytes, which no compressor makes smaller,
in tensors of 4 kB to 2 MB as convolutional networks have them; whole tensors change, here and there. Images of the same
weights are pushed in two versions: one file in a gzip layer, one file zstd:chunked, a file a tensor zstd:chunked,
and each layout of build-serving-image by the code that it runs, from a model.xml and a model.bin. Podman with partial
images pulls both versions into a store that was empty; bytes are what the registry logged for the second. `changed` is
what the changed tensors come to when compressed alone. Prints Markdown.
"""

import argparse
import contextlib
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import zstandard

from nearedge.delivery import digest, layers, oci
from nearedge.delivery.access import Access
from nearedge.delivery.chunked import pulled, write_layer
from nearedge.delivery.chunked.partial_pull import CURRENT, PODMAN_4
from nearedge.delivery.layers import Entry, Layer
from nearedge.delivery.model_layers import ModelFiles, ModelLayout, model_layers
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.files import sha256_file

CONTAINERS_CONF = '[containers]\ndefault_ulimits = []\nnetns = "host"\n[engine]\nruntime = "runc"\n'
STORAGE_CONF = """[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
[storage.options]
pull_options = {{enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}}
"""
WRITTEN = re.compile(rb"http\.response\.written=(\d+)")
SMALLEST, LARGEST = 4_000, 2_000_000
WANTED_RATIO, WANTED_ERROR = 1.10, 0.01

Tensors = Mapping[str, bytes]
Writer = Callable[[Tensors, Path], list[Layer]]
"""Makes an image's layers of the weights, in an empty folder."""


@dataclass
class Bench:
    """A scratch folder, the registry whose log lies in it, and podman's configuration."""

    folder: Path
    host: str

    def podman(self, *arguments: str) -> str:
        """What podman prints; it keeps images in the scratch folder."""
        configuration = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf"}
        env = os.environ | {name: str(self.folder / file) for name, file in configuration.items()}
        return subprocess.run(
            ["podman", *arguments], env=env, check=True, capture_output=True, text=True
        ).stdout.strip()

    def pull(self, image: str) -> int:
        """Pull with podman; the bytes that the registry logged."""
        log = self.folder / "log"
        before = log.stat().st_size
        self.podman("pull", "-q", "--tls-verify=false", f"{self.host}/{image}")
        return sum(map(int, WRITTEN.findall(log.read_bytes()[before:])))


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A registry on a free loopback port, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="upgrade-") as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()
        storage = f"filesystem: {{rootdirectory: {folder}/data}}"
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: info}}\nhttp: {{addr: {host}}}\nstorage: {{{storage}}}\n"
        )
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        (folder / "storage.conf").write_text(STORAGE_CONF.format(folder=folder))
        with (folder / "log").open("wb") as log:
            registry = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
            )
        try:
            time.sleep(1)
            yield Bench(folder, host)
        finally:
            registry.terminate()
            registry.wait()


def tensors(megabytes: int) -> dict[str, bytes]:
    """Weights by name, `megabytes` of them together, sizes spread evenly over their logarithm."""
    found: dict[str, bytes] = {}
    chance, left = random.Random(1), megabytes * 1_000_000
    while left:
        size = min(left, int(SMALLEST * (LARGEST / SMALLEST) ** chance.random()))
        found[f"t{len(found):04}"] = chance.randbytes(size)
        left -= size
    return found


def changed(old: Tensors, share: float) -> tuple[dict[str, bytes], int]:
    """The tensors with `share` of their bytes new, in whole tensors; and what those come to, compressed one by one."""
    chance, new, compressed = random.Random(2), dict(old), 0
    left = share * sum(map(len, old.values()))
    for name in chance.sample(sorted(old), len(old)):
        if len(old[name]) <= left:
            new[name] = chance.randbytes(len(old[name]))
            left -= len(new[name])
            compressed += len(zstandard.compress(new[name]))
    return new, compressed


def one_file(weights: Tensors) -> list[Entry]:
    """All tensors in one file."""
    return [Entry("models/m/1/model.bin", b"".join(weights.values()))]


def file_a_tensor(weights: Tensors) -> list[Entry]:
    """A file for each tensor."""
    return [Entry(f"models/m/1/model.shards/{name}", content) for name, content in weights.items()]


def in_layout(layout: ModelLayout) -> Writer:
    """The layers that build-serving-image makes of a model with these weights."""

    def write(weights: Tensors, folder: Path) -> list[Layer]:
        at, lines = 0, []
        with (folder / "model.bin").open("wb") as out:
            for content in weights.values():
                lines.append(f'<layer type="Const"><data offset="{at}" size="{len(content)}"/></layer>')
                at += out.write(content)
        (folder / "model.xml").write_text(f"<net>{''.join(lines)}</net>")
        xml, whole = folder / "model.xml", folder / "model.bin"
        files = ModelFiles("m", "1", xml, sha256_file(xml), whole, sha256_file(whole), None, "", "{}\n")
        return model_layers(files, folder, layout=layout)

    return write


def push(bench: Bench, image: str, weights: Tensors, write: Writer) -> oci.Manifest:
    """Put an image of the weights into the registry."""
    name, _, tag = image.partition(":")
    store = Repository(Registry(bench.host, Access()), name)
    with tempfile.TemporaryDirectory(dir=bench.folder) as scratch:
        made = write(weights, Path(scratch))
        for layer in made:
            store.add_file(layer.descriptor, layer.path)
    document = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/none"]}}
    config = oci.encode(document | {"rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in made]}})
    described = oci.Descriptor(oci.CONFIG, digest.of_bytes(config), len(config))
    body = {"config": described.to_json(), "layers": [layer.descriptor.to_json() for layer in made]}
    manifest = oci.manifest(oci.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST} | body), image)
    store.add_bytes(described, config)
    store.publish(manifest, tag)
    return manifest


def measure(bench: Bench, title: str, name: str, pushed: list[oci.Manifest], compressed: int) -> tuple[float, float]:
    """Print the row of one kind of image; bytes pulled by those compressed, and the prediction's error."""
    store = Repository(Registry(bench.host, Access()), name)
    old, new = pushed
    bench.podman("rmi", "--all", "--force")
    bench.pull(f"{name}:one")
    real = bench.pull(f"{name}:two")
    foretold = pulled(new, store, old, engine=PODMAN_4)
    today = pulled(new, store, old, engine=CURRENT)
    error = abs(real - foretold.partial) / real
    figures = (foretold.whole, foretold.partial, real, today.partial)
    row = " | ".join(f"{figure / 1e6:.3f}" for figure in figures)
    print(f"| {title} | {row} | {error:.3%} | {real / compressed:.3f} |", flush=True)
    return real / compressed, error


def main() -> int:
    """Measure and print; 1 where a figure of the issue is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--changed", type=float, default=0.05)
    options = parser.parse_args()
    old = tensors(options.megabytes)
    new, compressed = changed(old, options.changed)
    print(f"{options.megabytes} MB in {len(old)} tensors; changed, compressed alone: {compressed / 1e6:.3f} MB\n")
    print(
        "| image (MB) | whole blobs | predicted | pulled by podman 4.3 | predicted, podman 5.4 | error | of changed |"
    )
    print("|---|---|---|---|---|---|---|")
    kinds: list[tuple[str, str, Writer]] = [
        ("one file, gzip", "gzip", lambda w, at: [layers.write_layer(one_file(w), at / "layer", "model")]),
        ("one file, zstd:chunked", "file", lambda w, at: [write_layer(one_file(w), at / "layer", "model")]),
        ("a file a tensor, zstd:chunked", "tensors", lambda w, at: [write_layer(file_a_tensor(w), at / "layer", "x")]),
        *((f"layout {one}", one, in_layout(one)) for one in get_args(ModelLayout)),
    ]
    reached = True
    with bench() as where:
        for title, name, write in kinds:
            versions = (("one", old), ("two", new))
            pushed = [push(where, f"{name}:{tag}", weights, write) for tag, weights in versions]
            ratio, error = measure(where, title, name, pushed, compressed)
            reached &= error <= WANTED_ERROR and (name not in ("tensors", "sharded") or ratio <= WANTED_RATIO)
    print(f"\nwanted: error <= {WANTED_ERROR:.0%}, a file a tensor and sharded <= {WANTED_RATIO} of changed: {reached}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
