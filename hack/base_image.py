"""A base image made without any registry: Debian with Python, git and ssh, for tests and machines without a registry.

`python hack/base_image.py NAME` makes it with debootstrap, where it is not in the cache yet, and imports it as NAME
with podman. Debian's mirror is whatever this machine's apt uses. The cache is NEAREDGE_TEST_CACHE, else
~/.cache/nearedge-tests.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nearedge.errors import MachineError, OutsideError
from nearedge.progress import say

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "git", "openssh-client", "ca-certificates")
LEFT_OUT = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/info",
)
BUILD_S = 900
CONTAINERS_CONF = """[containers]
default_ulimits = []
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE_CONF = """[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


def cache() -> Path:
    """The folder that outlives a test session, outside of the tree."""
    named = os.environ.get("NEAREDGE_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "nearedge-tests"


def configure(folder: Path) -> dict[str, str]:
    """Write configuration for podman and buildah to `folder`; the variables that make them read it.

    What a small CI machine needs: it may not raise resource limits, its cgroups are hybrid and crun refuses them, and
    images of tests stay out of the user's own store. Without root, and where runc is missing, the machine's own
    configuration stands.
    """
    if os.geteuid() != 0 or shutil.which("runc") is None:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "containers.conf").write_text(CONTAINERS_CONF)
    (folder / "storage.conf").write_text(STORAGE_CONF.format(folder=folder))
    named = {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}
    if "CONTAINERS_CONF" not in os.environ:
        named["CONTAINERS_CONF"] = str(folder / "containers.conf")
    return named


@contextmanager
def own_store() -> Iterator[dict[str, str]]:
    """`configure` with a store of this process' own under the cache folder, removed at the end."""
    for left in cache().glob("store-*"):
        if not Path("/proc", left.name.partition("-")[2]).exists():
            remove_store(left)
    folder = cache() / f"store-{os.getpid()}"
    try:
        yield configure(folder)
    finally:
        remove_store(folder)


def remove_store(folder: Path) -> None:
    """Remove a store with its mounts: the overlay driver leaves one on its own folder."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted((one for one in mounts if Path(one).is_relative_to(folder)), reverse=True):
        subprocess.run(["umount", place], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def mirror() -> str:
    """Debian's mirror as apt on this machine has it. Raises MachineError where apt names none."""
    for path in [*Path("/etc/apt/sources.list.d").glob("*.sources"), Path("/etc/apt/sources.list")]:
        text = path.read_text() if path.is_file() else ""
        found = re.search(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+/debian/?)(?:\s|$)", text, re.MULTILINE)
        if found:
            return found.group(1)
    raise MachineError("/etc/apt: names no mirror of Debian; a base is made on Debian only, else give an image")


def debian(folder: Path) -> Path:
    """The base's tar under `folder`, made now or at an earlier time. Raises MachineError, OutsideError."""
    tar = folder / f"base-{SUITE}-{'-'.join(PACKAGES)}.tar"
    if tar.is_file():
        return tar
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise MachineError("debootstrap: needs to be installed, and run as root; .ci/run installs it")
    folder.mkdir(parents=True, exist_ok=True)
    say("making a Debian base with debootstrap: about a minute, once")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        root = Path(scratch, "root")
        argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), mirror()]
        run(argv, os.environ)
        for name in LEFT_OUT:
            shutil.rmtree(root / name, ignore_errors=True)
        half = Path(scratch, "base.tar")
        run(["tar", "-C", str(root), "--exclude=./dev/*", "--exclude=__pycache__", "-cf", str(half), "."], os.environ)
        half.replace(tar)
    return tar


def import_base(tar: Path, name: str, env: Mapping[str, str]) -> None:
    """Have podman import the tar as the image `name`, where it has none of this name. Raises OutsideError."""
    known = subprocess.run(["podman", "image", "exists", name], env=dict(env), check=False)
    if known.returncode != 0:
        run(["podman", "import", "--quiet", "--change=ENV=LANG=C.UTF-8", str(tar), name], env)


def run(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Run a program to its end. Raises OutsideError with its last words where it fails."""
    result = subprocess.run(
        argv, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=BUILD_S
    )
    if result.returncode != 0:
        raise OutsideError(f"{argv[0]}: {' '.join(result.stdout.split()[-60:])}")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the base and import it under the name given."""
    parser = argparse.ArgumentParser(description="Make a Debian base with Python and import it with podman.")
    parser.add_argument("name", help="name of the image, such as localhost/nearedge-base:py")
    options = parser.parse_args(argv)
    import_base(debian(cache()), options.name, os.environ)
    return 0


if __name__ == "__main__":
    sys.exit(main())
