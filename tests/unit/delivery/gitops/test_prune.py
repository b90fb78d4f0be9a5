"""Old images: what the branch's past may still ask for stays; the rest is listed, and deleted only where asked to."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from nearedge.delivery import digest as digests
from nearedge.delivery import git, oci, prune, referrers
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import publish, render
from nearedge.delivery.gitops.message import message
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record
from scripts import prune_images, retire

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
AUTHOR = publish.Author("Ada", "ada@example.com")


class Place:
    """A registry's repository, and a GitOps repository whose releases name images in it."""

    def __init__(self, folder: Path, registry: str) -> None:
        self.folder, self.remote = folder, folder / "remote.git"
        self.store = Repository(Registry(registry, Access()), f"edge/{folder.name.replace('_', '-')}/digits")
        self.digests: dict[str, str] = {}
        publish.create_local(self.remote, "main")

    def push(self, version: str, *layers: bytes) -> str:
        """An image of these layers under the tag `version`; its digest."""
        blobs = [oci.Descriptor(oci.LAYER, digests.of_bytes(layer), len(layer)) for layer in layers]
        config = oci.Descriptor(oci.CONFIG, digests.of_bytes(b"{}"), 2)
        for blob, content in zip((config, *blobs), (b"{}", *layers), strict=True):
            self.store.add_bytes(blob, content)
        document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json()}
        manifest = oci.manifest(oci.encode(document | {"layers": [blob.to_json() for blob in blobs]}), version)
        self.store.publish(manifest, version)
        self.digests[version] = manifest.descriptor.digest
        return manifest.descriptor.digest

    def put(self, version: str, *sites: str) -> None:
        """Push an image of a shared layer and one of its own, and publish it."""
        digest = self.push(version, b"shared" * 1000, version.encode() * 500)
        image = RECORD.evidence.image
        assert image is not None
        update = {"digest": digest, "url": f"{self.store.where}:{version}"}
        record = Record(
            identity=RECORD.identity.model_copy(update={"name": "digits", "version": version}),
            evidence=RECORD.evidence.model_copy(update={"image": image.model_copy(update=update)}),
        )
        shutil.rmtree(self.folder / "rendered", ignore_errors=True)
        for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
            write_text(self.folder / "rendered" / path, text)
        with git.session(git.Access()) as client:
            target = publish.Target(str(self.remote), "main")
            publish.publish(client, target, publish.rendered(self.folder / "rendered"), AUTHOR, message)

    def old(self, capsys: pytest.CaptureFixture[str], *options: str) -> list[dict]:
        """What the program lists."""
        capsys.readouterr()
        assert prune_images.main([f"--git-url={self.remote}", "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    def versions(self, listed: list[dict]) -> list[str]:
        assert {entry["repository"] for entry in listed} <= {self.store.where}
        return sorted(entry["version"] for entry in listed)


@pytest.fixture
def place(tmp_path: Path, plain_registry: str) -> Place:
    return Place(tmp_path, plain_registry)


def test_what_may_go_and_what_stays(place: Place, capsys) -> None:
    place.put("v1", "edge-1", "edge-2", "edge-3")
    place.put("v2", "edge-1", "edge-2")
    place.put("v3", "edge-1", "edge-2")
    place.put("v4", "edge-1", "edge-2")
    place.put("v5", "edge-1", "edge-2")
    unknown = place.push("by-hand", b"by hand")
    listed = place.old(capsys, "--keep=1")
    assert place.versions(listed) == ["v2", "v3"]  # v1: edge-3 is held at it; v4: run before; v5: runs
    (second,) = [entry for entry in listed if entry["version"] == "v2"]
    assert (second["digest"], second["tags"]) == (place.digests["v2"], ["v2"])
    manifest = place.store.resolve("v2")
    assert second["bytes"] == 1000 + manifest.descriptor.size  # the shared layer is not freed
    assert place.versions(place.old(capsys, "--keep=3")) == ["v2"]
    assert place.old(capsys, "--keep=9") == []
    assert prune_images.main([f"--git-url={place.remote}", "--keep=1"]) == 0
    said = capsys.readouterr()
    assert f"{place.store.where}: 2 may go" in said.out
    assert place.digests["v3"] in said.out
    assert "stays, since git does not know it: by-hand" in said.err
    assert place.store.find(unknown) and place.store.find(place.digests["v2"])


def test_deleting_by_digest_with_what_is_attached(place: Place, capsys) -> None:
    for version in ("v1", "v2", "v3"):
        place.put(version, "edge-1")
    subject = place.store.resolve("v1").descriptor
    referrers.attach(place.store, subject, [referrers.Attachment(referrers.SBOM_TYPE, "sbom.json", b"{}")])
    (attached,) = [entry["digest"] for entry in referrers.listed(place.store, subject)]
    (listed,) = place.old(capsys, "--keep=1", "--delete")
    assert listed["attached"] == [attached]
    assert place.store.find(place.digests["v1"]) is None
    assert place.store.document(attached) is None
    assert place.store.find(place.digests["v2"]) and place.store.find(place.digests["v3"])
    assert place.old(capsys, "--keep=1", "--delete") == []


def test_what_an_index_that_stays_names_stays(place: Place, capsys) -> None:
    for version in ("v1", "v2", "v3"):
        place.put(version, "edge-1")
    named = place.store.resolve("v1").descriptor
    content = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [named.to_json()]})
    index = prune.closure.named(content, "index")
    place.store.publish(index, "all")
    assert place.old(capsys, "--keep=1") == []


