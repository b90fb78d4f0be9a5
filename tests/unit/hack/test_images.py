"""The command lines of `make images`; tests/images runs them."""

import dataclasses
import json
import shutil

import pytest

from hack import images, pip_settings
from nearedge.errors import MachineError, OutsideError

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def build(tmp_path):
    lent = pip_settings.Lent("[global]\n", tmp_path / "ca.crt", {"/run/secrets/pip/1": tmp_path / "wheels"})
    (tmp_path / "context").mkdir()
    return images.Build("base:1", "registry.example/team", True, tmp_path / "context", tmp_path / "lent", lent, DIGEST)


def test_secrets_are_lent_as_secrets_and_not_as_arguments_of_the_build(build, tmp_path):
    argv = images.bud(build, "core")
    assert f"--secret=id=pip.conf,src={tmp_path}/lent/pip.conf" in argv
    assert f"--secret=id=ca.crt,src={tmp_path}/ca.crt" in argv
    assert f"--volume={tmp_path}/wheels:/run/secrets/pip/1:ro" in argv
    arguments = [word.removeprefix("--build-arg=").split("=")[0] for word in argv if word.startswith("--build-arg")]
    assert arguments == ["CONTEXT", "BASE_IMAGE"]
    assert argv[-1] == str(build.context)
    assert "--tag=registry.example/team/nearedge/core:0.1.0" in argv
    assert "--timestamp=0" not in argv
    assert "--timestamp=0" in images.bud(build, "runtime")


@pytest.mark.parametrize(
    ("base", "plain_http", "expected"),
    [
        ("registry.example/team/base:1", True, True),
        ("registry.example/team/base:1", False, False),
        ("registry.example/teammate/base:1", True, False),
        ("other.example/base:1", True, False),
    ],
)
def test_plain_http_is_for_that_registry_only(build, base, plain_http, expected):
    asked = dataclasses.replace(build, base=base, plain_http=plain_http)
    assert ("--tls-verify=false" in images.bud(asked, "core")) is expected


FAKE_BUILDAH = """#!/bin/sh
echo "$@" >> {log}
if [ "$1" = inspect ]; then echo {digest}; fi
"""


@pytest.mark.parametrize(
    ("base", "name", "image"),
    [
        ("", "registry.access.redhat.com/ubi9/python-312:latest", "registry.access.redhat.com/ubi9/python-312"),
        ("r.example:5000/team/base:1", "r.example:5000/team/base:1", "r.example:5000/team/base"),
        (f"r.example:5000/base@{DIGEST}", "r.example:5000/base", "r.example:5000/base"),
    ],
)
def test_the_base_is_built_on_by_its_digest_and_recorded(build, tmp_path, monkeypatch, base, name, image):
    shutil.copy(images.TREE / "step_images/Containerfile", build.context)
    log = tmp_path / "log"
    log.touch()
    (tmp_path / "buildah").write_text(FAKE_BUILDAH.format(log=log, digest=DIGEST))
    (tmp_path / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    argv = images.bud(images.pin(dataclasses.replace(build, base=base, base_digest=""), "Containerfile"), "core")
    assert f"--build-arg=BASE_IMAGE={image}@{DIGEST}" in argv
    assert f"--label=org.opencontainers.image.base.name={name}" in argv
    assert f"--label=org.opencontainers.image.base.digest={DIGEST}" in argv
    asked = [line.split()[0] for line in log.read_text().splitlines()]
    assert asked == ([] if "@" in base else ["pull", "inspect"])


def test_a_base_without_a_digest_is_refused(build, tmp_path, monkeypatch):
    shutil.copy(images.TREE / "step_images/Containerfile", build.context)
    (tmp_path / "buildah").write_text(FAKE_BUILDAH.format(log=tmp_path / "log", digest=""))
    (tmp_path / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(OutsideError, match="base:1: its digest is not known"):
        images.pin(dataclasses.replace(build, base_digest=""), "Containerfile")


def test_another_context_is_another_build(build):
    before = images.bud(build, "core")
    (build.context / "nearedge.whl").write_text("new")
    assert images.bud(build, "core") != before


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


def test_a_failing_program_is_named(tmp_path, monkeypatch):
    (tmp_path / "buildah").write_text("#!/bin/sh\nexit 125\n")
    (tmp_path / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(OutsideError, match="building core failed: buildah ended with status 125"):
        images.buildah("bud", what="building core")
    with pytest.raises(OutsideError, match="pip wheel: "):
        images.pip("wheel", "--no-deps", str(tmp_path / "absent"))
