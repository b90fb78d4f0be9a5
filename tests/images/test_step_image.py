"""The image core as a cluster runs it: any non-root user, read-only, nothing left over from its build."""

import json
import subprocess
import tarfile

import pytest

pytestmark = pytest.mark.images


def podman_run(reference, *argv, user="1001", options=()):
    command = ["podman", "run", "--rm", "--network=host", "--read-only", "--cap-drop=all", f"--user={user}", *options]
    command += ["--tls-verify=false", reference, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("user", ["1001", "1000650000:0"])
def test_the_command_line_works_as_any_user(images, user):
    core = images.references["core"]
    assert podman_run(core, "--version", user=user)[:2] == (0, "nearedge 0.1.0\n")
    status, out, err = podman_run(core, "convert-model", "--help", user=user)
    assert (status, err) == (0, "")
    assert "--workspace" in out


def test_it_holds_what_its_tasks_run(images):
    code = "import openvino, nearedge.catalog as c; print(sorted(p.name for p in c.root().iterdir()))"
    status, out, err = podman_run(images.references["core"], "-c", code, options=["--entrypoint=python"])
    assert status == 0, err
    assert "tasks" in out
    status, out, err = podman_run(images.references["core"], "--version", options=["--entrypoint=git"])
    assert out.startswith("git version"), err


def test_git_has_an_ssh_that_takes_the_images_user(images):
    options = ["--entrypoint=ssh", "--passwd=false"]
    status, out, err = podman_run(images.references["core"], "-G", "git.example.com", options=options)
    assert status == 0 and "hostname git.example.com" in out, err


def test_the_file_of_references_names_digests(images, registry):
    for target, reference in images.references.items():
        name, _, digest = reference.partition("@")
        assert name == f"{registry}/nearedge/{target}:0.1.0"
        raw = subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"docker://{registry}/nearedge/{target}@{digest}"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert json.loads(raw)["Digest"] == digest


@pytest.mark.parametrize("target", ["core", "runtime"])
def test_nothing_of_pips_settings_stays_in_the_image(images, target, tmp_path):
    reference = images.references[target]
    copied = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{without_tag(reference)}"]
    subprocess.run([*copied, f"dir:{tmp_path}/image"], check=True, timeout=300)
    manifest = json.loads((tmp_path / "image" / "manifest.json").read_text())
    config = (tmp_path / "image" / manifest["config"]["digest"][7:]).read_text()
    marks = [mark.encode() for mark in images.lent]
    assert not [mark for mark in images.lent if mark in config or "PIP_" in config]
    for layer in manifest["layers"]:
        with tarfile.open(tmp_path / "image" / layer["digest"][7:]) as tar:
            for member in tar:
                content = tar.extractfile(member).read() if member.isreg() else b""
                found = [mark for mark in marks if mark in member.name.encode() or mark in content]
                assert not found, f"{member.name} holds {found}"
                assert not leftover(member), member.name


def without_tag(reference):
    """What skopeo takes: a name with a digest and no tag."""
    name, _, digest = reference.partition("@")
    return f"{name.rpartition(':')[0]}@{digest}"


def leftover(member):
    """Whether a file is a cache or a secret of the build. Empty folders may be left where secrets were mounted."""
    name = "/" + member.name.removeprefix("./")
    if member.isdir():
        return False
    return name.startswith(("/run/secrets", "/run/context", "/root/.cache", "/tmp/")) or "/.cache/pip/" in name