def test_of_a_retired_model_nothing_has_to_stay(place: Place, capsys) -> None:
    place.put("v1", "edge-1")
    place.put("v2", "edge-1")
    assert place.old(capsys) == []
    assert retire.main([f"--git-url={place.remote}", "--model=digits", "--all"]) == 0
    assert place.versions(place.old(capsys)) == ["v1", "v2"]


def test_a_site_registry_instead_of_the_images_own(place: Place, plain_registry: str, capsys) -> None:
    place.put("v1", "edge-1")
    assert place.old(capsys, f"--registry={plain_registry}/nothing/there") == []


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--keep=0"], 2, "keep '0'"),
        (["--keep=x"], 2, "keep 'x'"),
        (["--git-branch=next"], 1, "there is no such branch"),
        (["--git-url=/nowhere.git"], 4, "nowhere.git"),
        (["--registry=127.0.0.1:1/x"], 4, "127.0.0.1:1"),
        (["--registry=x"], 1, "registry 'x': names no registry"),
    ],
)
def test_refusals_are_one_line(place: Place, capsys, options: list[str], status: int, words: str) -> None:
    place.put("v1", "edge-1")
    capsys.readouterr()
    assert prune_images.main([f"--git-url={place.remote}", *options]) == status
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nearedge prune-images:")]
    assert len(said) == 1
    assert words in said[0]


def edited(place: Place, path: str, old: str, new: str) -> None:
    """A commit of others on the branch, which replaces `old` in a file, or makes it."""
    clone = place.folder / "clone"
    subprocess.run(["git", "clone", "-q", place.remote, clone], check=True, capture_output=True)
    text = (clone / path).read_text() if (clone / path).exists() else old
    write_text(clone / path, text.replace(old, new))
    for argv in (["add", "."], ["commit", "-qm", "x"], ["push", "-q", "origin", "HEAD:main"]):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@localhost", *argv], cwd=clone, check=True)


def test_a_repository_that_is_not_ours(place: Place, capsys) -> None:
    edited(place, "src/main.c", "x", "int main;")
    assert prune_images.main([f"--git-url={place.remote}"]) == 1
    assert "holds src and neither models nor sites" in capsys.readouterr().err


def test_a_record_of_a_newer_schema_stops_it(place: Place, capsys) -> None:
    place.put("v1", "edge-1")
    edited(place, "models/digits/base/release.json", '"schema_version": 1', '"schema_version": 9')
    capsys.readouterr()
    assert prune_images.main([f"--git-url={place.remote}", "--delete"]) == 5
    assert "models/digits/base/release.json in commit " in capsys.readouterr().err
    assert place.store.document("v1") is not None


def test_tags_come_in_pages(serve, answer) -> None:
    def respond(request):
        if "last=b" in request.path:
            return answer(body=b'{"tags": ["c"]}')
        return answer(body=b'{"tags": ["a", "b"]}', headers={"Link": '</v2/x/tags/list?n=2&last=b>; rel="next"'})

    server = serve(respond)
    store = Repository(Registry(server.host, Access(plain_http=True)), "x")
    assert prune.tags(store) == ["a", "b", "c"]


def test_a_registry_that_does_not_delete(serve, answer) -> None:
    server = serve(lambda _: answer(status=405))
    server.hang_up = lambda method: method == "DELETE"
    store = Repository(Registry(server.host, Access(plain_http=True)), "x")
    with pytest.raises(OutsideError):
        prune.deleted(store, f"sha256:{'a' * 64}")
    with pytest.raises(OutsideError, match="status 405"):
        prune.tags(store)


def test_the_branch_is_left_as_it_was(place: Place, capsys) -> None:
    place.put("v1", "edge-1")
    before = subprocess.run(["git", "rev-parse", "main"], cwd=place.remote, check=True, capture_output=True).stdout
    place.old(capsys, "--delete")
    after = subprocess.run(["git", "rev-parse", "main"], cwd=place.remote, check=True, capture_output=True).stdout
    assert before == after
