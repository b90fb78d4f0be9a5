"""Pushing, pulling, mirroring and importing over a link that cuts, refuses, delays, truncates and flips bits, by seed.

200 runs in all. Whatever a run met, it ends complete or with one line, and what has a name at the target is whole.
"""

import time
from collections import Counter
from functools import partial

import pytest

from nearedge.delivery import pushed_blob, repository, transport
from nearedge.delivery.access import Access
from nearedge.delivery.bandwidth import Bandwidth
from nearedge.delivery.bundle import bundle_file
from nearedge.delivery.bundle.bundle_export import Packing
from nearedge.delivery.bundle.bundle_import import Importing
from nearedge.delivery.layout import Layout
from nearedge.delivery.mirror import Mirror
from nearedge.delivery.patience import Patience
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.delivery.spool import Spool
from nearedge.errors import OutsideError
from tests.faulty_proxy import FAULTS, FaultyProxy
from tests.small_release import Release

PUSHES, MIRRORS, IMPORTS, GROUPS = 100, 50, 50, 4
CHUNK = 16_000


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


def harmed(action, release, truth, proxy):
    """Whether it went well over the bad link. Where it did not, nothing half has a name; once more completes it."""
    proxy.misbehave(release.seed)
    failed = tried(action)
    proxy.behave()
    if failed:
        assert truth.find("1") is None or release.is_whole(truth), f"seed {release.seed}: half an image has a name"
        action()
    assert release.is_whole(truth), f"seed {release.seed}"
    return not failed


def pulled(release, bad, proxy):
    """Whether the pull went well; it does not take anything else for the release."""
    proxy.misbehave(release.seed + 200)
    found = []
    failed = tried(lambda: found.append(release.is_whole(bad)))
    proxy.behave()
    assert failed or found == [True], f"seed {release.seed}: something else was taken for the release"
    return not failed


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_is_lost_or_corrupted(link, direct, proxy, waits, group):
    ended: Counter[str] = Counter()
    for seed in range(group, PUSHES, GROUPS):
        release, name = Release(seed), f"bad/link-{seed}"
        bad, truth = Repository(link, name), Repository(direct, name)
        ended["pushed"] += harmed(partial(release.push, bad), release, truth, proxy)
        ended["pulled"] += pulled(release, bad, proxy)
    assert ended["pushed"] > PUSHES // GROUPS // 2, ended
    assert ended["pulled"] > PUSHES // GROUPS // 2, ended
    assert all(0 <= wait <= transport.LONGEST_RETRY_S for wait in waits)


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("group", range(GROUPS))
def test_a_mirror_loses_and_corrupts_nothing(link, direct, proxy, tmp_path, group):
    """The bad link is before the source in one run, before the target in the next."""
    ended = 0
    for seed in range(300 + group, 300 + MIRRORS, GROUPS):
        release, truth = Release(seed), Repository(direct, f"mirror/to-{seed}")
        release.push(Repository(direct, f"mirror/from-{seed}"))
        ends = (link, direct) if seed // GROUPS % 2 else (direct, link)
        source, target = Repository(ends[0], f"mirror/from-{seed}"), Repository(ends[1], f"mirror/to-{seed}")
        spool = Spool(tmp_path / str(seed), Bandwidth(), Patience(600))
        spool.folder.mkdir()
        ended += harmed(partial(Mirror(source, target, spool).image, "1", "1"), release, truth, proxy)
        assert list(spool.folder.iterdir()) == [], f"seed {seed}: the spool keeps what was delivered"
    assert ended > MIRRORS // GROUPS // 2


def imported(bundle, store):
    importing = Importing(bundle, lambda _name: store)
    importing.check()
    importing.run()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A release and the bundle that holds it."""
    folder, release, packing = tmp_path_factory.mktemp("bundle"), Release(7), Packing()
    layout = Layout.create(folder / "images")
    release.push(layout)
    packing.image(layout, "images", "1", "1")
    bundle_file.write(folder / "bundle.tar", packing.index(), packing.opened)
    return release, folder / "bundle.tar"


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("group", range(GROUPS))
def test_an_import_loses_and_corrupts_nothing(link, direct, proxy, bundle, group):
    release, path = bundle
    ended = 0
    for seed in range(600 + group, 600 + IMPORTS, GROUPS):
        store, truth = Repository(link, f"import/to-{seed}"), Repository(direct, f"import/to-{seed}")
        release.seed = seed
        with bundle_file.opened(path) as opened:
            opened.verify()
            ended += harmed(partial(imported, opened, store), release, truth, proxy)
    assert ended > IMPORTS // GROUPS // 2


def test_harm_of_every_kind_was_done(proxy):
    kinds = {fault.removesuffix(" answer") if fault != "keep answer" else fault for fault in FAULTS}
    assert {kind.removesuffix(" request") for kind in kinds} <= {name for name, count in proxy.harm.items() if count}
