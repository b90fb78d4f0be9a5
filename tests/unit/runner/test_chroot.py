"""The launcher's own rules; test_sidecars runs programs with it."""

import fcntl
import os
import subprocess
import sys

import pytest

from nearedge.runner import chroot

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def launch(*argv, env=None):
    done = subprocess.run(
        [sys.executable, "-I", chroot.__file__, *argv], capture_output=True, text=True, check=False, env=env, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def test_folders_are_made_and_links_refused(tmp_path):
    assert chroot.folder(tmp_path, "a/b") == tmp_path / "a/b"
    assert (tmp_path / "a/b").is_dir()
    (tmp_path / "a/link").symlink_to("/etc")
    with pytest.raises(OSError, match="the image has a link at /a/link"):
        chroot.folder(tmp_path, "a/link/deeper")


def test_the_lock_is_shared_and_outlives_becoming_another_program(tmp_path):
    lock = tmp_path / "lock"
    code = (
        f"import sys; sys.path.insert(0, {str(chroot.Path(chroot.__file__).parent)!r}); import chroot, os, pathlib\n"
        f"chroot.hold(pathlib.Path({str(lock)!r})); os.execv('/bin/sh', ['sh', '-c', 'echo up; read line'])"
    )
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "up\n"
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        program.communicate("\n", timeout=30)


def test_a_refused_call_is_one_line(monkeypatch, capsys, tmp_path):
    class Refusing:
        @staticmethod
        def unshare(_flags):
            chroot.ctypes.set_errno(1)
            return -1

    monkeypatch.setattr(chroot, "libc", Refusing)
    monkeypatch.setattr(os, "umask", lambda _: 0)
    assert chroot.main(["--probe"]) == chroot.CANNOT_START
    assert chroot.main([str(tmp_path), "--", "x"]) == chroot.CANNOT_START
    assert (
        capsys.readouterr().err.splitlines() == ["chroot: Operation not permitted: cannot make a mount namespace"] * 2
    )


@needs_root
def test_the_probe_leaves_nothing_mounted():
    before = chroot.Path("/proc/self/mountinfo").read_text()
    status, _, err = launch("--probe")
    if status:
        pytest.skip(err)
    assert chroot.Path("/proc/self/mountinfo").read_text() == before


@needs_root
def test_the_images_variables_do_not_reach_the_launcher(tmp_path):
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "mount").mkdir()
    (tmp_path / "sitecustomize.py").write_text("print('hijacked')")
    env = {chroot.ENV: '{"PYTHONPATH": "%s"}' % tmp_path, "PYTHONPATH": str(tmp_path)}  # noqa: UP031 - braces are JSON's
    status, out, err = launch(str(tmp_path), "--", "/bin/none", env=env)
    if status == chroot.CANNOT_START:
        pytest.skip(err)
    assert (status, out) == (chroot.NOT_FOUND, "")
    assert err == "chroot: /bin/none: No such file or directory; the image cannot run it\n"
