"""make install: every image of ours by digest, nothing else changed."""

import json
from pathlib import Path

import pytest
import yaml

from hack import install

DIGEST = "sha256:" + "a" * 64
STEPS = ("core", "onnx", "pytorch", "tensorflow")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.json"
    known = {name: f"quay.io/edge/nearedge/{name}:0.1.0@{DIGEST}" for name in (*STEPS, "runtime", "build")}
    path.write_text(json.dumps({**known, "other": f"quay.io/elsewhere/x@{DIGEST}"}))
    return path


def start(images: Path, *options: str) -> int:
    return install.main([f"--images={images}", "--registry=quay.io/edge/", *options])


def test_the_catalog_by_digest(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "install.yaml"
    assert start(images, f"--out={out}") == 0
    assert f"kubectl apply -f {out}" in capsys.readouterr().err
    text = out.read_text()
    assert not install.SHORT.search(text)
    rendered = list(yaml.safe_load_all(text))
    given = [yaml.safe_load(path.read_text()) for path in install.catalog_files(install.catalog.root())]
    assert [one["metadata"]["name"] for one in rendered] == [one["metadata"]["name"] for one in given]
    assert {one["kind"] for one in rendered} == {"Task", "Pipeline"}
    assert json.dumps(rendered).replace("quay.io/edge/", "").replace(f"@{DIGEST}", ":0.1.0") == json.dumps(given)
    assert start(images, "--out=-") == 0
    assert capsys.readouterr().out == text


def test_for_a_registry_on_plain_http(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(images, "--out=-") == start(images, "--out=-", "--plain-http") == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    secure, plain = printed[: len(printed) // 2], printed[len(printed) // 2 :]
    assert secure != plain
    for before, after in zip(secure, plain, strict=True):
        params = [param for param in before["spec"]["params"] if param["name"] == "plain-http"]
        for param in params:
            assert param["default"] == "false"
            param["default"] = "true"
        assert before == after


def test_without_a_runtime_base_it_says_what_to_do(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = json.loads(images.read_text())
    del known["runtime"]
    images.write_text(json.dumps(known))
    assert start(images, "--out=-") == 0
    said = capsys.readouterr()
    assert "nearedge/runtime:0.1.0" in said.out
    assert "make examples pushes one" in said.err


def test_a_framework_that_nobody_uses_need_not_be_built(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = json.loads(images.read_text())
    del known["tensorflow"]
    images.write_text(json.dumps(known))
    assert start(images, "--out=-") == 0
    said = capsys.readouterr()
    assert "tensorflow: nearedge/tensorflow:0.1.0" in said.out
    assert "no tensorflow image of this registry" in said.err and "pytorch" not in said.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("{}", "no image of this registry for core"),
        (f'{{"core": "quay.io/another/nearedge/core@{DIGEST}"}}', "no image of this registry"),
        ('{"core": "quay.io/edge/nearedge/core:0.1.0"}', "has no digest"),
        ('{"core": "core"}', "names no registry"),
    ],
)
def test_images_that_are_not_there(images: Path, tmp_path: Path, capsys, text: str, words: str) -> None:
    images.write_text(text)
    out = tmp_path / "install.yaml"
    assert start(images, f"--out={out}") == 1
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_before_make_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(tmp_path / "none.json") == 1
    assert "run make images REGISTRY=quay.io/edge first" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("default: nearedge/core:0.1.0\n", ["core"]),
        ("{core: nearedge/core:0.1.0, onnx: nearedge/onnx:1.0-rc.1}", ["core", "onnx"]),
        ("quay.io/nearedge/core:0.1.0 my-nearedge/core:0.1.0 nearedge/core", []),
    ],
)
def test_what_counts_as_an_image_of_ours(text: str, found: list[str]) -> None:
    assert install.SHORT.findall(text) == found
