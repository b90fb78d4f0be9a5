"""Sidecars started each way there is, with a small image of this machine's Python and with our own server."""

import fcntl
import os
import socket
import time

import pytest

from nearedge.errors import InputError, UnsupportedError, UsageError
from nearedge.runner import chroot, podman, sidecars, unpack
from nearedge.runner.process import Container

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a chroot needs root")


def container(workspace, tmp_path, port, tag="ours", **more):
    values = {
        "name": "server", "image": f"oci:image:{tag}", "command": (), "args": (f"--port={port}",),
        "env": {"TOKEN": "s3"}, "cwd": None, "log": tmp_path / "server.log", "folders": (workspace,),
    } | more  # fmt: skip
    return Container(**values)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


@pytest.fixture(params=["podman", "chroot"])
def backend(request):
    """A backend that runs the image itself; skips with the reason where this machine cannot."""
    if request.param == "podman":
        request.getfixturevalue("with_podman")
    elif (reason := sidecars.chroot_why_not()) is not None:
        pytest.skip(reason)
    return request.param


@pytest.mark.images
@pytest.mark.parametrize("tag", ["ours", "foreign", "root"])
def test_the_image_runs(workspace, tmp_path, port, cache, asking, backend, tag):
    asked = container(workspace, tmp_path, port, tag, env={"TOKEN": "s3", "NEAREDGE_HOST": "0.0.0.0"})
    sidecar = sidecars.start(asked, [backend], cache)
    try:
        state = asking(port)
    finally:
        sidecar.stop()
    assert sidecar.backend == backend
    assert state["args"] == [f"--port={port}"]
    assert state["proc"]
    assert state["null"]
    wanted = {"TOKEN": "s3", "NEAREDGE_HOST": "127.0.0.1", "GREETING": "hello", "NEAREDGE_DRAIN_SECONDS": "0"}
    assert state["env"].items() >= wanted.items()
    assert state["env"]["NEAREDGE_IMAGE_DIGEST"] == sidecars.find_layout(asked).digest
    assert "NEAREDGE_CHROOT_ENV" not in state["env"]
    assert state["cwd"] == "/srv"
    if backend == "chroot" or tag == "ours":
        assert (state["uid"], state["writable"]) == (1001, ["/tmp"])
    log = asked.log.read_text().splitlines()
    assert log[0].startswith(f"nearedge: server: oci:image:{tag} (sha256:")
    assert log[0].endswith(f"runs with backend {backend}")
    assert "listening on 127.0.0.1" in log
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 1)


@needs_root
def test_a_chroot_leaves_the_unpacked_image_as_it_is(workspace, tmp_path, port, cache, asking):
    asked = container(workspace, tmp_path, port)
    if sidecars.chroot_why_not():
        pytest.skip(sidecars.chroot_why_not())
    sidecar = sidecars.start(asked, ["chroot"], cache)
    try:
        state = asking(port)
        place = cache / sidecars.find_layout(asked).digest.removeprefix("sha256:")
        assert {path.name for path in place.iterdir()} == {"mount", "rootfs"}
        assert {path.name for path in (place / "rootfs").iterdir()}.isdisjoint({"proc", "sys", "dev", "tmp"})
        assert list((place / "mount").iterdir()) == []
        assert state["writable"] == ["/tmp"]
        with pytest.raises(BlockingIOError), unpack.locked(unpack.lock(place), fcntl.LOCK_EX | fcntl.LOCK_NB):
            pass  # nobody may remove an image that runs
    finally:
        sidecar.stop()
    with unpack.locked(unpack.lock(place), fcntl.LOCK_EX | fcntl.LOCK_NB):
        pass


@pytest.mark.images
@pytest.mark.parametrize(("tag", "seen"), [("foreign", True), ("ours", False)])
def test_a_workspace_is_seen_by_foreign_images_only(workspace, tmp_path, port, cache, asking, backend, tag, seen):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    asked = container(workspace, tmp_path, port, tag, env={"LOOK": str(shared)}, folders=(workspace, shared))
    sidecar = sidecars.start(asked, [backend], cache)
    try:
        assert (str(shared) in asking(port)["writable"]) is seen
    finally:
        sidecar.stop()
    assert (shared / "probe").exists() is seen


@needs_root
def test_a_command_of_its_own_that_the_image_lacks(workspace, tmp_path, port, cache):
    asked = container(workspace, tmp_path, port, command=("none-such", "-x"))
    sidecar = sidecars.start(asked, ["chroot"], cache)
    assert sidecar.running.wait(30) == chroot.NOT_FOUND
    assert "none-such: No such file or directory; the image cannot run it" in asked.log.read_text()
    sidecar.stop()


@needs_root
@pytest.mark.parametrize("name", ["proc", "dev", "tmp", "etc"])
def test_an_image_whose_folders_are_links_gets_nothing_of_this_machine(layout, make_tar, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "hosts").write_text("mine")
    link = (name, None, {"type": b"2", "linkname": str(outside)})
    layout.image([make_tar(link)], "t", Entrypoint=["/x"])
    asked = container(tmp_path, tmp_path, 1, "t", folders=(tmp_path / "image", tmp_path))
    sidecar = sidecars.start(asked, ["chroot"], tmp_path / "cache")
    assert sidecar.running.wait(30) == chroot.CANNOT_START
    assert f"the image has a link at /{name}" in asked.log.read_text()
    assert [path.name for path in outside.iterdir()] == ["hosts"]
    assert (outside / "hosts").read_text() == "mine"


