"""What layers are made of in tests of the plain and of the chunked writer, and what a writer takes of memory."""

import hashlib
import tracemalloc

from nearedge.delivery.layers import Entry


def odd_ones(target, long):
    """A file of somebody's own, a folder for all, a link to `target` in a/, and a file with a long name."""
    return [
        Entry("/c/text", b"hello", mode=0o600, uid=1001, gid=7),
        Entry("tmp", mode=0o1777),
        Entry("bin/sh", link=f"../a/{target}"),
        Entry(long, b"x"),
    ]


def pinned():
    """Half a megabyte that compresses somewhat, the same for ever."""
    return b"".join(hashlib.sha256(b"%d" % (n % 3000)).digest()[: n % 33] for n in range(20_000))


def peak(write, folder, mebibytes):
    """The most memory in bytes that Python has while `write(entries, path, title)` takes a file so large."""
    with (folder / "big").open("wb") as big:
        big.truncate(mebibytes << 20)
    tracemalloc.start()
    try:
        write([Entry("big", folder / "big")], folder / "layer", "t")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
