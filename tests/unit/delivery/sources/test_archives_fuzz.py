"""Archives of strangers, damaged at will: unpacked or refused in one line, within memory and time.

Bounded and the same each time: hypothesis draws from a fixed seed. What Python allocates is held by tracemalloc; what
the decompressors do is held in a process of its own, by the peak of its memory and by a time after which it is killed.
"""

import bz2
import gzip
import io
import lzma
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearedge.delivery.sources import archives
from nearedge.errors import NearedgeError, UnsupportedError

LIMITS = archives.Limits(max_bytes=1 << 20, max_members=50)
MOST_MEMORY = 24 << 20
CHILD_S = 60
bounded = settings(max_examples=20, deadline=None, derandomize=True, database=None)


def tarball(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return memory.getvalue()


def zipball(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return memory.getvalue()


MEMBERS = (("m/model.yaml", b"schema: 1\n" * 20), ("m/" + "n" * 120, random.Random(0).randbytes(3000)))
VALID = {
    "tar": tarball(*MEMBERS),
    "gnu": tarball(*MEMBERS, form=tarfile.GNU_FORMAT),
    "gz": gzip.compress(tarball(*MEMBERS), mtime=0),
    "bz2": bz2.compress(tarball(*MEMBERS)),
    "xz": lzma.compress(tarball(*MEMBERS)),
    "zip": zipball(*MEMBERS),
    "stored zip": zipball(*MEMBERS, compression=zipfile.ZIP_STORED),
    "nested": tarball(("inner.tar.gz", gzip.compress(tarball(*MEMBERS), mtime=0))),
}
HUGE = [
    b"\xff" * 4,
    b"\xff" * 8,
    b"7" * 11 + b"\0",
    b"\x80" + b"\xff" * 11,
    b"\0" * 8,
    b"PK\x01\x02",
    b"\xff\xff\xff\x7f",
]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with bits turned, pieces replaced by huge sizes, removed or put in, and perhaps cut off."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        if draw(st.booleans()) and found:
            found[at] ^= 1 << draw(st.integers(0, 7))
        else:
            found[at : at + draw(st.integers(0, 8))] = draw(st.sampled_from(HUGE) | st.binary(max_size=6))
    return bytes(found[: draw(st.just(len(found)) | st.integers(0, len(found)))])


def unpack(content: bytes) -> str:
    """What comes of it: `done`, or the message. Memory, names and sizes are held to the limits."""
    with tempfile.TemporaryDirectory() as folder:
        path, into = Path(folder) / "archive", Path(folder) / "into"
        path.write_bytes(content)
        into.mkdir()
        tracemalloc.start()
        try:
            archives.is_archive(path)
            archives.extract(path, into, LIMITS)
            said = "done"
        except NearedgeError as error:
            said = str(error)
        finally:
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert most < MOST_MEMORY
        assert sorted(one.name for one in Path(folder).iterdir()) == ["archive", "into"]
        assert sum(one.stat().st_size for one in into.rglob("*") if one.is_file()) <= LIMITS.max_bytes
        assert not any(one.is_symlink() for one in into.rglob("*"))
    return said


@pytest.mark.parametrize("kind", VALID)
def test_the_archives_that_are_damaged_were_good(kind: str) -> None:
    assert unpack(VALID[kind]) == "done"


@pytest.mark.parametrize("kind", VALID)
@bounded
@given(data=st.data())
def test_damage_is_unpacked_or_refused_in_one_line(kind: str, data: st.DataObject) -> None:
    said = unpack(data.draw(damaged(VALID[kind])))
    assert "\n" not in said and len(said) < 500


@bounded
@given(
    content=st.binary(max_size=1500),
    magic=st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"PK\x03\x04"]),
)
def test_noise_is_refused_in_one_line(content: bytes, magic: bytes) -> None:
    said = unpack(magic + content)
    assert "\n" not in said and len(said) < 500


@pytest.mark.parametrize("split", [1, 511, 512, 4000])
def test_xz_of_several_streams_with_padding_is_one_content(split: int) -> None:
    whole = tarball(*MEMBERS)
    assert unpack(lzma.compress(whole[:split]) + bytes(8) + lzma.compress(whole[split:]) + bytes(4)) == "done"


def test_what_python_cannot_hold_in_memory_is_refused_by_name() -> None:
    asks = [{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "depth": 1}]
    said = unpack(lzma.compress(tarball(*MEMBERS), filters=asks))
    assert "Memory usage limit exceeded" in said
    with pytest.raises(UnsupportedError, match="use deflate"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        path.write_bytes(zipball(*MEMBERS, compression=zipfile.ZIP_LZMA))
        archives.extract(path, Path(folder) / "into", LIMITS)


def repeated(compressor: object, times: int = 24) -> bytes:
    """A tar of one member of zeros, `times` MiB long, compressed."""
    info = tarfile.TarInfo("zeros")
    info.size = times << 20
    pieces = [info.tobuf(), *([bytes(1 << 20)] * times), bytes(1024)]
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


def sparse() -> bytes:
    """A sparse file of GNU tar that claims 2 TiB, of which none is there."""
    info = tarfile.TarInfo("sparse")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"\x80" + struct.pack(">Q", 1 << 41).rjust(11, b"\0")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + bytes(1024)


BOMBS = {
    "gz": lambda: repeated(zlib.compressobj(wbits=31)),
    "bz2": lambda: repeated(bz2.BZ2Compressor()),
    "xz": lambda: repeated(lzma.LZMACompressor(preset=0)),
    "zip": lambda: zipball(("zeros", bytes(24 << 20))),
    "sparse": sparse,
    "zip of many names": lambda: zipball(*((f"{n}", b"") for n in range(3000))),
    "tar of a long chain of heads": lambda: tarball(*((f"{n:0>200}", b"") for n in range(3000))),
}
PROGRAM = """\
import resource, sys, time
from pathlib import Path
from nearedge.delivery.sources import archives
from nearedge.errors import InputError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[2:]:
    path = Path(sys.argv[1]) / name
    try:
        archives.is_archive(path)
        archives.extract(path, Path(sys.argv[1]) / "into" / name, archives.Limits(max_bytes=1 << 20, max_members=50))
        print("done")
    except InputError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_bombs_take_neither_memory_nor_time(tmp_path: Path) -> None:
    names = []
    for number, make in enumerate(BOMBS.values()):
        names.append(f"a{number}")
        (tmp_path / names[-1]).write_bytes(make())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *names],
        cwd=Path(__file__).parents[4], capture_output=True, text=True, timeout=CHILD_S, check=True,
    )  # fmt: skip
    *said, mebibytes = done.stdout.splitlines()
    assert len(said) == len(BOMBS) and all(
        "unpacks to more than" in line or "more than 50 members" in line for line in said
    )
    assert int(mebibytes) < 64
