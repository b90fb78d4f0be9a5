"""What is found in a folder of models."""

from pathlib import Path

import pytest

from serving_image.faults import NotFoundError
from serving_image.repository import Repository


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_versions_are_numbers_and_the_latest_is_the_default(tmp_path: Path) -> None:
    found = Repository(folders(tmp_path, "a/2", "a/10", "a/9", "a/x", "a/0", "a/..data", "b/1"))
    assert found.versions("a") == ["2", "9", "10"]
    assert found.entry("a").version == "10"
    assert found.entry("a", "9").folder == tmp_path / "a/9"
    assert [entry.title for entry in found.entries()][-1] == "model 'b' version 1"
    assert found.fault == ""


def test_what_is_no_model_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = Repository(folders(tmp_path, ".hidden/1", "lost+found", "a/1"))
    assert list(found.models) == ["a"]


@pytest.mark.parametrize(
    ("names", "folder", "fault"),
    [((), "", "holds no models; expected <name>/<version>/model.xml"), ((), "none", "no such file or directory")],
)
def test_faults_of_the_folder(tmp_path: Path, names: tuple[str, ...], folder: str, fault: str) -> None:
    found = Repository(folders(tmp_path, *names) / folder)
    assert fault in found.fault
    assert found.entries() == []


def test_unknown_names_are_told_with_those_there_are(tmp_path: Path) -> None:
    found = Repository(folders(tmp_path, "a/1", "a/2"))
    with pytest.raises(NotFoundError, match="no model 'b'; there are a"):
        found.entry("b")
    with pytest.raises(NotFoundError, match="no version '3' of model 'a'; there are 1, 2"):
        found.entry("a", "3")
