"""What belongs to a model is copied, whole and nothing else; what leads astray is refused."""

import hashlib
import os
from pathlib import Path

import pytest

from nearedge.delivery.sources.fetch import Collected, Place, collect, digest, find_description
from nearedge.errors import InputError
from nearedge.files import sha256_file, sha256_tree

MODEL = """\
schema: 1
name: digits
source: {{path: {source}}}
inputs: [{{name: image, shape: [-1, 4], dtype: FP32}}]
outputs: [{{name: logits}}]
data: {{path: {data}}}
target: {{profile: {profile}}}
"""
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with a model file, one that belongs to it, a model folder, data, and a file that is nobody's."""
    root = tmp_path / "given"
    (root / "m" / "saved" / "variables").mkdir(parents=True)
    (root / "m" / "saved" / "saved_model.pb").write_bytes(b"graph")
    (root / "m" / "saved" / "variables" / "v").write_bytes(b"values")
    (root / "m" / "data").mkdir()
    (root / "m" / "data" / "image.npy").write_bytes(b"pictures")
    for name in ("model.onnx", "model.onnx.data", "nobodys"):
        (root / "m" / name).write_bytes(name.encode())
    (root / "outside").write_bytes(b"secret")
    place = Place(root, root / "m" / "model.yaml", "here")
    write(place)
    return place


def write(place: Place, source: str = "model.onnx", data: str = "data", profile: str = "microshift-small") -> None:
    place.description.write_text(MODEL.format(source=source, data=data, profile=profile))


def collected(place: Place, tmp_path: Path, companions: tuple[str, ...] = (), cap: int = 10_000) -> Collected:
    into = tmp_path / "into"
    into.mkdir()
    return collect(place, into, lambda _: list(companions), cap)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_and_its_data(place: Place, tmp_path: Path) -> None:
    found = collected(place, tmp_path)
    assert names(tmp_path / "into") == ["data/image.npy", "model.onnx", "model.yaml"]
    assert (tmp_path / "into" / "model.yaml").read_bytes() == place.description.read_bytes()
    assert found.description.name == "digits"
    assert found.model == tmp_path / "into" / "model.onnx"
    assert found.sha256 == sha256_file(found.model)
    assert found.size_bytes == 10
    assert found.data_sha256 == sha256_tree(place.root / "m" / "data")


def test_a_file_with_others_that_belong_to_it(place: Place, tmp_path: Path) -> None:
    found = collected(place, tmp_path, ("model.onnx.data",))
    assert "model.onnx.data" in names(tmp_path / "into")
    assert found.size_bytes == 25
    (alone := tmp_path / "alone").mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        (alone / name).write_bytes((place.root / "m" / name).read_bytes())
    assert found.sha256 == sha256_tree(alone)
    (place.root / "m" / "model.onnx.data").write_bytes(b"other weight..")
    (tmp_path / "again").mkdir()
    assert collected(place, tmp_path / "again", ("model.onnx.data",)).sha256 != found.sha256


def test_a_folder_and_a_profile_of_ones_own(place: Place, tmp_path: Path) -> None:
    (place.root / "m" / "site.yaml").write_text("name: mine\n")
    write(place, "saved/", "model.onnx", "site.yaml")
    found = collected(place, tmp_path, ("never asked for a folder",))
    inside = ["model.onnx", "model.yaml", "saved/saved_model.pb", "saved/variables/v", "site.yaml"]
    assert names(tmp_path / "into") == inside
    assert found.sha256 == sha256_tree(place.root / "m" / "saved")
    assert found.size_bytes == 11


def test_data_inside_the_models_folder_and_links_inside(place: Place, tmp_path: Path) -> None:
    (place.root / "m" / "saved" / "linked").symlink_to("../model.onnx")
    write(place, "saved", "saved/variables/v")
    collected(place, tmp_path)
    assert not (tmp_path / "into" / "saved" / "linked").is_symlink()
    assert (tmp_path / "into" / "saved" / "linked").read_bytes() == b"model.onnx"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", ".", "data/../../outside", ""])
def test_a_path_that_leads_out(place: Place, tmp_path: Path, path: str) -> None:
    write(place, f"'{path}'")
    with pytest.raises(InputError, match=r"source.path: .* does not lie beside or below model.yaml"):
        collected(place, tmp_path)


def link_out(folder: Path) -> None:
    (folder / "x").symlink_to("/etc/passwd")


def link_to_folder(folder: Path) -> None:
    (folder / "x").symlink_to("variables")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "x")


def pointer(folder: Path) -> None:
    (folder / "x").write_text(POINTER)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (link_out, "'m/saved/x' is a link that leads out"),
        (link_to_folder, "'m/saved/x' is a link to a folder"),
        (pipe, "'m/saved/x' is no file"),
        (pointer, "x: is a Git LFS pointer"),
    ],
)
def test_a_folder_that_holds_what_it_should_not(place: Place, tmp_path: Path, spoil, words: str) -> None:
    spoil(place.root / "m" / "saved")
    write(place, "saved")
    with pytest.raises(InputError, match=words):
        collected(place, tmp_path)


def test_a_linked_model_that_leads_out(place: Place, tmp_path: Path) -> None:
    (place.root / "m" / "x").symlink_to("/etc/passwd")
    write(place, "x")
    with pytest.raises(InputError, match="leads out"):
        collected(place, tmp_path)


def test_what_is_missing_is_named(place: Place, tmp_path: Path) -> None:
    write(place, data="none.npz")
    with pytest.raises(InputError, match=r"data.path: no file or folder 'none.npz' beside here"):
        collected(place, tmp_path)
    (tmp_path / "again").mkdir()
    write(place)
    with pytest.raises(InputError, match=r"model.onnx needs: no file or folder 'weights'"):
        collected(place, tmp_path / "again", ("weights",))


def test_the_cap_is_for_all_together(place: Place, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than max-bytes 17"):
        collected(place, tmp_path, cap=17)


def test_a_pointer_in_the_place_of_model_yaml(place: Place, tmp_path: Path) -> None:
    place.description.write_text(POINTER)
    with pytest.raises(InputError, match=r"model.yaml: is a Git LFS pointer"):
        collected(place, tmp_path)


def test_a_model_in_the_place_of_model_yaml(place: Place, tmp_path: Path) -> None:
    place.description.write_bytes(b"\1" * 1_048_577)
    with pytest.raises(InputError, match=r"here: is too large for a model\.yaml"):
        collected(place, tmp_path)


def test_model_yaml_may_be_found_in_the_only_folder(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    (tmp_path / ".git").mkdir()
    with pytest.raises(InputError, match=r"here: holds no model.yaml"):
        find_description(tmp_path, "", "here")
    (tmp_path / "only" / "model.yaml").touch()
    assert find_description(tmp_path, "", "here") == tmp_path / "only" / "model.yaml"
    (tmp_path / "second").touch()
    with pytest.raises(InputError, match=r"here: holds no model.yaml"):
        find_description(tmp_path, "", "here")


def test_the_digest_of_several_files_is_a_folders(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    lines = "".join(f"{name}\0{hashlib.sha256(name.encode()).hexdigest()}\n" for name in "ab")
    assert digest(tmp_path / "b", [tmp_path / "a"]) == hashlib.sha256(lines.encode()).hexdigest()
