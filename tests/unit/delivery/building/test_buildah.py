"""The command lines of a build, the base by digest, and what is said where buildah refuses."""

import dataclasses

import pytest

from nearedge.delivery.building import buildah, pip_settings
from nearedge.errors import InputError, MachineError, OutsideError

DIGEST = f"sha256:{'a' * 64}"
FAKE = """#!/bin/sh
echo "$@" >> {log}
if [ "$1" = inspect ]; then echo {digest}; fi
"""


@pytest.fixture
def build(tmp_path):
    lent = pip_settings.Lent("[global]\n", tmp_path / "ca.crt", {"/run/secrets/pip/1": tmp_path / "wheels"})
    (tmp_path / "context").mkdir()
    file = tmp_path / "context" / "Containerfile"
    file.write_text("ARG BASE_IMAGE=r.example:5000/default:1\n")
    engine = buildah.Engine(plain=("registry.example/team/",))
    return buildah.Build(
        "registry.example/team/core:1", file, file.parent, tmp_path / "lent", lent, engine,
        target="core", base="base:1", base_digest=DIGEST,
    )  # fmt: skip


@pytest.fixture
def fake(tmp_path, monkeypatch):
    def make(text):
        (tmp_path / "buildah").write_text(text)
        (tmp_path / "buildah").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


def test_secrets_are_lent_as_secrets_and_not_as_arguments_of_the_build(build, tmp_path):
    argv = buildah.bud(build)
    assert f"--secret=id=pip.conf,src={tmp_path}/lent/pip.conf" in argv
    assert f"--secret=id=ca.crt,src={tmp_path}/ca.crt" in argv
    assert f"--volume={tmp_path}/wheels:/run/secrets/pip/1:ro" in argv
    arguments = [word.removeprefix("--build-arg=").split("=")[0] for word in argv if word.startswith("--build-arg")]
    assert arguments == ["CONTEXT", "BASE_IMAGE"]
    assert argv[-1] == str(build.context)
    assert "--tag=registry.example/team/core:1" in argv
    assert "--timestamp=0" not in argv
    assert "--timestamp=0" in buildah.bud(dataclasses.replace(build, epoch=True))


@pytest.mark.parametrize(
    ("base", "plain", "expected"),
    [
        ("registry.example/team/base:1", ("registry.example/team/",), True),
        ("registry.example/team/base:1", (), False),
        ("registry.example/teammate/base:1", ("registry.example/team/",), False),
        ("other.example/base:1", ("",), True),
    ],
)
def test_plain_http_is_for_those_registries_only(build, base, plain, expected):
    asked = dataclasses.replace(build, base=base, engine=buildah.Engine(plain=plain))
    assert ("--tls-verify=false" in buildah.bud(asked)) is expected


@pytest.mark.parametrize(
    ("base", "name", "image"),
    [
        ("", "r.example:5000/default:1", "r.example:5000/default"),
        ("r.example:5000/team/base:1", "r.example:5000/team/base:1", "r.example:5000/team/base"),
        (f"r.example:5000/base@{DIGEST}", "r.example:5000/base", "r.example:5000/base"),
    ],
)
def test_the_base_is_built_on_by_its_digest_and_recorded(build, tmp_path, fake, base, name, image):
    log = tmp_path / "log"
    log.touch()
    fake(FAKE.format(log=log, digest=DIGEST))
    argv = buildah.bud(buildah.pin(dataclasses.replace(build, base=base, base_digest="")))
    assert f"--build-arg=BASE_IMAGE={image}@{DIGEST}" in argv
    assert f"--label=org.opencontainers.image.base.name={name}" in argv
    assert f"--label=org.opencontainers.image.base.digest={DIGEST}" in argv
    asked = [line.split()[0] for line in log.read_text().splitlines()]
    assert asked == ([] if "@" in base else ["pull", "inspect"])


def test_a_base_without_a_digest_is_refused(build, tmp_path, fake):
    fake(FAKE.format(log=tmp_path / "log", digest=""))
    with pytest.raises(OutsideError, match="base:1: its digest is not known"):
        buildah.pin(dataclasses.replace(build, base_digest=""))


@pytest.mark.parametrize(
    ("text", "message"), [("FROM x\n", "no line ARG BASE_IMAGE"), ("ARG BASE_IMAGE\n", "BASE_IMAGE has no default")]
)
def test_a_containerfile_takes_its_base_as_an_argument(build, text, message):
    build.file.write_text(text)
    with pytest.raises(InputError, match=message):
        buildah.pin(dataclasses.replace(build, base=""))


def test_another_context_is_another_build(build):
    before = buildah.bud(build)
    (build.context / "nearedge.whl").write_text("new")
    assert buildah.bud(build) != before


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ("no such host", OutsideError, "building x failed: buildah ended with status 125"),
        ("error setting supplemental groups list: operation not permitted", MachineError, "buildah 1.45"),
        ("Error during unshare(CLONE_NEWUSER): Operation not permitted", MachineError, "may not make a user namespace"),
        ("user: unknown userid 1001", MachineError, "run as user 1001"),
    ],
)
def test_a_refusal_says_what_to_do(fake, said, kind, message, capsys):
    fake(f"#!/bin/sh\necho '{said}' >&2\nexit 125\n")
    with pytest.raises(kind, match=message):
        buildah.Engine().run("bud", what="building x")
    assert said in capsys.readouterr().err
