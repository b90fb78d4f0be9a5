"""rollback-model as a program: a site's own git mirror and registry, the core out of reach; one line each."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from nearedge.delivery import digest as digests
from nearedge.delivery import git, oci
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import publish, render
from nearedge.delivery.gitops.message import message
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record
from scripts import rollback_model

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
CORE = "127.0.0.1:1"
"""Nothing listens there: the core, cut off."""
AUTHOR = publish.Author("Ada", "ada@example.com")


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def pushed(registry: str, name: str, content: bytes) -> tuple[str, oci.Descriptor]:
    """Push an image of one layer; its digest, and the layer."""
    store = Repository(Registry(registry, Access()), name)
    config = oci.Descriptor(oci.CONFIG, digests.of_bytes(b"{}"), 2)
    layer = oci.Descriptor(oci.LAYER, digests.of_bytes(content), len(content))
    store.add_bytes(config, b"{}")
    store.add_bytes(layer, content)
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json()],
    }
    manifest = oci.manifest(oci.encode(document), name)
    store.publish(manifest, "")
    return manifest.descriptor.digest, layer


def release(digest: str, version: str, registry: str = CORE) -> Record:
    image = RECORD.evidence.image
    assert image is not None
    image = image.model_copy(update={"digest": digest, "url": f"{registry}/team/digits:{version}"})
    identity = RECORD.identity.model_copy(update={"name": "digits", "version": version})
    return Record(identity=identity, evidence=RECORD.evidence.model_copy(update={"image": image}))


def put(folder: Path, remote: Path, record: Record, *sites: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
        write_text(folder / path, text)
    with git.session(git.Access()) as client:
        publish.publish(client, publish.Target(f"file://{remote}", "main"), publish.rendered(folder), AUTHOR, message)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    path = tmp_path / "mirror.git"
    publish.create_local(path, "main")
    return path


@pytest.fixture
def two(tmp_path: Path, mirror: Path, plain_registry: str, request: pytest.FixtureRequest) -> list[str]:
    """The digests of two releases that the site ran; the site's registry holds both images."""
    name = f"edge/{digests.of_bytes(request.node.name.encode())[7:19]}/team/digits"
    found = [pushed(plain_registry, name, content)[0] for content in (b"one", b"two")]
    for version, digest in zip("12", found, strict=True):
        put(tmp_path / "rendered", mirror, release(digest, version), "site-1")
    return [*found, name.removesuffix("/team/digits")]


def start(tmp_path: Path, *options: str) -> tuple[int, dict[str, str]]:
    names = ("commit", "changed", "sites-moved", "from-digests", "to-digests")
    flags = [f"--result-{name}={tmp_path / 'results' / name}" for name in names]
    status = rollback_model.main([*flags, *options])
    return status, {name: (tmp_path / "results" / name).read_text() for name in names if status == 0}


def test_with_the_core_cut_off(tmp_path: Path, mirror: Path, plain_registry: str, two: list[str], capsys) -> None:
    old, new, path = two
    options = ("--model=digits", f"--git-url=file://{mirror}", f"--registry={plain_registry}/{path}")
    status, results = start(tmp_path, *options, "--", "site-1")
    assert (status, results["changed"], results["commit"]) == (0, "true", ask(mirror, "rev-parse", "main"))
    assert json.loads(results["sites-moved"]) == ["site-1"]
    assert json.loads(results["from-digests"]) == [new]
    assert json.loads(results["to-digests"]) == [old]
    assert ask(mirror, "rev-list", "--count", "main") == "3"
    assert old in ask(mirror, "show", f"main:models/digits/releases/{old[7:19]}/deployment.yaml")
    assert f"{plain_registry}/{path}/team/digits@{old}: is there" in capsys.readouterr().err
    status, results = start(tmp_path, *options)
    assert (status, results["changed"], results["sites-moved"]) == (0, "false", "[]")
    assert "nothing to commit" in capsys.readouterr().err


def test_the_cores_registry_is_asked_where_no_other_is_named(tmp_path: Path, mirror: Path, two, capsys) -> None:
    assert two
    before = ask(mirror, "rev-parse", "main")
    assert start(tmp_path, "--model=digits", f"--git-url=file://{mirror}")[0] == 4
    said = capsys.readouterr().err.strip()
    assert CORE in said and "\n" not in said
    assert ask(mirror, "rev-parse", "main") == before
    assert start(tmp_path, "--model=digits", f"--git-url=file://{mirror}", "--check-image=false")[0] == 0


def test_the_commit_is_signed(tmp_path: Path, mirror: Path, two: list[str]) -> None:
    assert two
    (tmp_path / "key").mkdir()
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key" / "id_ed25519")]
    subprocess.run(command, check=True)
    options = (f"--git-url={mirror}", "--check-image=false", f"--signing-key={tmp_path / 'key'}")
    assert start(tmp_path, "--model=digits", *options)[0] == 0
    assert "BEGIN SSH SIGNATURE" in ask(mirror, "cat-file", "commit", "main")


@pytest.mark.parametrize("part", ["manifest", "layer"])
def test_an_image_that_is_gone(tmp_path: Path, mirror: Path, start_registry, capsys, part: str) -> None:
    registry = start_registry()
    name = "edge/team/digits"
    old, layer = pushed(registry, name, b"one")
    new, _ = pushed(registry, name, b"two")
    store = Repository(Registry(registry, Access()), name)
    what = f"manifests/{old}" if part == "manifest" else f"blobs/{layer.digest}"
    assert store.registry.ask("DELETE", f"{store.path}/{what}", store.pull).status_code == 202
    for version, digest in (("1", old), ("2", new)):
        put(tmp_path / "rendered", mirror, release(digest, version), "site-1")
    before = ask(mirror, "rev-parse", "main")
    assert start(tmp_path, "--model=digits", f"--git-url={mirror}", f"--registry={registry}/edge")[0] == 4
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert ("has no image" if part == "manifest" else f"lacks {layer.digest[:19]}") in said
    assert ask(mirror, "rev-parse", "main") == before


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--model=digits"], 2, "git-url: none given"),
        (["--model=../x", "--git-url=/x"], 2, "is no name of a model"),
        (["--model=digits", "--git-url=-x"], 2, "is no address"),
        (["--model=digits", "--git-url=/x", "--author-name="], 2, "author-name and author-email"),
        (["--model=digits", "--git-url=MIRROR", "--git-branch=next"], 1, "has no branch 'next'"),
        (["--model=digits", "--git-url=MIRROR", "--", "site-9"], 1, "site 'site-9': runs no model"),
        (["--model=digits", "--git-url=MIRROR", "--registry=x"], 1, "registry 'x': names no registry"),
        (["--model=digits", "--git-url=/nowhere.git"], 4, "git init --bare"),
    ],
)
def test_refusals_are_one_line(
    tmp_path: Path, mirror: Path, capsys, options: list[str], status: int, words: str
) -> None:
    for digit in "12":
        put(tmp_path / "rendered", mirror, release(f"sha256:{digit * 64}", digit), "site-1")
    before = ask(mirror, "rev-parse", "main")
    assert start(tmp_path, *(option.replace("MIRROR", str(mirror)) for option in options))[0] == status
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert words in said
    assert ask(mirror, "rev-parse", "main") == before
