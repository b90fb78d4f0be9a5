"""What `make images` keeps and refuses; tests/images runs it, tests/unit/delivery/building has the command lines."""

import json

import pytest

from hack import images
from nearedge.errors import MachineError


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["--registry=r", "openvino"], "no target openvino"), (["--registry="], "REGISTRY="), ([], "--registry")],
)
def test_wrong_usage(argv, message, capsys):
    with pytest.raises(SystemExit) as ended:
        images.main(argv)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_what_is_pushed_is_kept_beside_what_was(tmp_path, monkeypatch):
    monkeypatch.setenv("NEAREDGE_HOME", str(tmp_path))
    images.keep({"core": "r/core@sha256:1", "onnx": "r/onnx@sha256:1"})
    images.keep({"core": "r/core@sha256:2"})
    assert json.loads((tmp_path / "images.json").read_text()) == {"core": "r/core@sha256:2", "onnx": "r/onnx@sha256:1"}


def test_without_buildah_it_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MachineError, match="buildah: not installed"):
        images.run("", "r", False, ["core"])


def test_the_targets_of_a_file_are_built_on_one_base(tmp_path, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setenv("NEAREDGE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "kept").mkdir()
    for name in ("Containerfile", "Containerfile.runtime"):
        (tmp_path / "kept" / name).write_text("ARG BASE_IMAGE=r.example/base:1\n")
    monkeypatch.setenv("NEAREDGE_CONTEXT", str(tmp_path / "kept"))
    (tmp_path / "buildah").write_text(FAKE.format(log=log, digest=f"sha256:{'a' * 64}"))
    (tmp_path / "buildah").chmod(0o755)
    pushed = images.run("", "r.example", True, ["runtime", "core", "onnx"])
    assert list(pushed) == ["core", "onnx", "runtime"]
    lines = [line.split() for line in log.read_text().splitlines()]
    asked = [line[0] for line in lines]
    assert (asked.count("pull"), asked.count("bud"), asked.count("push")) == (2, 3, 3)
    builds = {next(word for word in line if word.startswith("--target=")): line for line in lines if line[0] == "bud"}
    assert [name for name, line in builds.items() if "--timestamp=0" in line] == ["--target=runtime"]
    assert all(f"--build-arg=BASE_IMAGE=r.example/base@sha256:{'a' * 64}" in line for line in builds.values())


FAKE = """#!/bin/sh
echo "$@" >> {log}
case "$1" in
    inspect) echo {digest} ;;
    push) for word in "$@"; do case "$word" in --digestfile=*) echo {digest} > "${{word#*=}}" ;; esac; done ;;
esac
"""
