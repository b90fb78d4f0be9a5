"""Pushing and pulling over a link that cuts, refuses, delays, truncates and flips bits, by seed."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from nearedge.delivery import digest, oci, pushed_blob, repository, upload
from nearedge.delivery.access import Access
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError
from tests.faulty_proxy import FAULTS, FaultyProxy

RUNS, GROUPS = 200, 8
CHUNK, BLOB = 16_000, 40_000


@dataclass
class Release:
    """A small image: what a seed makes of it."""

    seed: int
    blobs: dict[oci.Descriptor, bytes] = field(default_factory=dict)

    def __post_init__(self):
        made = random.Random(self.seed)
        contents = [made.randbytes(BLOB + made.randrange(CHUNK)), b'{"seed":%d}' % self.seed]
        described = [(oci.Descriptor("x/y", digest.of_bytes(one), len(one)), one) for one in contents]
        *layers, config = [blob for blob, _ in described]
        self.contents = described
        document = {
            "schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers], "annotations": {"seed": str(self.seed)},
        }  # fmt: skip
        self.manifest = oci.manifest(oci.encode(document), "x")

    def push(self, store):
        for blob, content in self.contents:
            store.add_bytes(blob, content)
        store.publish(self.manifest, "1")

    def pull(self, store):
        found = store.resolve("1")
        return found.content, [b"".join(store.chunks(blob)) for blob in (*found.layers, found.config)]

    def is_whole(self, store):
        return self.pull(store) == (self.manifest.content, [content for _, content in self.contents])


@pytest.fixture
def waits(monkeypatch):
    """Waits as they would be, in seconds; none is waited for."""
    monkeypatch.setattr(pushed_blob, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(repository, "PIECE", 4000)
    found = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.fixture(scope="module")
def registry(start_registry):
    """One that keeps what it has in memory, as there are many small pushes."""
    return start_registry(storage="inmemory: {}")


@pytest.fixture(scope="module")
def proxy(registry):
    with FaultyProxy(registry, rate=0.2) as found:
        yield found


def tried(action):
    """How it ended: the error's text, empty where it went well."""
    try:
        action()
    except OutsideError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


@pytest.fixture(scope="module")
def link(proxy):
    return Registry(proxy.host, Access(plain_http=True))


@pytest.fixture(scope="module")
def direct(registry):
    return Registry(registry, Access(plain_http=True))


def pushed(release, bad, truth, proxy):
    """Whether the push went well. Where it did not, nothing half has a name, and the next push completes it."""
    proxy.misbehave(release.seed)
    failed = tried(lambda: release.push(bad))
    proxy.behave()
    if failed:
        assert truth.find("1") is None or release.is_whole(truth), f"seed {release.seed}: half an image has a name"
        release.push(bad)
    assert release.is_whole(truth), f"seed {release.seed}"
    return not failed


def pulled(release, bad, proxy):
    """Whether the pull went well; it does not take anything else for the release."""
    proxy.misbehave(release.seed + RUNS)
    found = []
    failed = tried(lambda: found.append(release.is_whole(bad)))
    proxy.behave()
    assert failed or found == [True], f"seed {release.seed}: something else was taken for the release"
    return not failed


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_is_lost_or_corrupted(link, direct, proxy, waits, group):
    ended: Counter[str] = Counter()
    for seed in range(group, RUNS, GROUPS):
        release, name = Release(seed), f"bad/link-{seed}"
        ended["pushed"] += pushed(release, Repository(link, name), Repository(direct, name), proxy)
        ended["pulled"] += pulled(release, Repository(link, name), proxy)
    assert ended["pushed"] > RUNS // GROUPS // 2, ended
    assert ended["pulled"] > RUNS // GROUPS // 2, ended
    assert all(0 <= wait <= upload.LONGEST_WAIT_S for wait in waits)


def test_harm_of_every_kind_was_done(proxy):
    kinds = {fault.removesuffix(" answer") if fault != "keep answer" else fault for fault in FAULTS}
    assert {kind.removesuffix(" request") for kind in kinds} <= {name for name, count in proxy.harm.items() if count}
