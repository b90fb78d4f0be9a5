"""Files that appear whole or not at all."""

import hashlib
from pathlib import Path

import pytest

from nearedge import files
from nearedge.errors import InputError


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    files.write_text(path, "one")
    files.write_text(path, "zwei ü")
    assert path.read_text(encoding="utf-8") == "zwei ü"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def refuse(_: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_a_new_directory_replaces_the_old_one_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "ir"
    with files.new_directory(target) as building:
        (building / "a").write_text("1")
    with pytest.raises(RuntimeError, match="half"), files.new_directory(target) as building:
        (building / "b").write_text("2")
        raise RuntimeError("half")
    assert [file.name for file in target.iterdir()] == ["a"]
    with files.new_directory(target) as building:
        (building / "c").write_text("3")
    assert [file.name for file in target.iterdir()] == ["c"]
    assert [file.name for file in tmp_path.iterdir()] == ["ir"]


def test_digests_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "a").write_bytes(b"abc")
    (tmp_path / "tree" / "sub" / "b").write_bytes(b"defg")
    assert files.sha256_file(tmp_path / "tree" / "a") == hashlib.sha256(b"abc").hexdigest()
    assert files.sha256_tree(tmp_path / "tree" / "a") == hashlib.sha256(b"abc").hexdigest()
    before = files.sha256_tree(tmp_path / "tree")
    assert files.size_of(tmp_path / "tree") == 7
    assert files.size_of(tmp_path / "tree" / "a") == 3
    (tmp_path / "tree" / "sub" / "b").rename(tmp_path / "tree" / "sub" / "c")
    assert files.sha256_tree(tmp_path / "tree") != before


def test_inside(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    assert files.inside(tmp_path, "a/../b") == tmp_path / "b"
    for outside in ("..", "/etc/passwd", "a/../../b", "link/passwd"):
        with pytest.raises(InputError, match="leads out of"):
            files.inside(tmp_path, outside)
