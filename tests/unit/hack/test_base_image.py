"""Where the base for tests comes from, and the store it is kept in; tests/images make it."""

import os

import pytest

from hack import base_image
from nearedge.errors import OutsideError


def test_a_store_is_this_process_own_and_gone_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("NEAREDGE_TEST_CACHE", str(tmp_path))
    monkeypatch.delenv("CONTAINERS_CONF", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(base_image.shutil, "which", lambda name: f"/usr/bin/{name}")
    (tmp_path / "store-99999999" / "storage").mkdir(parents=True)  # of a process that was killed
    with base_image.own_store() as variables:
        folder = tmp_path / f"store-{os.getpid()}"
        assert variables == {
            "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
            "CONTAINERS_CONF": f"{folder}/containers.conf",
        }
        assert f'graphroot = "{folder}/storage"' in (folder / "storage.conf").read_text()
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("uid", "runc"), [(1000, "/usr/sbin/runc"), (0, None)])
def test_the_machines_own_configuration_stands(tmp_path, monkeypatch, uid, runc):
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(base_image.shutil, "which", lambda _: runc)
    assert base_image.configure(tmp_path / "x") == {}
    assert not (tmp_path / "x").exists()


def test_an_existing_containers_conf_is_honoured(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(base_image.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv("CONTAINERS_CONF", "/etc/mine.conf")
    assert base_image.configure(tmp_path) == {"CONTAINERS_STORAGE_CONF": f"{tmp_path}/storage.conf"}


def test_a_base_in_the_cache_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(base_image.MachineError, match="debootstrap"):
        base_image.debian(tmp_path)
    (tmp_path / f"base-bookworm-{'-'.join(base_image.PACKAGES)}.tar").write_text("")
    assert base_image.debian(tmp_path).is_file()


def test_a_failing_program_is_told_with_its_last_words():
    with pytest.raises(OutsideError, match="sh: no mirror"):
        base_image.run(["sh", "-c", "echo no mirror; exit 3"], os.environ)
