"""`--base-image host`: a runtime base from this machine's own Python, where no base image can be had.

It is kept under the cache folder for the next time, keyed by what went in, so that the second build takes no time.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nearedge.delivery.host.host_image import Plan, libraries, new_plan, write_base
from nearedge.delivery.host.host_parts import key, stamp
from nearedge.delivery.layout import Layout
from nearedge.errors import InputError
from nearedge.files import new_directory, write_text
from nearedge.progress import say

KEEP = 3
"""Bases kept in the cache."""
LIBRARIES = "libraries.json"


def host_base(cache: Path | None = None) -> Layout:
    """The layout that holds the base under the tag `base`, assembled where the cache does not have it.

    Raises InputError where extra `serve` is not installed, MachineError where this machine's Python cannot be taken.
    """
    plan = new_plan()
    folder = (cache or cache_folder()) / "host-base"
    entry = folder / key(plan.all)[:32]
    if (found := kept(entry)) is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if (found := kept(entry)) is not None:  # another process assembled it meanwhile
            return found
        say("assembling a runtime base from this machine's Python (once; it is kept for the next time)")
        assemble(plan, entry)
        forget_old(folder, entry)
    return Layout.open(entry)


def cache_folder() -> Path:
    """NEAREDGE_CACHE, else the user's cache folder."""
    given = os.environ.get("NEAREDGE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearedge"


def kept(entry: Path) -> Layout | None:
    """The cached base, None where there is none or the system's libraries have changed since."""
    try:
        libraries = json.loads((entry / LIBRARIES).read_text(encoding="utf-8"))
        if any(stamp(Path(path)) != seen for path, seen in libraries.items()):
            return None
        with suppress(OSError):  # a cache that may only be read is as good
            os.utime(entry)
        return Layout.open(entry)
    except (FileNotFoundError, NotADirectoryError, ValueError, InputError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on the cache, so that of two that need the same base one assembles it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def forget_old(folder: Path, new: Path) -> None:
    """Remove all but the bases used last; layouts that were built from them hold their own links to the blobs."""
    others = sorted((path for path in folder.iterdir() if path != new), key=lambda path: path.stat().st_mtime)
    for path in others[: -(KEEP - 1)]:
        shutil.rmtree(path, ignore_errors=True)


def assemble(plan: Plan, entry: Path) -> None:
    """Write the base as a layout to the folder `entry`, by rename."""
    others = [path for path in entry.parent.iterdir() if not path.name.startswith(".")]
    with new_directory(entry) as folder:
        shared = libraries(plan)
        write_base(plan, shared, folder, others)
        seen = {str(path): stamp(path) for path in shared.values()}
        write_text(folder / LIBRARIES, json.dumps(seen, indent=1, sort_keys=True))
