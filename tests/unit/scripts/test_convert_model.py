"""convert-model on a workspace: the IR and its section, and nothing half-written where it fails."""

import shutil

import pytest
import yaml

from nearedge.files import sha256_file, size_of
from nearedge.release import sections
from nearedge.release.sections import ConversionSection, SourceSection
from scripts import convert_model
from tests.models import FORMS, described, shared


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models of every format."""
    return shared(tmp_path_factory.getbasetemp())


@pytest.fixture
def workspace(models, tmp_path):
    """A function that makes what fetch-model leaves."""

    def made(name, **changes):
        path, form = models.path(name), FORMS[name]
        source = tmp_path / "release" / "source"
        if path.is_dir():
            shutil.copytree(path, source / path.name)
        else:
            shutil.copytree(path.parent, source)
        document = described(path, form, name, **changes).model_dump(by_alias=True, mode="json", exclude_none=True)
        (source / "model.yaml").write_text(yaml.safe_dump(document))
        section = SourceSection(
            name="tested", version="1", format=form, framework="onnx", sha256="0" * 64, size_bytes=1,
            description_sha256="0" * 64, data_sha256="", origin="here",
        )  # fmt: skip
        sections.write(tmp_path / "release", section)
        return tmp_path / "release"

    return made


@pytest.mark.parametrize("name", ["onnx-two", "savedmodel", "pt2"])
def test_the_ir_and_the_section_are_written(workspace, tmp_path, capsys, name):
    root = workspace(name)
    result = tmp_path / "result"
    assert convert_model.main([f"--workspace={root}", f"--result-ir-sha256={result}"]) == 0
    section = sections.read(root, ConversionSection)
    folder = root / "ir" / "f32"
    assert sorted(file.name for file in folder.iterdir()) == ["model.bin", "model.xml"]
    assert section.xml_sha256 == sha256_file(folder / "model.xml")
    assert section.bin_sha256 == sha256_file(folder / "model.bin") == result.read_text()
    assert section.size_bytes == size_of(folder)
    assert section.seconds > 0
    assert sorted(path.name for path in root.iterdir()) == ["ir", "release", "source"]
    assert "converting" in capsys.readouterr().err


def test_a_second_run_replaces_the_first(workspace):
    root = workspace("onnx")
    convert_model.run(root)
    (root / "ir" / "f32" / "stray").touch()
    first = sections.read(root, ConversionSection)
    second = convert_model.run(root)
    assert not (root / "ir" / "f32" / "stray").exists()
    assert (first.xml_sha256, first.bin_sha256) == (second.xml_sha256, second.bin_sha256)


def contradict(root):
    """A description whose shape is not the model's."""
    text = (root / "source" / "model.yaml").read_text()
    (root / "source" / "model.yaml").write_text(text.replace("- 8\n  - 8", "- 8\n  - 9"))


def cut(root):
    """A truncated model."""
    path = root / "source" / "net.onnx"
    path.write_bytes(path.read_bytes()[:-40])


def paint(root):
    """A key that model.yaml does not have."""
    path = root / "source" / "model.yaml"
    path.write_text(path.read_text() + "colour: red\n")


FAULTS = {
    "contradiction": (contradict, 1, "the model has [-1, 3, 8, 8]"),
    "truncated": (cut, 1, "damaged or truncated"),
    "gone": (lambda root: (root / "source" / "net.onnx").unlink(), 1, "run fetch-model again"),
    "no description": (lambda root: (root / "source" / "model.yaml").unlink(), 1, "no such file"),
    "not fetched": (lambda root: (root / "release" / "source.json").unlink(), 1, "has to run first"),
    "unknown key": (paint, 1, "unknown key"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_leaves_the_old_ir_and_no_section(workspace, capsys, case):
    break_it, status, text = FAULTS[case]
    root = workspace("onnx")
    convert_model.run(root)
    before = sha256_file(root / "ir" / "f32" / "model.xml")
    break_it(root)
    capsys.readouterr()
    assert convert_model.main([f"--workspace={root}"]) == status
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nearedge convert-model:")]
    assert len(said) == 1
    assert text in said[0]
    assert sections.read_optional(root, ConversionSection) is None
    assert sha256_file(root / "ir" / "f32" / "model.xml") == before
    assert [path.name for path in (root / "ir").iterdir()] == ["f32"]


def test_a_model_that_leads_out_of_the_workspace_is_refused(workspace, capsys):
    root = workspace("onnx", source={"path": "../../secret.onnx"})
    assert convert_model.main([f"--workspace={root}"]) == 1
    assert "leads out of" in capsys.readouterr().err
    assert not (root / "ir").exists()
