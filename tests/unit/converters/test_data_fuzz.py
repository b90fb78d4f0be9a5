"""Damaged and hostile data files: what is read is right, all else is one InputError, within memory and time.

Bounded: a seeded number of examples of each reader. Memory is what Python and numpy allocate, by tracemalloc.
"""

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from converters import numpy_files, samples
from nearedge.errors import InputError
from nearedge.release.description import Description

MOST_MEMORY = 64 << 20
"""Bytes that reading a file of a few kilobytes may take; a head that is believed would ask for far more."""
bounded = settings(
    max_examples=35,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def describe(path, **data):
    pictures = path == "pictures"
    one = {"name": "x", "shape": [-1, 3, -1, -1] if pictures else [-1, 3], "dtype": "FP32"}
    one |= {"layout": "NCHW"} if pictures else {}
    return Description.model_validate(
        {
            "schema": 1, "name": "m", "source": {"path": "m"}, "inputs": [one], "outputs": [{"name": "y"}],
            "data": {"path": path, **data},
        }
    )  # fmt: skip


def encoded(kind):
    """A small valid file of that kind."""
    memory = io.BytesIO()
    if kind in ("PNG", "JPEG"):
        Image.fromarray(np.arange(12 * 10 * 3, dtype="u1").reshape(12, 10, 3)).save(memory, kind)
    elif kind == "npy":
        np.save(memory, np.ones((4, 3), "f4"))
    else:
        np.savez_compressed(memory, x=np.ones((4, 3), "f4"), y=np.arange(4))
    return memory.getvalue()


CSV = b'a,b,c,y\n1,2,3,0\n4,"5",6,1\n'
VALID = {"PNG": encoded("PNG"), "JPEG": encoded("JPEG"), "npy": encoded("npy"), "npz": encoded("npz"), "csv": CSV}
PLACES = {"PNG": "pictures/a", "JPEG": "pictures/a", "npy": "arrays/x.npy", "npz": "d.npz", "csv": "d.csv"}
LABELS = {"npz": "y", "csv": "y"}


@st.composite
def damaged(draw, content):
    """`content` with a few pieces replaced, removed or put in, and perhaps cut off."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        piece = draw(
            st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, b"9" * 12, b"\0", b'"']))
        )
        found[at : at + draw(st.integers(0, 8))] = piece
    return bytes(found[: draw(st.one_of(st.just(len(found)), st.integers(0, len(found))))])


def read(tmp_path, kind, content):
    """What samples find in a file of that content: rows, or the message; memory is held to the cap."""
    file = tmp_path / PLACES[kind]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    described = describe(PLACES[kind].split("/")[0], **({"labels": LABELS[kind]} if kind in LABELS else {}))
    tracemalloc.start()
    try:
        found = samples.evaluation(described, tmp_path)
        return [feed["x"].shape for feed in found.feeds]
    except InputError as error:
        return str(error)
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < MOST_MEMORY


@pytest.mark.parametrize("kind", VALID)
def test_the_files_that_are_damaged_were_good(tmp_path, kind):
    shapes = read(tmp_path, kind, VALID[kind])
    assert shapes == ([(1, 3, 12, 10)] if kind in ("PNG", "JPEG") else [(1, 3)] * (2 if kind == "csv" else 4))


@pytest.mark.parametrize("kind", VALID)
@bounded
@given(data=st.data())
def test_damage_is_read_or_refused_in_one_line(tmp_path, kind, data):
    content = data.draw(damaged(VALID[kind]))
    found = read(tmp_path, kind, content)
    assert isinstance(found, list) or ("\n" not in found and len(found) < 500 + len(str(tmp_path)))


@pytest.mark.parametrize("kind", VALID)
@bounded
@given(content=st.binary(max_size=300))
def test_noise_is_refused_in_one_line(tmp_path, kind, content):
    found = read(tmp_path, kind, content)
    assert isinstance(found, str) and "\n" not in found


def npy(head):
    """An .npy of that head and sixteen bytes of data."""
    text = head.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(16)


HEADS = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1, 3)}",
    "{'descr': '|V2000000000', 'fortran_order': False, 'shape': (1, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 3)}",
    "{'descr': '<f4', 'fortran_order': False}", "__import__('os').system('true')", "(" * 60, "{'a': " * 15,
]  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_heads_that_lie_are_not_believed(tmp_path, head):
    assert isinstance(read(tmp_path, "npy", npy(head)), str)
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("x.npy", npy(head))
        archive.writestr("y.npy", npy(head))
    assert isinstance(read(tmp_path, "npz", memory.getvalue()), str)


@pytest.mark.parametrize("version", [b"\x00\x01", b"\x02\x00", b"\x03\x00", b"\x09\x00"])
def test_a_head_without_end_is_not_read(tmp_path, version):
    content = b"\x93NUMPY" + version + b"\xff\xff\xff\x7f" + bytes(100)
    assert "damaged" in read(tmp_path, "npy", content)


def test_names_do_not_break_the_line(tmp_path):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("a\nb.npy", VALID["npy"])
    assert read(tmp_path, "npz", memory.getvalue()).endswith("no array 'x'; there are: a b")
    assert read(tmp_path, "csv", b'"a,\nb",c\n1,2\n').endswith("no column 'y'; there are: a, b, c")


def test_an_archive_that_unpacks_to_more_than_the_cap_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_files, "MOST_BYTES", 1 << 20)
    memory = io.BytesIO()
    np.savez_compressed(memory, x=np.zeros((1 << 20, 3), "f4"), y=np.zeros(1 << 20, "u1"))
    assert len(memory.getvalue()) < 1 << 17
    assert "unpacks to more than 1048576 bytes" in read(tmp_path, "npz", memory.getvalue())


def test_a_member_that_is_larger_than_it_says_is_cut_off(tmp_path):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(HEADS[0].replace("100000000000", "50000000")) + bytes(100 << 20))
        archive.writestr("y.npy", npy(HEADS[0]))
    content = memory.getvalue()
    size = struct.pack("<I", archive.getinfo("x.npy").file_size)
    assert isinstance(read(tmp_path, "npz", content.replace(size, struct.pack("<I", 200))), str)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_compressed_chunk_of_a_png_does_not_unpack_to_any_size(tmp_path, kind):
    body = b"a\0\0" + zlib.compress(bytes(80 << 20))
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    content = VALID["PNG"][:33] + chunk + VALID["PNG"][33:]
    found = read(tmp_path, "PNG", content)
    assert isinstance(found, str) or found == [(1, 3, 12, 10)]
