"""Referrers in a layout, in a registry without the API (docker-registry 2.8) and in one with it."""

import json
from urllib.parse import unquote

import pytest

from nearedge.delivery import digest, oci, referrers, upload
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.referrers import RECORD_TYPE, SBOM_TYPE, Attachment, attach, fallback_tag, listed
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import OutsideError

BOTH = (
    Attachment(SBOM_TYPE, "sbom.cdx.json", b'{"bom": 1}'),
    Attachment(RECORD_TYPE, "release.json", b'{"record": 1}'),
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(upload, "FIRST_WAIT_S", 0.001)


def repo(host, name):
    return Repository(Registry(host, Access(plain_http=True)), name)


def check(store, subject):
    """Both are listed once, and lead to their bytes."""
    entries = {entry["artifactType"]: entry for entry in listed(store, subject)}
    assert set(entries) == {SBOM_TYPE, RECORD_TYPE}
    for one in BOTH:
        manifest = store.resolve(entries[one.kind]["digest"])
        assert (manifest.artifact_type, manifest.config.media_type) == (one.kind, oci.EMPTY)
        assert json.loads(manifest.content)["subject"] == subject.to_json()
        assert store.read(manifest.layers[0], 99) == one.content
        assert manifest.layers[0].annotations == {oci.TITLE: one.title}


def test_in_a_layout(small_base, tmp_path):
    store = Layout.create(tmp_path / "layout")
    subject = small_base(store, "1").descriptor
    assert attach(store, subject, BOTH) > 0
    check(store, subject)
    before = (store.folder / "index.json").read_bytes()
    assert attach(store, subject, BOTH) == 0
    assert (store.folder / "index.json").read_bytes() == before
    assert store.tags() == ["1"]
    assert listed(store, small_base(store, "2", content=b"other").descriptor) == []


def test_under_the_fallback_tag(plain_registry, small_base):
    store = repo(plain_registry, "refer/fallback")
    subject = small_base(store, "1").descriptor
    assert referrers.from_api(store, subject) is None, "a registry without the API"
    assert listed(store, subject) == []
    assert attach(store, subject, BOTH) > 0
    check(store, subject)
    content, kind = store.document(fallback_tag(subject))
    assert kind == oci.INDEX
    assert attach(store, subject, BOTH) == 0
    assert attach(store, subject, [Attachment(SBOM_TYPE, "other", b"measured anew")]) == 0
    assert store.document(fallback_tag(subject))[0] == content


def test_what_others_wrote_under_the_tag_stays(plain_registry, small_base):
    store = repo(plain_registry, "refer/others")
    subject = small_base(store, "1").descriptor
    attach(store, subject, [Attachment("application/vnd.example.signature", "s", b"signed")])
    theirs = listed(store, subject)
    attach(store, subject, BOTH)
    assert [entry for entry in listed(store, subject) if entry in theirs] == theirs
    assert len(listed(store, subject)) == 3


def test_another_writer_at_the_same_time(plain_registry, small_base, monkeypatch):
    """The other one read the index before ours was in it, and writes it after."""
    store, other = repo(plain_registry, "refer/race"), repo(plain_registry, "refer/race")
    subject = small_base(store, "1").descriptor
    publish, raced = Repository.publish, []

    def late(self, manifest, tag):
        sent = publish(self, manifest, tag)
        if self is store and tag and not raced:
            raced.append(1)
            content = oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [THEIRS]})
            described = oci.Descriptor(oci.INDEX, digest.of_bytes(content), len(content))
            publish(other, referrers.Named(described, content), tag)
        return sent

    attach(other, subject, [Attachment("application/vnd.example.signature", "s", b"signed")])
    THEIRS = listed(other, subject)[0]  # noqa: N806 - read by `late`
    monkeypatch.setattr(Repository, "publish", late)
    attach(store, subject, BOTH[:1])
    assert raced
    kinds = [entry["artifactType"] for entry in listed(store, subject)]
    assert sorted(kinds) == sorted(["application/vnd.example.signature", SBOM_TYPE])


def with_api(answer, *, says_so=True):
    """A registry with the referrers API, in memory."""
    blobs, manifests = set(), {}

    def respond(request):
        place = unquote(request.path.partition("?")[0]).rpartition("/")[2]
        if "/referrers/" in request.path:
            read = {name: json.loads(body) for name, body in manifests.items()}
            about = {name: one for name, one in read.items() if one.get("subject", {}).get("digest") == place}
            found = [{"digest": name, "artifactType": one["artifactType"]} for name, one in about.items()]
            return answer(body=oci.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": found}))
        if "/manifests/" in request.path and request.method == "PUT":
            manifests[place] = request.body
            subject = json.loads(request.body).get("subject", {}).get("digest", "")
            return answer(201, headers={"OCI-Subject": subject} if says_so and subject else {})
        if "/manifests/" in request.path:
            return answer(body=manifests[place]) if place in manifests else answer(404)
        if request.method == "HEAD":
            return answer(200 if place in blobs else 404)
        if request.method == "POST":
            return answer(202, headers={"Location": "/up"})
        if request.method == "PUT":
            blobs.add(unquote(request.path.rpartition("digest=")[2]))
            return answer(201)
        return answer()

    return respond


SUBJECT = oci.Descriptor(oci.MANIFEST, "sha256:" + "a" * 64, 7)


@pytest.mark.parametrize("says_so", [True, False])
def test_with_the_api_no_tag_is_written(serve, answer, says_so):
    server = serve(with_api(answer, says_so=says_so))
    store = repo(server.host, "with/api")
    assert attach(store, SUBJECT, BOTH) > 0
    assert {entry["artifactType"] for entry in listed(store, SUBJECT)} == {SBOM_TYPE, RECORD_TYPE}
    assert attach(store, SUBJECT, BOTH) == 0
    assert not [request for request in server.asked("PUT") if fallback_tag(SUBJECT) in request.path]


def test_a_registry_that_refuses(serve, answer):
    server = serve(lambda request: answer({"HEAD": 200, "PUT": 415}.get(request.method, 404)))
    with pytest.raises(OutsideError, match="415"):
        attach(repo(server.host, "r/x"), SUBJECT, BOTH)
    server.respond = lambda _request: answer(403)
    with pytest.raises(OutsideError, match="403"):
        attach(repo(server.host, "r/x"), SUBJECT, BOTH)


def test_a_tag_that_is_no_index(plain_registry, small_base):
    store = repo(plain_registry, "refer/odd")
    manifest = small_base(store, "1")
    store.publish(manifest, fallback_tag(manifest.descriptor))
    with pytest.raises(OutsideError, match="no index of referrers"):
        attach(store, manifest.descriptor, BOTH)
