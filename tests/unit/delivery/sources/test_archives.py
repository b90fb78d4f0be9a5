"""Archives of strangers: what is well is unpacked, what is not leaves nothing outside."""

import gzip
import io
import random
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearedge.delivery.sources.archives import Limits, extract, is_archive
from nearedge.errors import InputError, UnsupportedError

LIMITS = Limits(max_bytes=10_000, max_members=20)


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # the mode is a parameter here
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o4777
    return info


def zip_of(path: Path, members: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_unpacked_without_its_modes(tmp_path: Path, mode: str) -> None:
    members = [(member("a", tarfile.DIRTYPE), b""), (member("a/model.yaml"), b"schema: 1"), (member("./b"), b"x" * 999)]
    path = tar_of(tmp_path / "archive", members, mode)
    assert is_archive(path)
    into = tmp_path / "into"
    into.mkdir()
    extract(path, into, LIMITS)
    assert (into / "a" / "model.yaml").read_bytes() == b"schema: 1"
    assert (into / "b").read_bytes() == b"x" * 999
    assert not (into / "b").stat().st_mode & (stat.S_ISUID | stat.S_IWOTH)


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "archive", {"m/": b"", "m/model.yaml": b"schema: 1", "m/deep/er/x": b"1"})
    assert is_archive(path)
    extract(path, tmp_path / "into", LIMITS)
    assert (tmp_path / "into" / "m" / "deep" / "er" / "x").read_bytes() == b"1"


@pytest.mark.parametrize("content", [b"", b"schema: 1\nname: digits\n", b"\x1f\x8b", b"PK\x03\x04", b"\0" * 2048])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert not is_archive(path)


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tar ..": (lambda p: tar_of(p, [(member("a/../../x"), b"1")]), "leads out"),
    "tar absolute": (lambda p: tar_of(p, [(member("/etc/x"), b"1")]), "leads out"),
    "tar symbolic link": (lambda p: tar_of(p, [(member("x", tarfile.SYMTYPE, "/etc"), b"")]), "is a link"),
    "tar hard link": (lambda p: tar_of(p, [(member("x", tarfile.LNKTYPE, "y"), b"")]), "is a link"),
    "tar device": (lambda p: tar_of(p, [(member("x", tarfile.CHRTYPE), b"")]), "is a link or a device"),
    "tar fifo": (lambda p: tar_of(p, [(member("x", tarfile.FIFOTYPE), b"")]), "is a link or a device"),
    "tar twice": (lambda p: tar_of(p, [(member("x"), b"1"), (member("./x"), b"2")]), "comes twice"),
    "tar file as folder": (lambda p: tar_of(p, [(member("x"), b"1"), (member("x/y"), b"2")]), "which is a file"),
    "tar folder as file": (lambda p: tar_of(p, [(member("x/y"), b"1"), (member("x"), b"2")]), "comes twice"),
    "tar folder on file": (
        lambda p: tar_of(p, [(member("x"), b"1"), (member("x", tarfile.DIRTYPE), b"")]),
        "comes twice",
    ),
    "tar many": (lambda p: tar_of(p, [(member(str(n)), b"") for n in range(21)]), "more than 20 members"),
    "tar large": (lambda p: tar_of(p, [(member("x"), b"0" * 10_001)], "w:gz"), "more than 10000 bytes"),
    "tar sum": (lambda p: tar_of(p, [(member(str(n)), b"0" * 2500) for n in range(5)]), "more than 10000 bytes"),
    "tar control": (lambda p: tar_of(p, [(member("a\nb"), b"1")]), "no name"),
    "tar long": (lambda p: tar_of(p, [(member("a" * 256), b"1")]), "no name"),
    "tar empty": (lambda p: tar_of(p, [(member("./"), b"1")]), "no name of a file"),
    "zip empty": (lambda p: zip_of(p, {"": b"1"}), "no name of a file"),
    "zip ..": (lambda p: zip_of(p, {"../x": b"1"}), "leads out"),
    "zip absolute": (lambda p: zip_of(p, {"/x": b"1"}), "leads out"),
    "zip backslash": (lambda p: zip_of(p, {"..\\x": b"1"}), "no name"),
    "zip link": (lambda p: zip_of(p, {"x": b"/etc"}, stat.S_IFLNK | 0o777), "is a link"),
    "zip device": (lambda p: zip_of(p, {"x": b""}, stat.S_IFBLK | 0o777), "is a link or a device"),
    "zip bomb": (lambda p: zip_of(p, {"x": b"0" * 1_000_000}), "more than 10000 bytes"),
    "zip many": (lambda p: zip_of(p, {str(n): b"" for n in range(21)}), "more than 20 members"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_ones_are_refused(tmp_path: Path, name: str) -> None:
    make, words = HOSTILE[name]
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    with pytest.raises(InputError, match=words):
        extract(make(tmp_path / "archive"), into, LIMITS)
    everything = sorted(path.name for path in tmp_path.rglob("*") if not path.is_relative_to(into))
    assert everything == ["archive", "deep"]
    assert not any(path.is_symlink() for path in into.rglob("*"))


def test_a_header_that_claims_to_be_huge_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    path = tmp_path / "archive"
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf() + b"\0" * 4096)
    assert not is_archive(path)
    with pytest.raises(InputError, match="larger than 1 MiB"):
        extract(path, tmp_path / "into", LIMITS)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_truncated_one_is_damaged(tmp_path: Path, mode: str) -> None:

    content = random.Random(0).randbytes(9000)
    path = tar_of(tmp_path / "archive", [(member("x"), content)], mode)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(InputError, match="is damaged or no archive"):
        extract(path, tmp_path / "into", LIMITS)


def test_a_flipped_bit_in_a_zip_is_damage(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "archive", {"x": b"abcdefgh" * 9})
    raw = bytearray(path.read_bytes())
    raw[36] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(InputError, match="is damaged"):
        extract(path, tmp_path / "into", LIMITS)


def test_an_encrypted_zip_is_not_supported(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "archive", {"x": b"1"})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(UnsupportedError, match="encrypted"):
        extract(path, tmp_path / "into", LIMITS)


def test_an_unknown_compression_is_not_supported(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "archive", {"x": b"1"})
    raw = bytearray(path.read_bytes())
    raw[8] = raw[raw.index(b"PK\x01\x02") + 10] = 97
    path.write_bytes(raw)
    with pytest.raises(UnsupportedError, match="use deflate"):
        extract(path, tmp_path / "into", LIMITS)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("ab./\\\0~ \né"), min_size=1, max_size=12),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_no_name_leads_out(names: list[str], zipped: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "deep" / "into"
        into.mkdir(parents=True)
        path = Path(folder) / "archive"
        try:
            if zipped:
                with zipfile.ZipFile(path, "w") as archive:
                    for name in dict.fromkeys(zipfile.ZipInfo(name).filename for name in names):
                        archive.writestr(zipfile.ZipInfo(name), b"1")
            else:
                tar_of(path, [(member(name), b"1") for name in names])
            extract(path, into, LIMITS)
        except InputError:
            pass
        outside = [found for found in Path(folder).rglob("*") if not found.is_relative_to(into)]
        assert sorted(found.name for found in outside) == ["archive", "deep"]
