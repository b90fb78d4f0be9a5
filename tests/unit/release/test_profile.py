"""Site profiles: those that come with nearedge, and a user's own."""

from pathlib import Path
from typing import get_args

import pytest

from nearedge import catalog
from nearedge.errors import InputError
from nearedge.release import profile

NAMES = sorted(path.stem for path in (catalog.root() / "manifests" / "profiles").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_ours_add_up(name: str) -> None:
    read = profile.read(name)
    assert read.name == name
    assert read.platform.cpu + read.model.cpu <= read.node.cpu
    assert read.platform.memory_mib + read.model.memory_mib <= read.node.memory_mib
    assert read.threads >= 1


def test_the_three_that_the_documentation_names_are_there() -> None:
    assert NAMES == ["microshift-small", "sno-medium", "sno-small"]


def test_one_of_your_own(tmp_path: Path) -> None:
    text = (catalog.root() / "manifests" / "profiles" / "sno-small.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("name: sno-small", "name: mine"))
    assert profile.read("mine.yaml", tmp_path).name == "mine"


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "not YAML"), ("name: x", "Field required"), ("node: {cpu: 0}", "mine.yaml")]
)
def test_faulty_ones(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        profile.read("mine.yaml", tmp_path)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(InputError, match="microshift-small, sno-medium, sno-small"):
        profile.read("no-such")


def test_instruction_sets_are_all_named() -> None:
    assert set(profile.INSTRUCTION_SETS) == set(get_args(profile.InstructionSet))
