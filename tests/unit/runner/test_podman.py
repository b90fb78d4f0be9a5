"""Containers run with podman for real; what needs no podman is tested without."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from nearedge.errors import InputError, OutsideError
from nearedge.runner import podman
from nearedge.runner.process import Container


@pytest.fixture(scope="module")
def image(request, workspace):
    """The tiny foreign image in podman's store, by its id."""
    request.getfixturevalue("with_podman")
    found = podman.pull_layout(workspace / "image", "foreign")
    yield found
    podman.podman("rmi", "--force", found, timeout_s=60)


def container(image, python_tar, tmp_path, code, **more):
    values = {
        "name": "step one", "image": image, "command": (python_tar[1], "-c", code), "args": ("a b", "$HOME"), "env": {},
        "cwd": None, "log": tmp_path / "logs" / "step.log", "folders": (),
    } | more  # fmt: skip
    return Container(**values)


def ran(started, log):
    return started.wait(120), log.read_text()


def names():
    return podman.podman("ps", "--all", "--format={{.Names}}", timeout_s=60).stdout.split()


@pytest.mark.images
def test_a_step_sees_its_arguments_folders_and_variables_only(image, python_tar, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NOT_FOR_STEPS", "x")
    work = tmp_path / "work: space"
    work.mkdir()
    code = (
        "import os, sys, pathlib; pathlib.Path('made').write_text('x')\n"
        "print(sys.argv[1:], os.getcwd(), os.environ['LINES'].splitlines(), os.environ['HOME'], os.environ['PATH'])\n"
        "print('leaked', {'HTTP_PROXY', 'http_proxy', 'NOT_FOR_STEPS'} & set(os.environ)); sys.exit(7)"
    )
    env = {"LINES": "one\ntwo = 2", "HOME": "/tekton/home", "PATH": "/some/where:/bin", "EMPTY": ""}
    step = container(image, python_tar, tmp_path, code, env=env, cwd=work, folders=(tmp_path, work))
    status, log = ran(podman.start(step), step.log)
    assert status == 7, log
    assert f"['a b', '$HOME'] {work} ['one', 'two = 2'] /tekton/home /some/where:/bin" in log
    assert "leaked set()" in log
    assert (work / "made").stat().st_uid == os.geteuid()


@pytest.mark.images
def test_no_value_stands_in_the_arguments(image, python_tar, tmp_path):
    env = {"TOKEN": "s3cret-value", "XDG_TOKEN": "s3cret-other"}
    step = container(image, python_tar, tmp_path, "import time; time.sleep(60)", env=env)
    started = podman.start(step)
    try:
        while not (argv := Path(f"/proc/{started.process.pid}/cmdline").read_text()):
            time.sleep(0.01)  # podman is just being loaded
        assert "s3cret" not in argv
        assert "TOKEN" in argv
        assert started.env_file.stat().st_mode & 0o077 == 0
    finally:
        started.stop(1)
    assert not started.env_file.exists()


@pytest.mark.images
@pytest.mark.parametrize("handler", ["sys.exit(3)", "print('will not end', flush=True)"])
def test_stop_ends_the_container_even_one_that_will_not(image, python_tar, tmp_path, handler):
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: {handler})\nprint('up', flush=True)\nwhile True: time.sleep(0.1)"
    )
    step = container(image, python_tar, tmp_path, code)
    started = podman.start(step)
    until = time.monotonic() + 60
    while "up" not in step.log.read_text() and time.monotonic() < until:
        time.sleep(0.1)
    status = started.stop(30 if "exit" in handler else 1)
    assert status == (3 if "exit" in handler else 137)
    assert started.name not in names()
    assert started.stop() == status  # a second time does nothing


