"""Unpacked images, kept by digest: each is unpacked once, and what several share below their models only once, too.

Beside each lies a lock, held by whoever makes it or runs from it; those used longest ago are removed when nobody does.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nearedge.files import new_directory
from nearedge.progress import track
from nearedge.runner import rootfs
from nearedge.runner.layers import decompress
from nearedge.runner.layouts import Image
from nearedge.runner.rootfs import RootFs

KEEP = 6
"""Folders kept in a cache."""
MODELS = "models"


def unpacked(image: Image, cache: Path, only: str = "") -> Path:
    """The folder `cache/<hex digest>` with the image's files under `rootfs/`, made now or at an earlier time.

    With `only` (a name in the image's root) it is `cache/<hex digest>-<only>` and holds nothing else. Beside `rootfs`
    lies `mount/`, an empty folder to mount things on. Raises InputError where a layer is damaged or hostile,
    UnsupportedError where it is compressed in a way that nothing here can read.
    """
    place = cache / f"{image.digest.removeprefix('sha256:')}{'-' + only if only else ''}"
    if not (place / "rootfs").is_dir():
        with locked(lock(place)):
            if not (place / "rootfs").is_dir():  # another process may have made it while we waited
                with new_directory(place) as building:
                    (building / "mount").mkdir()
                    fill(image, building / "rootfs", cache, only)
        forget_old(cache, place)
    os.utime(place)
    return place


def lock(place: Path) -> Path:
    """The file to lock while an unpacked image is made or used."""
    return place.with_name(f".{place.name}.lock")


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock on `path`, by default alone. Raises BlockingIOError where `how` says not to wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, how)
        yield


def fill(image: Image, root: Path, cache: Path, only: str) -> None:
    """Apply the image's layers to `root`, beginning with what an earlier image left of the same ones.

    The state below the first layer that holds nothing but models is kept for the next image of ours.
    """
    chain = chain_ids(image.config.rootfs.diff_ids)
    done = 0 if only else copy_kept(chain, cache, root)
    root.mkdir(exist_ok=True)
    made = RootFs(root, only)
    layers = list(zip(image.manifest.layers, image.config.rootfs.diff_ids, strict=True))
    keeping = image.ours and not done and not only
    for number, (layer, diff_id) in enumerate(track(layers[done:], "unpacking the image's layers", len(layers)), done):
        with tempfile.TemporaryFile(dir=root.parent) as tar:
            decompress(image.folder, layer, diff_id, tar, rootfs.BYTES_LIMIT - made.size)
            if keeping and number and rootfs.holds_only(tar, MODELS):
                keeping = False
                keep(root, made, cache / chain[number - 1])
            made.add(tar)
    made.finish()


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """A hex name for the state after each layer (the image-spec's ChainID, config.md)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        below = f"sha256:{chain[-1]} {diff_id}" if chain else ""
        chain.append(hashlib.sha256(below.encode()).hexdigest() if below else diff_id.removeprefix("sha256:"))
    return chain


def copy_kept(chain: Sequence[str], cache: Path, root: Path) -> int:
    """Make `root` of the highest state below the last layer that `cache` has, by hard links; how many layers that is.

    Applying a layer never writes into a file that is there, so the links do not change what is kept.
    """
    for number in range(len(chain) - 1, 0, -1):
        place = cache / chain[number - 1]
        if (place / "rootfs").is_dir():
            with locked(lock(place)):
                if (place / "rootfs").is_dir():
                    copy_links(place / "rootfs", root)
                    os.utime(place)
                    return number
    return 0


def keep(root: Path, made: RootFs, place: Path) -> None:
    """Keep the present state of `root` as `place`, by hard links."""
    with locked(lock(place)):
        if not place.is_dir():
            made.finish()
            with new_directory(place) as building:
                copy_links(root, building / "rootfs")


def copy_links(source: Path, target: Path) -> None:
    """Copy a tree with its modes and owners; each file is a hard link to the one it is a copy of."""
    shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    for folder, names, files in os.walk(source):
        for path in (Path(folder, name) for name in (*names, *files)):
            status = path.lstat()
            if (status.st_uid or status.st_gid) and os.geteuid() == 0:
                os.chown(target / path.relative_to(source), status.st_uid, status.st_gid, follow_symlinks=False)


def forget_old(cache: Path, used: Path) -> None:
    """Remove all but the folders used last; never one that somebody holds."""
    others = [path for path in cache.iterdir() if path.is_dir() and not path.name.startswith(".") and path != used]
    others.sort(key=lambda path: path.stat().st_mtime)
    for place in others[: -(KEEP - 1)]:
        try:
            with locked(lock(place), fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(place, ignore_errors=True)
        except BlockingIOError:
            continue
