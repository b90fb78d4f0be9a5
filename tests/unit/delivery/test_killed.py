"""SIGKILL at every request of a push, a mirror and an import: nothing half ever counts as complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nearedge.delivery.access import Access
from nearedge.delivery.bundle import bundle_file
from nearedge.delivery.bundle.bundle_export import Packing
from nearedge.delivery.layout import Layout
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from tests import interrupted
from tests.small_release import Release


@pytest.mark.parametrize("action", interrupted.ACTIONS)
def test_what_was_killed_is_no_release_and_the_next_run_completes_it(plain_registry, tmp_path, action):
    release, here = Release(1), Registry(plain_registry, Access())
    layout, packing = Layout.create(tmp_path / "images"), Packing()
    for store in (layout, Repository(here, interrupted.SOURCE)):
        release.push(store)
    packing.image(layout, "images", "1", "1")
    bundle_file.write(tmp_path / interrupted.BUNDLE, packing.index(), packing.opened)
    command = [sys.executable, interrupted.__file__, action, plain_registry, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    killed = int(done.stdout)
    assert killed >= 8
    named = 0
    for number in range(1, killed + 1):
        target = Repository(here, f"killed/{action}-{number}")
        for blob, content in release.contents:
            assert not target.has(blob) or b"".join(target.chunks(blob)) == content
        named += target.find("1") is not None
        assert target.find("1") is None or release.is_whole(target), f"{action}, killed in request {number}"
        interrupted.ACTIONS[action](target, Path(tmp_path))
        assert release.is_whole(target), f"{action}, killed in request {number}"
    assert named <= 3, "the name comes last"
