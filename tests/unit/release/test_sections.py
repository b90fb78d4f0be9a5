"""Sections: written by rename, read strictly."""

import json
from pathlib import Path

import pytest

from nearedge.errors import InputError, UnsupportedError
from nearedge.release import sections
from nearedge.release.sections import ConversionSection, SourceSection

SOURCE = SourceSection(
    name="digits",
    version="1",
    format="pt2",
    framework="pytorch",
    sha256="a" * 64,
    size_bytes=10,
    description_sha256="b" * 64,
    data_sha256="",
    origin="model.yaml",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = sections.write(tmp_path, SOURCE)
    assert path == tmp_path / "release" / "source.json"
    assert sections.read(tmp_path, SourceSection) == SOURCE
    assert sections.read_optional(tmp_path, ConversionSection) is None
    assert [file.name for file in path.parent.iterdir()] == ["source.json"]


def test_a_missing_one_says_what_has_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"release/conversion.json: missing"):
        sections.read(tmp_path, ConversionSection)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"extra": 1}, "extra: unknown key"), ({"name": None}, "name"), ({"format": "pickle"}, "format")],
)
def test_a_section_that_is_not_as_it_should_be(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = sections.write(tmp_path, SOURCE)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=words):
        sections.read(tmp_path, SourceSection)


def test_every_field_is_required(tmp_path: Path) -> None:
    path = sections.write(tmp_path, SOURCE)
    whole = json.loads(path.read_text())
    for field in set(whole) - {"schema_version", "code_sha256", "rebuilt"}:  # older ones had neither
        path.write_text(json.dumps({key: value for key, value in whole.items() if key != field}))
        with pytest.raises(InputError, match=field):
            sections.read(tmp_path, SourceSection)


def test_a_newer_one_is_refused_and_damage_is_named(tmp_path: Path) -> None:
    path = sections.write(tmp_path, SOURCE)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(UnsupportedError, match="schema_version 9 is newer"):
        sections.read(tmp_path, SourceSection)
    path.write_text("[]")
    with pytest.raises(InputError, match="no JSON object"):
        sections.read(tmp_path, SourceSection)
    path.write_bytes(b'{"name": "dig')
    with pytest.raises(InputError, match="not JSON"):
        sections.read(tmp_path, SourceSection)


def test_clear_removes_only_what_is_named(tmp_path: Path) -> None:
    sections.write(tmp_path, SOURCE)
    sections.clear(tmp_path, ConversionSection)
    assert sections.read_optional(tmp_path, SourceSection) == SOURCE
    sections.clear(tmp_path, SourceSection)
    assert sections.read_optional(tmp_path, SourceSection) is None