@pytest.mark.images
def test_a_container_does_not_outlive_a_podman_that_was_killed(image, python_tar, tmp_path):
    step = container(image, python_tar, tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    started = podman.start(step)
    until = time.monotonic() + 60
    while "up" not in step.log.read_text() and time.monotonic() < until:
        time.sleep(0.1)
    started.process.kill()
    assert started.wait(60) == 137
    assert started.name in names()
    started.clean_up()
    assert started.name not in names()


@pytest.mark.images
def test_hardened_is_the_images_user_and_read_only(image, python_tar, tmp_path):
    code = (
        "import os; print('uid', os.getuid()); open('/tmp/x', 'w'); print(open('/proc/self/status').read())\n"
        "open('/srv/x', 'w')"
    )
    step = container(image, python_tar, tmp_path, code)
    status, log = ran(podman.start(step, hardened=True), step.log)
    assert status == 1
    assert "uid 1001" in log
    assert "CapEff:\t0000000000000000" in log
    assert "Read-only file system: '/srv/x'" in log


@pytest.mark.images
@pytest.mark.usefixtures("with_podman")
def test_an_image_that_cannot_be_had(python_tar, tmp_path, port):
    reference = f"127.0.0.1:{port}/none/such:1"
    with pytest.raises(OutsideError, match=f"{reference}: podman cannot pull it: .*refused"):
        podman.pull(reference)
    with pytest.raises(OutsideError, match="podman does not know it"):
        podman.inspect("localhost/none-such:1")
    step = container(reference, python_tar, tmp_path, "")
    status, log = ran(podman.start(step), step.log)
    assert status == 125
    assert "refused" in log


@pytest.mark.images
@pytest.mark.usefixtures("with_podman")
def test_works_says_so():
    assert podman.works()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "podman is not installed"),
        ("echo 'Error: no cgroups here' >&2; exit 125", "podman cannot run a container: no cgroups here"),
        ("exit 1", "podman cannot run a container: no message"),
    ],
)
def test_why_podman_does_not_work(tmp_path, monkeypatch, script, reason):
    programs = tmp_path / "bin"
    programs.mkdir()
    if script:
        (programs / "podman").write_text(f"#!/bin/sh\n{script}\n")
        (programs / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/nowhere" if script is None else f"{programs}:/usr/bin:/bin")
    podman.why_not.cache_clear()
    try:
        assert podman.why_not() == reason
        assert not podman.works()
    finally:
        podman.why_not.cache_clear()


def test_a_podman_that_hangs_or_is_not_there_is_a_failed_run(tmp_path, monkeypatch):
    (tmp_path / "podman").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert podman.podman("ps", timeout_s=0.2).returncode == 124
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert podman.podman("ps", timeout_s=5).returncode == 127
    with pytest.raises(OSError, match="podman"):
        podman.start(Container("s", "i", (), (), {}, None, tmp_path / "log", ()))


@pytest.mark.parametrize("folder", [Path("relative"), Path("/with,comma")])
def test_folders_podman_cannot_mount(folder):
    with pytest.raises(InputError, match="cannot mount it"):
        podman.mounted([folder])


def test_a_folder_in_another_is_mounted_once():
    paths = [Path("/a/b"), Path("/a"), Path("/ab"), Path("/a")]
    assert podman.mounted(paths) == [Path("/a"), Path("/ab")]


def test_a_value_of_several_lines_that_podman_would_read_itself():
    with pytest.raises(InputError, match="env HOME"):
        podman.split_env({"HOME": "a\nb"})


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("127.0.0.1:5000/a/b:1", True),
        ("localhost:5000/a", True),
        ("localhost/a", True),
        ("[::1]:5000/a", True),
        ("127.0.0.1.example.com/a", False),
        ("registry.example.com/127.0.0.1/a", False),
        ("python", False),
        ("oci:127.0.0.1/x:1", False),
    ],
)
def test_only_a_registry_on_the_loopback_may_speak_plain_http(reference, expected):
    assert podman.on_loopback(reference) is expected
    assert bool(podman.tls_option(reference)) is expected


def test_the_probe_runs_outside_of_podman_too(tmp_path):
    podman.copy_true(tmp_path)
    assert subprocess.run([tmp_path / "true"], check=False).returncode == 0
