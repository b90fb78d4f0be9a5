"""fetch-model with real ONNX files: what it writes, what it clears, what it refuses."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import onnx
import pytest
from moto.server import ThreadedMotoServer
from onnx import TensorProto, helper, numpy_helper

from nearedge.files import sha256_file, sha256_tree
from nearedge.release import description, record, sections, usage
from nearedge.release.sections import SourceSection
from scripts import fetch_model

MODEL = """\
schema: 1
name: digits
source: {path: model.onnx}
inputs: [{name: x, shape: [-1, 4], dtype: FP32}]
outputs: [{name: y}]
data: {path: data.npz}
"""
RECORD = Path(__file__).parents[1] / "delivery" / "data" / "release.json"
IMAGES = ["--step-image-core=reg/core", "--step-image-onnx=reg/onnx"]


def write_model(path: Path, *, external: bool = False) -> None:
    weight = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path, save_as_external_data=external, location="weights.bin", size_threshold=0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "given"
    path.mkdir()
    (path / "model.yaml").write_text(MODEL)
    write_model(path / "model.onnx")
    np.savez(path / "data.npz", x=np.zeros((2, 4), np.float32))
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "release"
    path.mkdir()
    return path


def start(workspace: Path, source: Path | str, *options: str) -> int:
    return fetch_model.main([f"--workspace={workspace}", f"--source={source}", *options])


def git(at: Path, *arguments: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *who, *arguments], cwd=at, check=True, capture_output=True, text=True).stdout


def test_a_path(source: Path, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("step-image", "model-name", "model-version", "framework", "source-sha256")
    flags = [f"--result-{name}={tmp_path / name}" for name in names]
    assert start(workspace, source, *IMAGES, *flags) == 0
    section = sections.read(workspace, SourceSection)
    assert [(tmp_path / name).read_text() for name in names] == ["reg/onnx", "digits", "1", "onnx", section.sha256]
    assert section.sha256 == sha256_file(source / "model.onnx")
    assert section.data_sha256 == sha256_file(source / "data.npz")
    assert (section.format, section.origin) == ("onnx", "model.yaml")
    assert section.size_bytes == (source / "model.onnx").stat().st_size
    assert sorted(path.name for path in (workspace / "source").iterdir()) == ["data.npz", "model.onnx", "model.yaml"]
    assert sorted(path.name for path in workspace.iterdir()) == ["release", "source"]
    assert "a first release" in capsys.readouterr().err


def test_external_data_belong_to_the_model(source: Path, workspace: Path) -> None:
    write_model(source / "model.onnx", external=True)
    assert start(workspace, source) == 0
    assert (workspace / "source" / "weights.bin").stat().st_size == 32
    first = sections.read(workspace, SourceSection).sha256
    raw = bytearray((source / "weights.bin").read_bytes())
    raw[0] ^= 1
    (source / "weights.bin").write_bytes(raw)
    assert start(workspace, source) == 0
    assert sections.read(workspace, SourceSection).sha256 != first


def test_the_descriptions_digest_is_of_its_meaning(source: Path) -> None:
    first = fetch_model.meaning_sha256(description.read(source / "model.yaml"))
    text = "# a comment\n" + MODEL.replace("name: digits\n", "") + "name: digits\nversion: '1'\n"
    assert fetch_model.meaning_sha256(description.parse(text, "x")) == first
    assert fetch_model.meaning_sha256(description.parse(MODEL + "version: '2'\n", "x")) != first
    values = description.parse(MODEL, "x").model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert first == hashlib.sha256(text.encode()).hexdigest()


def test_what_an_earlier_run_left_goes_and_the_image_stays(source: Path, workspace: Path) -> None:
    for name in (
        "release/test.json",
        "ir/f32/x",
        "golden/x",
        "report/x",
        "gitops/x",
        "previous/x",
        "source/old",
        ".source.abc/x",
    ):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text("stale")
    (workspace / "image").mkdir()
    (workspace / "image" / "index.json").write_text("kept")
    git(workspace, "init", "-q", "--bare", "gitops.git")
    assert start(workspace, source) == 0
    assert sorted(path.name for path in workspace.iterdir()) == ["gitops.git", "image", "release", "source"]
    assert [path.name for path in (workspace / "release").iterdir()] == ["source.json"]
    assert not (workspace / "source" / "old").exists()


@pytest.fixture
def gitops(tmp_path: Path) -> str:
    """The URL of a GitOps repository where a release of `digits` is deployed."""
    work = tmp_path / "work"
    path = work / "models" / "digits" / "base" / "release.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(RECORD.read_bytes())
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "--bare", str(work), "gitops.git")
    return f"file://{tmp_path}/gitops.git"


def test_the_deployed_release_is_read_from_git(source: Path, workspace: Path, gitops: str, capsys) -> None:
    assert start(workspace, source, f"--git-url={gitops}") == 0
    assert record.read_previous(workspace) == record.read(RECORD)
    assert usage.read(workspace).sites == {}
    assert "an upgrade" in capsys.readouterr().err
    assert start(workspace, source, f"--git-url={gitops}", "--git-branch=other") == 0
    assert record.read_previous(workspace) is None


def test_what_the_sites_run_is_read_from_git(source: Path, workspace: Path, tmp_path: Path, gitops: str) -> None:
    site = tmp_path / "clone" / "sites" / "site-1" / "digits"
    git(tmp_path, "clone", "-q", gitops, "clone")
    site.mkdir(parents=True)
    (site / "kustomization.yaml").write_text("resources: [../../../models/digits/base]\n")
    git(site, "add", ".")
    git(site, "commit", "-qm", "second")
    git(site, "push", "-q", "origin", "HEAD:main")
    assert start(workspace, source, f"--git-url={gitops}") == 0
    assert [(one.name, one.memory_request_mib) for one in usage.read(workspace).others("site-1", "x")] == [
        ("digits", 128)
    ]
    assert start(workspace, source, f"--git-url={gitops}", "--git-branch=other") == 0
    assert not (workspace / usage.PATH).exists()


def test_the_workspaces_own_repository_is_the_default(source: Path, workspace: Path, gitops: str) -> None:
    git(workspace, "clone", "-q", "--bare", gitops, "gitops.git")
    assert start(workspace, source) == 0
    assert record.read_previous(workspace) == record.read(RECORD)


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--model=none.yaml"], 1, "no such file in the workspace"),
        (["--sha256=" + "0" * 64], 1, "sha256: model.onnx has sha256"),
        (["--max-bytes=100"], 1, "more than max-bytes 100"),
        (["--model=oci://quay.io/x:1@sha256:12"], 1, "is no digest"),
        (["--model=oci://127.0.0.1:1/x:1"], 4, "127.0.0.1:1"),
        (["--model=ftp://host/x"], 5, "ftp://"),
        (["--git-url=/nowhere/gitops.git"], 4, "git init --bare /nowhere/gitops.git"),
        (["--source="], 1, "no workspace source is bound"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(
    source: Path, workspace: Path, capsys, options: list[str], status: int, words: str
) -> None:
    assert start(workspace, source, *options) == status
    said = capsys.readouterr().err.strip()
    assert words in said
    assert said.splitlines()[-1].startswith("nearedge fetch-model: ")
    assert "Traceback" not in said
    assert not (workspace / "release").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("source: {path: model.onnx, sha256: " + "0" * 64 + "}", "model.yaml: source.sha256"),
        ("source: {path: data.npz}", "fetch-model: data.npz: "),
        ("source: {paths: model.onnx}", "fetch-model: model.yaml: source.path: "),
        ("source: {path: ../model.onnx}", "does not lie beside or below"),
    ],
)
def test_model_yaml_at_fault(source: Path, workspace: Path, capsys, change: str, words: str) -> None:
    (source / "model.yaml").write_text(MODEL.replace("source: {path: model.onnx}", change))
    assert start(workspace, source) != 0
    assert words in capsys.readouterr().err
    assert list(workspace.iterdir()) == []


def test_an_unknown_profile_is_said_at_once(source: Path, workspace: Path, capsys) -> None:
    (source / "model.yaml").write_text(MODEL + "target: {profile: none}\n")
    assert start(workspace, source) == 1
    assert "no profile 'none'" in capsys.readouterr().err


def test_a_digest_that_fits(source: Path, workspace: Path) -> None:
    assert start(workspace, source, f"--sha256={sha256_file(source / 'model.onnx')}") == 0


def test_a_digest_may_be_asked_for(source: Path, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(workspace, source, "--require-sha256=true") == 1
    digest = sha256_file(source / "model.onnx")
    assert f"if {digest} is right, write it to model.yaml as source.sha256" in capsys.readouterr().err
    assert not (workspace / "source").exists()
    assert start(workspace, source, "--require-sha256=true", f"--sha256={digest}") == 0
    (source / "model.yaml").write_text(MODEL.replace("path: model.onnx", f"path: model.onnx, sha256: {digest}"))
    assert start(workspace, source, "--require-sha256=true") == 0


@pytest.fixture
def bucket(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The options for a store (moto) that holds the model below s3://models/m/."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    keys = {"aws_access_key_id": "key-id", "aws_secret_access_key": "s3cret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket="models")
    for path in source.iterdir():
        client.put_object(Bucket="models", Key=f"m/{path.name}", Body=path.read_bytes())
    client.close()
    folder = tmp_path / "aws"
    folder.mkdir()
    (folder / "credentials").write_text("[default]\naws_access_key_id = key-id\naws_secret_access_key = s3cret\n")
    yield [f"--s3-endpoint={endpoint}", f"--aws-credentials={folder}"]
    server.stop()


def test_a_bucket(source: Path, workspace: Path, bucket: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    digest = sha256_file(source / "model.onnx")
    assert start(workspace, "", "--model=s3://models/m/", f"--sha256={digest}", *bucket) == 0
    section = sections.read(workspace, SourceSection)
    assert (section.sha256, section.origin) == (digest, "s3://models/m/model.yaml")
    assert section.data_sha256 == sha256_file(source / "data.npz")
    assert start(workspace, "", "--model=s3://models/m/", f"--sha256={'0' * 64}", *bucket) == 1
    assert start(workspace, "", "--model=s3://none/m/", *bucket) == 4
    assert start(workspace, "", "--model=s3://models/m/", "--max-bytes=200", *bucket) == 1
    said = capsys.readouterr().err
    assert "s3://none/m/model.yaml: there is no such bucket" in said
    assert "more than max-bytes" in said
    assert "Traceback" not in said
    assert "s3cret" not in said


def test_a_folder_has_the_digest_of_its_names_and_contents(source: Path, workspace: Path) -> None:
    basic = onnx.load(source / "model.onnx").SerializeToString()
    (source / "m").mkdir()
    (source / "m" / "model.onnx").write_bytes(basic)
    (source / "model.yaml").write_text(MODEL.replace("path: data.npz", "path: m"))
    assert start(workspace, source) == 0
    assert sections.read(workspace, SourceSection).data_sha256 == sha256_tree(source / "m")


def test_a_framework_without_an_image_of_its_own_gets_the_core() -> None:
    images = {"core": "c", "onnx": "o", "pytorch": "", "tensorflow": "t"}
    assert [fetch_model.step_image(name, images) for name in ("pytorch", "onnx")] == ["c", "o"]
