"""Runs a program inside an unpacked image without a container engine: a mount namespace, a chroot, a plain user.

`python -I chroot.py --user=UID [--workdir=DIR] [--folder=DIR ...] PLACE -- PROGRAM ARG ...`, as root. It becomes the
program, so a signal to it reaches the program, and gives it the variables that NEAREDGE_CHROOT_ENV holds as JSON: an
image's own variables must not reach this Python, which is root. Everything it mounts lives in its own mount
namespace and is gone with it. `--probe` instead of PLACE says by its exit status whether that works here.

Calls and flags: mount(2), unshare(2), prctl(2). OpenVINO's CPU plugin needs /proc and /sys.
"""

import argparse
import ctypes
import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_NO_NEW_PRIVS = 38
DEVICES = ("null", "zero", "full", "random", "urandom")
FROM_HOST = ("hosts", "resolv.conf")
ENV = "NEAREDGE_CHROOT_ENV"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CANNOT_START = 125
NOT_FOUND = 127

libc = ctypes.CDLL(None, use_errno=True)


def call(result: int, what: str) -> None:
    """Raise OSError where a libc call that returned `result` failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: {what}")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` on `target` (see mount in section 2 of the manual). Raises OSError."""
    texts = [text.encode() or None for text in (source, str(target), kind, data)]
    result = libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    call(result, f"cannot mount {kind or source} on {target}")


def private_mounts() -> None:
    """Leave the machine's mount namespace: what is mounted from here on is seen by this process only."""
    call(libc.unshare(CLONE_NEWNS), "cannot make a mount namespace")
    mount("", "/", flags=MS_REC | MS_PRIVATE)


def assemble(place: Path, folders: Sequence[Path]) -> Path:
    """Mount the root of `place/rootfs` for one program: the image itself stays as it is. Gives the root back.

    Writes would go to an overlay in memory that is made read-only at the end; folders of this machine keep their paths.
    """
    os.chdir(place)  # relative names in the overlay's options: a path may hold a comma or a colon
    mount("tmpfs", "mount", "tmpfs", MS_NOSUID | MS_NODEV)
    for name in ("upper", "work", "root"):
        Path("mount", name).mkdir()
    mount("overlay", "mount/root", "overlay", 0, "lowerdir=rootfs,upperdir=mount/upper,workdir=mount/work")
    root = place / "mount/root"
    Path("mount/upper").chmod(0o755)
    mount_system(root)
    for path in folders:
        mount(str(path), folder(root, path.relative_to("/")), flags=MS_BIND | MS_REC)
    mount("", root, flags=MS_REMOUNT | MS_RDONLY)
    return root


def folder(root: Path, relative: Path | str) -> Path:
    """The folder `root / relative`, made where it is missing. Raises OSError where the image has a link on the way.

    Outside the chroot an image's link would lead to this machine's files.
    """
    path = root
    for part in Path(relative).parts:
        path = path / part
        if path.is_symlink():
            raise OSError(
                errno.ELOOP, f"the image has a link at /{path.relative_to(root)}, nothing can be mounted there"
            )
        path.mkdir(exist_ok=True)
    return path


def mount_system(root: Path) -> None:
    """/proc, /sys (read-only), /dev with five devices and /dev/shm, /tmp, and the machine's names of hosts."""
    proc, sys_fs, dev, tmp = (folder(root, name) for name in ("proc", "sys", "dev", "tmp"))
    try:
        mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:  # inside a container the kernel may refuse a fresh one, and allow the one that is there
        mount("/proc", proc, flags=MS_BIND | MS_REC)
    mount("/sys", sys_fs, flags=MS_BIND | MS_REC)
    mount("", sys_fs, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", tmp, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755")
    for name in DEVICES:
        (dev / name).touch()
        mount(f"/dev/{name}", dev / name, flags=MS_BIND)
    mount("tmpfs", folder(root, "dev/shm"), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for name in FROM_HOST:
        if Path("/etc", name).is_file():
            target = folder(root, "etc") / name
            target.unlink(missing_ok=True)  # a link of the image would lead to this machine's file
            shutil.copyfile(Path("/etc", name), target)


def enter(root: Path, user: int, workdir: str) -> None:
    """Make `root` this process' root and become `user` of group 0, as OpenShift has it, with no way back."""
    os.chroot(root)
    os.chdir(workdir)
    os.setgroups([])
    os.setgid(0)
    os.setuid(user)
    call(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "cannot give up gaining privileges")


def probe() -> None:
    """Do once all that `assemble` and `enter` need, on an empty image. Raises OSError."""
    private_mounts()
    mount("tmpfs", "/tmp", "tmpfs")  # noqa: S108 - of this process' own mount namespace only
    place = Path("/tmp/place")  # noqa: S108 - on that empty mount
    for name in ("rootfs", "mount"):
        (place / name).mkdir(parents=True)
    enter(assemble(place, ()), 1001, "/")


def hold(lock: Path) -> None:
    """Take a shared lock that this process keeps as it becomes the program. Raises OSError."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(handle, fcntl.LOCK_SH)
    os.set_inheritable(handle, True)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m nearedge.runner.chroot", allow_abbrev=False)
    made.add_argument("--probe", action="store_true", help="only say whether this works here")
    made.add_argument("--user", type=int, default=1001, help="uid to run as, not 0")
    made.add_argument("--workdir", default="/", help="folder to start in, inside the image")
    made.add_argument("--folder", type=Path, action="append", default=[], help="folder of this machine to mount")
    made.add_argument("--lock", type=Path, help="file to hold a shared lock on while the program runs")
    made.add_argument("place", type=Path, nargs="?", help="folder with rootfs/ and an empty mount/")
    made.add_argument("argv", nargs="*", metavar="PROGRAM ARG", help="what to run, after --")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Enter the image and become the program; comes back only where that fails."""
    options = parser().parse_args(argv)
    os.umask(0o022)
    try:
        if options.lock:
            hold(options.lock)
        if options.probe:
            probe()
            return 0
        private_mounts()
        enter(assemble(options.place.resolve(), options.folder), options.user or 1001, options.workdir)
    except OSError as error:
        print(f"chroot: {error.strerror or error}", file=sys.stderr)
        return CANNOT_START
    env = json.loads(os.environ.get(ENV, "{}"))
    program = shutil.which(options.argv[0], path=env.get("PATH", PATH))
    try:
        os.execve(program or options.argv[0], options.argv, env)  # noqa: S606 - no shell is the point
    except OSError as error:
        print(f"chroot: {options.argv[0]}: {error.strerror}; the image cannot run it", file=sys.stderr)
        return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main())
