"""Unpacking layers, whiteouts, and layers made to do harm."""

import fcntl
import gzip
import os
import stat
import sys
import tarfile
import threading

import pytest

from nearedge.errors import InputError, UnsupportedError
from nearedge.runner import layers, layouts, rootfs, unpack

DIR = {"type": tarfile.DIRTYPE, "mode": 0o755}
AS_ROOT = os.geteuid() == 0


def link(target, kind=tarfile.SYMTYPE):
    return {"type": kind, "linkname": target}


def unpacked(layout, tmp_path, *tars, only="", **how):
    layout.image(list(tars), "t", **how)
    return unpack.unpacked(layouts.find("oci:image:t", [tmp_path]), tmp_path / "cache", only) / "rootfs"


def listing(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_layers_are_applied_in_order(layout, make_tar, tmp_path):
    first = make_tar(
        ("./", None, DIR),
        ("bin", None, link("usr/bin")),
        ("usr/bin", None, DIR),
        ("usr/bin/tool", b"old", {"mode": 0o755}),
        ("etc/gone", b"x", {}),
        ("etc/kept", b"x", {}),
        ("opaque/lower", b"x", {}),
        ("opaque/sub/lower", b"x", {}),
        ("folder/file", b"x", {}),
        ("was-file", b"x", {}),
    )
    second = make_tar(
        ("bin/tool", b"new", {"mode": 0o750}),
        ("bin/same", None, link("usr/bin/tool", tarfile.LNKTYPE)),
        ("etc/.wh.gone", b"", {}),
        ("opaque/sub/upper", b"y", {}),
        ("opaque/.wh..wh..opq", b"", {}),
        ("folder", b"now a file", {}),
        ("was-file/inner", b"y", {}),
        ("loop", None, link("loop")),
    )
    root = unpacked(layout, tmp_path, first, second)
    assert listing(root) == [
        "bin", "etc", "etc/kept", "folder", "loop", "opaque", "opaque/sub", "opaque/sub/upper",
        "usr", "usr/bin", "usr/bin/same", "usr/bin/tool", "was-file", "was-file/inner",
    ]  # fmt: skip
    assert (root / "bin/tool").read_bytes() == b"new"
    assert stat.S_IMODE((root / "bin/same").stat().st_mode) == 0o750
    assert (root / "usr/bin/same").samefile(root / "usr/bin/tool")


def test_a_layer_does_not_hide_what_it_brings(layout, make_tar, tmp_path):
    root = unpacked(layout, tmp_path, make_tar(("a", b"1", {}), (".wh.a", b"", {}), (".wh..wh..opq", b"", {})))
    assert listing(root) == ["a"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../out", b"x", {})], "leads out of the image"),
        ([("a/../../out", b"x", {})], "leads out of the image"),
        ([("/etc/passwd", b"x", {})], "leads out of the image"),
        ([("a/b", None, link("../../../out"))], "'a/b' leads out"),
        ([("a", None, link("/etc/passwd", tarfile.LNKTYPE))], "'a' leads out"),
        ([("a", None, link("../x", tarfile.LNKTYPE))], "'a' leads out"),
        ([("a", None, link("absent", tarfile.LNKTYPE))], "is no file"),
        ([("s", None, link("/etc/passwd")), ("a", None, link("s", tarfile.LNKTYPE))], "is no file"),
        ([("d/.wh...", b"", {})], "whiteout"),
        ([("d/.wh.", b"", {})], "whiteout"),
        ([("l", None, link("l")), ("l/x", b"", {})], "round in circles"),
        ([("odd", b"", {"type": b"Z"})], "unknown kind"),
    ],
)
def test_a_hostile_layer_is_refused_and_nothing_is_left(layout, make_tar, tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        unpacked(layout, tmp_path, make_tar(*entries))
    assert [path.name for path in (tmp_path / "cache").iterdir() if not path.name.endswith(".lock")] == []
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_through_a_link(layout, make_tar, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    first = make_tar(("door", None, link(str(outside))), ("up", None, link("/")), ("f", None, link(f"{outside}/f")))
    second = make_tar(("door/x", b"1", {}), ("up/y", b"2", {}), ("f", b"3", {}))
    root = unpacked(layout, tmp_path, first, second)
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "x").read_bytes() == b"1"
    assert (root / "y").read_bytes() == b"2"
    assert not (root / "f").is_symlink()


def test_devices_and_setuid_are_left_out(layout, make_tar, tmp_path):
    root = unpacked(
        layout,
        tmp_path,
        make_tar(
            ("dev/null", None, {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
            ("dev/disk", None, {"type": tarfile.BLKTYPE}),
            ("pipe", None, {"type": tarfile.FIFOTYPE}),
            ("su", b"x", {"mode": 0o6755, "uid": 7, "gid": 8}),
            ("tmp", None, {**DIR, "mode": 0o1777}),
            ("closed", None, {**DIR, "mode": 0o555}),
            ("closed/file", b"x", {}),
        ),
    )
    assert listing(root) == ["closed", "closed/file", "dev", "su", "tmp"]
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((root / "closed").stat().st_mode) == (0o555 if AS_ROOT else 0o755)
    if AS_ROOT:
        assert ((root / "su").stat().st_uid, (root / "su").stat().st_gid) == (7, 8)


def test_it_is_unpacked_once_even_by_two_at_a_time(layout, make_tar, tmp_path):
    layout.image([make_tar(("a", b"1", {}))], "t")
    image = layouts.find("oci:image:t", [tmp_path])
    places = []
    threads = [threading.Thread(target=lambda: places.append(unpack.unpacked(image, tmp_path / "c"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    inodes = {place.stat().st_ino for place in places}
    assert (len(places), len(inodes), places[0].name) == (4, 1, image.digest[7:])
    assert unpack.unpacked(image, tmp_path / "c").stat().st_ino in inodes


def test_only_one_folder_of_the_image(layout, make_tar, tmp_path):
    first = make_tar(("usr/lib", b"x", {}), ("models/a", b"1", {}), ("models/b", b"1", {}))
    second = make_tar(("models/.wh.a", b"", {}), (".wh.usr", b"", {}))
    assert listing(unpacked(layout, tmp_path, first, second, only="models")) == ["models", "models/b"]


def test_layers_without_compression(layout, make_tar, tmp_path):
    assert listing(unpacked(layout, tmp_path, make_tar(("a", b"1", {})), compress=bytes, kind="")) == ["a"]


def test_zstd_layers_where_python_can_read_them(layout, make_tar, tmp_path):
    try:
        from compression import zstd
    except ImportError:
        try:
            import zstandard as zstd
        except ImportError:
            with pytest.raises(UnsupportedError, match="zstandard; install it"):
                unpacked(layout, tmp_path, make_tar(), kind="+zstd")
            return
    assert listing(unpacked(layout, tmp_path, make_tar(("a", b"1", {})), compress=zstd.compress, kind="+zstd")) == ["a"]


def test_other_compressions_are_not_supported(layout, make_tar, tmp_path):
    with pytest.raises(UnsupportedError, match="not a tar"):
        unpacked(layout, tmp_path, make_tar(), kind="+xz")


@pytest.mark.parametrize("isal", [True, False])
@pytest.mark.parametrize("how", ["missing", "changed", "truncated", "trailing", "not-gzip", "not-tar", "diff-id"])
def test_a_damaged_layer_is_refused(layout, make_tar, tmp_path, monkeypatch, how, isal):
    if not isal:
        monkeypatch.setitem(sys.modules, "isal.igzip", None)
    tar = make_tar(("a", b"1" * 5000, {}))
    squeeze = {
        "truncated": lambda content: gzip.compress(content)[:-20],
        "trailing": lambda content: gzip.compress(content) + b"rubbish",
        "not-gzip": bytes,
        "diff-id": lambda content: gzip.compress(content + bytes(512)),
    }.get(how, gzip.compress)
    tar = b"no tar" * 200 if how == "not-tar" else tar
    layout.image([tar], "t", compress=squeeze)
    image = layouts.find("oci:image:t", [tmp_path])
    path = layouts.blob_path(image.folder, image.manifest.layers[0].digest)
    if how == "missing":
        path.unlink()
    if how == "changed":
        path.write_bytes(gzip.compress(tar.replace(b"1", b"2")))
    with pytest.raises(InputError, match=r"lacks|damaged|digest|diff_id"):
        unpack.unpacked(image, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("[!.]*"))


def test_bombs_are_refused(layout, make_tar, tmp_path, monkeypatch):
    monkeypatch.setattr(rootfs, "BYTES_LIMIT", 100_000)
    with pytest.raises(InputError, match="unpacks to more than 100000 bytes"):
        unpacked(layout, tmp_path, make_tar(("zeros", bytes(1 << 20), {})))


def test_too_many_files_are_refused(layout, make_tar, tmp_path, monkeypatch):
    monkeypatch.setattr(rootfs, "ENTRIES_LIMIT", 3)
    with pytest.raises(InputError, match="more than 3 files"):
        unpacked(layout, tmp_path, make_tar(*((f"f{number}", b"", {}) for number in range(5))))


def test_a_header_that_would_fill_the_memory_is_refused(layout, make_tar, tmp_path, monkeypatch):
    monkeypatch.setattr(rootfs, "HEADER_LIMIT", 1 << 19)
    with pytest.raises(InputError, match="absurd size"):
        unpacked(layout, tmp_path, make_tar(("big", b"", {"pax_headers": {"comment": "x" * (1 << 20)}})))


def test_a_layer_may_not_be_larger_than_it_says(layout, make_tar, tmp_path):
    layout.image([make_tar(("a", b"1", {}))], "t")
    image = layouts.find("oci:image:t", [tmp_path])
    image.manifest.layers[0].size += 1
    tar = (tmp_path / "tar").open("wb")
    with tar, pytest.raises(InputError, match="not what its digest says"):
        layers.decompress(image.folder, image.manifest.layers[0], image.config.rootfs.diff_ids[0], tar, 1 << 20)


def of_ours(layout, tmp_path, tars, tag):
    layout.image(tars, tag, Labels={"io.nearedge.runtime": "1"})
    return layouts.find(f"oci:image:{tag}", [tmp_path])


def test_the_next_model_is_put_on_the_base_that_is_unpacked(layout, make_tar, tmp_path, monkeypatch):
    base = [
        make_tar(("usr", None, DIR), ("usr/python", b"py", {"mode": 0o755}), ("own", None, {**DIR, "uid": 7})),
        make_tar(("usr/lib", b"lib", {}), ("models", None, DIR)),
    ]
    first = of_ours(
        layout, tmp_path, [*base, make_tar(("models/m/1", b"1", {})), make_tar(("models/m/r", b"1", {}))], "a"
    )
    second = of_ours(layout, tmp_path, [*base, make_tar(("models/m/2", b"2", {}), ("usr/.wh.lib", b"", {}))], "b")
    cache = tmp_path / "cache"
    one = unpack.unpacked(first, cache) / "rootfs"
    asked = []
    monkeypatch.setattr(unpack, "decompress", lambda *given: asked.append(given[1]) or layers.decompress(*given))
    two = unpack.unpacked(second, cache) / "rootfs"
    assert len(asked) == 1
    assert listing(one) == ["models", "models/m", "models/m/1", "models/m/r", "own", "usr", "usr/lib", "usr/python"]
    assert listing(two) == ["models", "models/m", "models/m/2", "own", "usr", "usr/python"]
    assert (one / "usr/python").samefile(two / "usr/python")
    if AS_ROOT:
        assert (two / "own").stat().st_uid == 7
    chain = unpack.chain_ids(first.config.rootfs.diff_ids)[1]
    assert listing(cache / chain / "rootfs") == ["models", "own", "usr", "usr/lib", "usr/python"]


def test_a_model_that_replaces_a_file_of_the_base_changes_its_own_image_only(layout, make_tar, tmp_path):
    base = make_tar(("models/shared", b"base", {}), ("usr", b"x", {}))
    first = of_ours(layout, tmp_path, [base, make_tar(("models/a", b"a", {}))], "a")
    second = of_ours(layout, tmp_path, [base, make_tar(("models/shared", b"mine", {"mode": 0o600}))], "b")
    one, two = (unpack.unpacked(image, tmp_path / "cache") / "rootfs/models/shared" for image in (first, second))
    assert (one.read_bytes(), two.read_bytes()) == (b"base", b"mine")
    assert stat.S_IMODE(one.stat().st_mode) == 0o644


def test_old_images_are_forgotten_but_not_one_in_use(layout, make_tar, tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "KEEP", 2)
    places = []

    def add():
        layout.image([make_tar((f"f{len(places)}", b"", {}))], str(len(places)))
        image = layouts.find(f"oci:image:{len(places)}", [tmp_path])
        places.append(unpack.unpacked(image, tmp_path / "cache"))
        os.utime(places[-1], (len(places), len(places)))
        return [place.is_dir() for place in places]

    assert add() == [True]
    assert add() == [True, True]
    with unpack.locked(unpack.lock(places[0]), fcntl.LOCK_SH):
        assert add() == [True, True, True]
        assert unpack.unpacked(layouts.find("oci:image:0", [tmp_path]), tmp_path / "cache") == places[0]
        os.utime(places[0], (0, 0))
    assert add() == [False, False, True, True]
