"""render-gitops on a workspace with every section."""

import json
from pathlib import Path

import pytest

from nearedge.release import record, sections
from nearedge.release.sections import ImageSection, Section, SourceSection
from scripts import render_gitops

RECORD = record.read(Path(__file__).parents[1] / "delivery" / "data" / "release.json")
MODEL = """\
schema: 1
name: digits
source: {path: model.pt2}
inputs: [{name: image, shape: [-1, 1, 8, 8], dtype: FP32}]
outputs: [{name: logits}]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The sections that make up the example record."""
    path = tmp_path / "release"
    (path / "source").mkdir(parents=True)
    (path / "source" / "model.yaml").write_text(MODEL)
    identity = RECORD.identity
    sections.write(
        path,
        SourceSection(
            name=identity.name,
            version=identity.version,
            size_bytes=1,
            origin=RECORD.evidence.origin,
            **identity.source.model_dump(),
        ),
    )
    for name in type(RECORD.evidence).model_fields:
        section = getattr(RECORD.evidence, name)
        if isinstance(section, Section):
            sections.write(path, section)
    return path


def files(workspace: Path) -> dict[str, str]:
    folder = workspace / "gitops"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def image(**change: str) -> ImageSection:
    assert RECORD.evidence.image is not None
    return RECORD.evidence.image.model_copy(update=change)


def test_the_tree_is_written_and_the_same_again(workspace: Path, tmp_path: Path) -> None:
    results = [f"--result-files={tmp_path / 'files'}", f"--result-image={tmp_path / 'image'}"]
    argv = [f"--workspace={workspace}", "--remeasure=false", *results, "--", "site-1", "site-2"]
    assert render_gitops.main(argv) == 0
    first = files(workspace)
    assert (tmp_path / "files").read_text() == str(len(first))
    assert (tmp_path / "image").read_text() == "quay.io/site/digits@sha256:" + "d" * 64
    assert record.read(workspace / "gitops" / "models/digits/base/release.json") == RECORD
    (workspace / "gitops" / "stale").write_text("x")
    assert render_gitops.main(argv) == 0
    assert files(workspace) == first


def test_evidence_of_the_same_release_is_kept_unless_asked(workspace: Path) -> None:
    before = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"origin": "earlier"})})
    (workspace / "previous").mkdir()
    (workspace / "previous" / "release.json").write_text(record.dump(before))
    for remeasure, origin in (("false", "earlier"), ("true", "model.yaml")):
        assert render_gitops.main([f"--workspace={workspace}", f"--remeasure={remeasure}", "--", "s"]) == 0
        text = files(workspace)["models/digits/base/release.json"]
        assert json.loads(text)["evidence"]["origin"] == origin


def test_a_layout_is_warned_of(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sections.write(workspace, image(url="oci:image:digits"))
    assert render_gitops.main([f"--workspace={workspace}"]) == 0
    assert "warning: oci:image:digits is a layout on disk" in capsys.readouterr().err
    assert "README.md" in files(workspace)


@pytest.mark.parametrize(
    ("spoil", "status", "words"),
    [
        (lambda path: (path / "release" / "image.json").unlink(), 1, "build-serving-image has to run first"),
        (lambda path: (path / "release" / "source.json").unlink(), 1, "source.json: missing"),
        (lambda path: (path / "release" / "image.json").write_text("{"), 1, "not JSON"),
        (lambda path: (path / "source" / "model.yaml").unlink(), 1, "no such file"),
    ],
)
def test_a_workspace_at_fault(workspace: Path, capsys, spoil, status: int, words: str) -> None:
    spoil(workspace)
    assert render_gitops.main([f"--workspace={workspace}", "--", "s"]) == status
    assert words in capsys.readouterr().err
    assert not (workspace / "gitops").exists()


def test_a_site_at_fault(workspace: Path, capsys) -> None:
    assert render_gitops.main([f"--workspace={workspace}", "--", "../x"]) == 1
    assert "site '../x'" in capsys.readouterr().err
    assert not (workspace / "gitops").exists()


def test_what_is_chosen_reaches_the_manifests(workspace: Path, tmp_path: Path, capsys) -> None:
    argv = ["--flavour=kserve", "--expose=route", "--host=m-{site}.example.com", "--monitoring=false"]
    results = [f"--result-rollout={tmp_path / 'rollout'}", f"--result-image={tmp_path / 'image'}"]
    assert render_gitops.main([f"--workspace={workspace}", *argv, *results, "--", "a", "b=sno-small"]) == 0
    tree = files(workspace)
    assert "models/digits/base/inference-service.yaml" in tree
    assert "m-a.example.com" in tree["sites/a/digits/kustomization.yaml"]
    assert "monitoring" not in tree["sites/b/digits/kustomization.yaml"]
    said = (tmp_path / "rollout").read_text()
    assert said.startswith("a: the next pod starts beside the old one: two fit profile microshift-small")
    assert "b: the next pod starts beside the old one: two fit profile sno-small" in said
    assert said.split("; ")[0] in capsys.readouterr().err


def test_the_loss_of_availability_is_said_out_loud(workspace: Path, tmp_path: Path, capsys) -> None:
    node = "node: {cpu: 2, memory_mib: 2348}\nplatform: {cpu: 0.5, memory_mib: 2048}\nmodel: {cpu: 1, memory_mib: 300}"
    (workspace / "source" / "tiny.yaml").write_text(
        f"name: tiny\ndescription: x\n{node}\ninstruction_set: avx2\ndisk_gib: 1\nlink_mbit_s: 1\n"
    )
    argv = [f"--workspace={workspace}", f"--result-rollout={tmp_path / 'rollout'}", "--", "a", "b=tiny.yaml"]
    assert render_gitops.main(argv) == 0
    told = "warning: b: no answers while the next pod starts: two do not fit profile tiny (384 MiB and 500m needed, "
    assert (tmp_path / "rollout").read_text().startswith(told)
    assert told in capsys.readouterr().err
    assert "no answers while the next pod" in files(workspace)["sites/b/digits/kustomization.yaml"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--expose=ingress"], "expose=ingress: needs a host"),
        (["--host=a.example.com"], "nothing to reach by it"),
        (["--", "a=nowhere"], "site a: no profile 'nowhere'"),
        (["--", "a=sno-small", "a"], "site 'a': is given twice"),
        (["--profile=nowhere"], "profile: no profile 'nowhere'"),
        (["--serving-image=digits:1"], "names no registry"),
        (["--serving-image=oci:image:1"], "a layout on disk is not allowed here"),
    ],
)
def test_wrong_choices_are_one_line(workspace: Path, capsys, argv: list[str], words: str) -> None:
    assert render_gitops.main([f"--workspace={workspace}", *argv]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (workspace / "gitops").exists()
