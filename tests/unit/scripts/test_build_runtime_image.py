"""What build-runtime-image refuses before it builds, and how it calls buildah; tests/images builds with it."""

import os

import pytest

from nearedge.delivery.access import Access
from nearedge.errors import InputError
from scripts import build_runtime_image as program
from scripts.build_runtime_image import Options

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture(autouse=True)
def buildah(tmp_path, monkeypatch):
    """A buildah that must not be asked for anything."""
    (tmp_path / "buildah").write_text("#!/bin/sh\necho asked >&2\nexit 1\n")
    (tmp_path / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime_image": f"r.example/x@{DIGEST}"}, "name the target by tag"),
        ({"runtime_image": "x"}, "names no registry"),
        ({"runtime_image": "oci:dir:1"}, "layout"),
        ({"containerfile": "Containerfile"}, "none is bound"),
        ({"arguments": ("A",)}, "is no KEY=VALUE"),
        ({"arguments": ("A-B=1",)}, "is no KEY=VALUE"),
        ({"arguments": ("BASE_IMAGE=x",)}, "param base-image"),
        ({"arguments": ("CONTEXT=x",)}, "is set by this Task"),
    ],
)
def test_refused_before_anything_is_built(options, message):
    with pytest.raises(InputError, match=message):
        program.run(Options(**{"runtime_image": "r.example/x:1", **options}))


def test_a_containerfile_that_is_not_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "kept").mkdir()
    (tmp_path / "source").mkdir()
    monkeypatch.setenv("NEAREDGE_CONTEXT", str(tmp_path / "kept"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    argv = ["--runtime-image=r.example/x:1", f"--source={tmp_path / 'source'}", "--containerfile=absent"]
    assert program.main(argv) == 1
    assert "containerfile 'absent': no such file" in capsys.readouterr().err
    assert not list(tmp_path.glob("nearedge-build.*")), "nothing is left over"


def test_buildah_has_a_store_of_its_own_and_the_workspaces(tmp_path):
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text("{}")
    access = Access(tmp_path / "ca", tmp_path / "docker", False)
    made = program.engine(Options("r.example/x:1", driver="overlay", access=access), tmp_path)
    assert f"--root={tmp_path}/store" in made.store
    assert "--storage-driver=overlay" in made.store
    assert made.reach("r.example/x:1") == [f"--cert-dir={tmp_path}/ca", f"--authfile={tmp_path}/docker/config.json"]
    assert made.reach("127.0.0.1:5000/x:1")[-1] == "--tls-verify=false"


def test_plain_http_is_for_all_registries_where_asked(tmp_path):
    made = program.engine(Options("r.example/x:1", access=Access(plain_http=True)), tmp_path)
    assert made.reach("r.example/x:1") == ["--tls-verify=false"]