@pytest.fixture(scope="module")
def models_tar(tmp_path_factory, make_tar):
    """A layer with a real model for our server: y = x + 1."""
    openvino = pytest.importorskip("openvino")
    from openvino import opset13 as ops

    x = ops.parameter([1, 2], openvino.Type.f32, name="x")
    y = ops.add(x, ops.constant([[1.0, 1.0]], openvino.Type.f32))
    y.output(0).set_names({"y"})
    x.output(0).set_names({"x"})
    folder = tmp_path_factory.mktemp("model")
    openvino.save_model(openvino.Model([y], [x], "plus"), folder / "model.xml")
    files = [(f"models/plus/1/{name}", (folder / name).read_bytes(), {}) for name in ("model.xml", "model.bin")]
    return make_tar(*files, ("usr/share/other", b"x", {}))


def test_our_own_server_stands_in_for_an_image_of_ours(layout, models_tar, tmp_path, port, asking):
    layout.image([models_tar], "t", Labels={"io.nearedge.runtime": "1"}, Env=["NEAREDGE_MODELS=/models"])
    asked = container(tmp_path, tmp_path, port, "t")
    sidecar = sidecars.start(asked, ["process"], tmp_path / "cache")
    try:
        asking(port, "v2/health/ready")
        assert asking(port, "v2/models/plus")["inputs"][0]["name"] == "x"
        assert sidecar.running.process.poll() is None
    finally:
        began = time.monotonic()
        sidecar.stop()
        assert time.monotonic() - began < 5  # no draining
    assert "runs with backend process" in asked.log.read_text().splitlines()[0]
    assert not list((tmp_path / "cache").rglob("other"))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("models/m", None, {"type": b"2", "linkname": "/etc"})], "leads out"),
        ([("other", b"", {})], "has no folder /models"),
    ],
)
def test_our_own_server_gets_no_files_of_this_machine(layout, make_tar, tmp_path, entries, message):
    layout.image([make_tar(*entries)], "t", Labels={"io.nearedge.runtime": "1"})
    with pytest.raises(InputError, match=message):
        sidecars.start(container(tmp_path, tmp_path, 1, "t"), ["process"], tmp_path / "cache")


@pytest.mark.parametrize(
    ("tag", "more", "message"),
    [
        ("foreign", {}, "process: not an image of ours"),
        ("ours", {"command": ("sh", "-c", "x")}, "process: its command is not the image's server"),
        ("ours", {"image": "registry.example.com/a@sha256:" + "0" * 64}, "process: the image is in a registry"),
    ],
)
def test_what_nothing_here_can_run(workspace, tmp_path, cache, tag, more, message):
    with pytest.raises(UnsupportedError, match=message):
        sidecars.start(container(workspace, tmp_path, 1, tag, **more), ["process"], cache)
    assert not (tmp_path / "server.log").exists()


def test_an_image_in_a_registry_is_found_in_its_layout(workspace, tmp_path):
    found = sidecars.find_layout(container(workspace, tmp_path, 1))
    by_digest = container(workspace, tmp_path, 1, image=f"registry.example.com/a:1@{found.digest}")
    assert sidecars.find_layout(by_digest) == sidecars.layouts.read(workspace / "image", digest=found.digest)


def test_the_order_comes_from_the_environment(workspace, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(podman, "why_not", lambda: "no podman today")
    monkeypatch.setenv(sidecars.ORDER_VARIABLE, "podman, process")
    with pytest.raises(UnsupportedError, match=r"podman: no podman today; process: not an image of ours"):
        sidecars.start(container(workspace, tmp_path, 1, "foreign"), None, cache)
    monkeypatch.setenv(sidecars.ORDER_VARIABLE, "docker")
    with pytest.raises(UsageError, match="no sidecar backend docker"):
        sidecars.start(container(workspace, tmp_path, 1), None, cache)
    monkeypatch.delenv(sidecars.ORDER_VARIABLE)
    assert sidecars.chosen(None) == ("podman", "chroot", "process")


@needs_root
def test_an_image_without_a_program(workspace, tmp_path, cache):
    with pytest.raises(InputError, match="names no program"):
        sidecars.start(container(workspace, tmp_path, 1, "nothing", args=()), ["chroot"], cache)


@pytest.mark.parametrize(
    ("user", "expected"),
    [("1001", 1001), ("1234:0", 1234), ("0", 1001), ("", 1001), ("nginx", 1001), ("99999999999", 1001)],
)
def test_nothing_runs_as_root_in_a_chroot(user, expected):
    assert sidecars.number(user) == expected


def test_start_image_is_a_sidecar_of_its_own(layout, models_tar, tmp_path, port, asking, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout.image([models_tar], "t", Labels={"io.nearedge.runtime": "1"})
    log = tmp_path / "serve.log"
    sidecar = sidecars.start_image("oci:image:t", [tmp_path], [f"--port={port}"], log, "process")
    try:
        assert asking(port, "v2/models/plus")["name"] == "plus"
    finally:
        sidecar.stop()
    assert (tmp_path / ".nearedge/images").is_dir()
