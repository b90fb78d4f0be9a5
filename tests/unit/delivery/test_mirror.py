"""Images from one registry to another: what is moved, what a cut costs, and that nothing wrong ever arrives."""

import json
import random
import re
import subprocess
import sys
import time

import pytest

from nearedge.delivery import closure, digest, mirror, oci, patience, reference, referrers
from nearedge.delivery.access import Access
from nearedge.delivery.bandwidth import Bandwidth
from nearedge.delivery.layout import Layout
from nearedge.delivery.patience import Patience
from nearedge.delivery.registry import PassingFaultError, Registry
from nearedge.delivery.repository import Repository
from nearedge.delivery.spool import Spool
from nearedge.errors import InputError, OutsideError, UsageError
from scripts import mirror_image

RANGE = re.compile(r"bytes=(\d+)-")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.01)
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, "/nonexistent")


def blob(content, kind="application/octet-stream"):
    return oci.Descriptor(kind, digest.of_bytes(content), len(content))


class Source:
    """A registry's read side in this process: documents and blobs, and what it does to each answer for a blob."""

    def __init__(self, serve, answer):
        self.blobs, self.documents, self.tags = {}, {}, {}
        self.answer, self.fault = answer, lambda _request, made: made
        self.server = serve(self.respond)
        self.host = self.server.host
        self.sent = 0

    def image(self, tag, *contents):
        config = json.dumps({"os": "linux", "architecture": "amd64", "tag": tag}).encode()
        layers = [blob(content, oci.LAYER) for content in contents]
        self.blobs |= {digest.of_bytes(content): content for content in (config, *contents)}
        body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": blob(config, oci.CONFIG).to_json()}
        return self.add(tag, body | {"layers": [layer.to_json() for layer in layers]})

    def add(self, tag, document):
        content = oci.encode(document)
        self.documents[digest.of_bytes(content)] = (content, document["mediaType"])
        self.tags[tag] = digest.of_bytes(content)
        return oci.Descriptor(document["mediaType"], digest.of_bytes(content), len(content))

    def respond(self, request):
        which = request.path.rpartition("/")[2]
        if "/manifests/" in request.path:
            found = self.documents.get(self.tags.get(which, which))
            return self.answer(200, found[0], {"Content-Type": found[1]}) if found else self.answer(404)
        if which not in self.blobs:
            return self.answer(404 if which else 200)
        asked = RANGE.match(request.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        made = self.answer(206 if asked else 200, self.blobs[which][start:])
        made = self.fault(request, made)
        self.sent += len(made.body) - made.cut
        return made


@pytest.fixture
def source(serve, answer):
    return Source(serve, answer)


def run(source, target, folder, *images, give_up=60.0, mbit=0.0):
    names = [f"{source.host}/{image}" for image in images]
    return mirror_image.run(folder, names, target, Access(), Patience(give_up), mbit)


def skopeo(*arguments):
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


def content(seed, size):
    return random.Random(seed).randbytes(size)


def test_only_what_is_missing_is_moved_and_skopeo_takes_it(source, plain_registry, tmp_path):
    base, one, two = content(1, 300_000), content(2, 40_000), content(3, 50_000)
    first = source.image("1", base, one)
    second = source.image("2", base, two)
    ((_, done),) = run(source, f"{plain_registry}/only", tmp_path, "team/model:1")
    assert done.digest == first.digest and done.moved == done.size == first.size + 340_000 + len(config_of(source, 1))
    results = run(source, f"{plain_registry}/only", tmp_path, "team/model:1", "team/model:2")
    assert [moved.digest for _, moved in results] == [first.digest, second.digest]
    assert results[0][1].moved == 0
    assert results[1][1].moved == second.size + len(two) + len(config_of(source, 2))
    assert list((tmp_path / "spool").iterdir()) == []
    image = f"docker://{plain_registry}/only/team/model:2"
    assert (
        json.loads(skopeo("inspect", "--raw", "--tls-verify=false", image))["layers"][1]["digest"] == blob(two).digest
    )
    skopeo("copy", "--src-tls-verify=false", image, f"dir:{tmp_path}/out")
    assert (tmp_path / "out" / blob(two).digest.removeprefix("sha256:")).read_bytes() == two


def config_of(source, tag):
    manifest = json.loads(source.documents[source.tags[str(tag)]][0])
    return source.blobs[manifest["config"]["digest"]]


def test_a_second_run_asks_the_source_for_no_blob_and_says_so(source, plain_registry, tmp_path, capsys):
    made = source.image("1", content(4, 1000))
    for _ in range(2):
        run(source, plain_registry, tmp_path, f"second/run@{made.digest}=second/run:site")
    assert "moved 0 bytes" in capsys.readouterr().err
    asked = [request.path for request in source.server.requests if "/blobs/" in request.path]
    assert len(asked) == len(set(asked)) == 2


def test_what_refers_to_an_image_goes_along(source, plain_registry, tmp_path):
    made = source.image("1", content(40, 1000))
    bill = source.image("bill", b'{"bomFormat": "CycloneDX"}')
    entry = bill.to_json() | {"artifactType": "application/vnd.cyclonedx+json"}
    fallback = made.digest.replace(":", "-")
    source.add(fallback, {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [entry]})
    for moved in (True, False):
        ((_, done),) = run(source, f"{plain_registry}/referrers", tmp_path, "a/b:1")
        assert (done.moved > 0) is moved
    target = Repository(Registry(plain_registry, Access()), "referrers/a/b")
    assert referrers.listed(target, made) == [entry]
    assert target.resolve(bill.digest).layers[0].size == 26


@pytest.mark.parametrize("seed", range(6))
def test_cuts_and_refusals_cost_no_byte_twice(source, plain_registry, tmp_path, seed, answer):
    chance = random.Random(seed)
    source.image("1", *(content(seed * 10 + n, 400_000) for n in range(2)))

    def fault(_request, made):
        if chance.random() < 0.2:
            return answer(chance.choice((429, 500, 503)), b"", {"Retry-After": "0"})
        if chance.random() < 0.5 and len(made.body) > 100_000:
            cut = len(made.body) - chance.randrange(65_536, 100_000)
            made.headers["Content-Length"] = str(len(made.body))
            made.cut = cut
        return made

    source.fault = fault
    ((_, done),) = run(source, f"{plain_registry}/cut{seed}", tmp_path, "a/b:1")
    assert done.moved == done.size
    cuts = sum("Range" in request.headers for request in source.server.requests)
    assert source.sent <= 800_000 + 200 + cuts * 65_536
    skopeo("copy", "--src-tls-verify=false", f"docker://{plain_registry}/cut{seed}/a/b:1", f"dir:{tmp_path}/out")


def test_a_killed_run_goes_on_inside_the_blob(source, plain_registry, tmp_path):
    big = content(9, 3_000_000)
    source.image("1", big)
    command = [sys.executable, "-m", "scripts.mirror_image", f"--workspace={tmp_path}", f"--to={plain_registry}/killed"]
    process = subprocess.Popen([*command, "--max-mbit-s=4", "--", f"{source.host}/a/b:1"], stderr=subprocess.DEVNULL)
    part = tmp_path / "spool" / f"{blob(big).digest.removeprefix('sha256:')}.part"
    end = time.monotonic() + 60
    while time.monotonic() < end and not (part.exists() and part.stat().st_size > 500_000):
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -9
    there = part.stat().st_size
    assert 500_000 < there < 3_000_000
    ((_, done),) = run(source, f"{plain_registry}/killed", tmp_path, "a/b:1")
    ranges = [request.headers["Range"] for request in source.server.requests if "Range" in request.headers]
    assert ranges == [f"bytes={there}-"]
    assert done.moved < done.size - 500_000
    skopeo("copy", "--src-tls-verify=false", f"docker://{plain_registry}/killed/a/b:1", f"dir:{tmp_path}/out")


def test_a_part_that_rotted_is_fetched_anew(source, plain_registry, tmp_path, capsys):
    big = content(11, 200_000)
    source.image("1", big)
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{blob(big).digest[7:]}.part").write_bytes(bytes(50_000))
    run(source, f"{plain_registry}/rotted", tmp_path, "a/b:1")
    assert "arrived damaged" in capsys.readouterr().err


def test_a_flipped_bit_never_reaches_the_target(source, plain_registry, tmp_path):
    big = content(12, 100_000)
    source.image("1", big)
    source.blobs[blob(big).digest] = big[:-1] + bytes([big[-1] ^ 1])
    with pytest.raises(OutsideError, match="arrived 3 times with other bytes"):
        run(source, f"{plain_registry}/flipped", tmp_path, "a/b:1")
    target = Repository(Registry(plain_registry, Access()), "flipped/a/b")
    assert not target.has(blob(big))
    assert target.find("1") is None


def test_a_part_that_is_too_long_begins_anew(source, plain_registry, tmp_path):
    big = content(13, 10_000)
    source.image("1", big)
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{blob(big).digest[7:]}.part").write_bytes(bytes(50_000))
    run(source, f"{plain_registry}/long", tmp_path, "a/b:1")


def test_an_index_comes_with_all_it_names(source, plain_registry, tmp_path):
    below = [source.image(name, content(ord(name), 500)) for name in "ab"]
    listed = [
        one.to_json() | {"platform": {"os": "linux", "architecture": arch}}
        for one, arch in zip(below, ("arm64", "amd64"), strict=True)
    ]
    index = source.add("all", {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": listed})
    ((_, done),) = run(source, f"{plain_registry}/index", tmp_path, "a/b:all")
    assert done.digest == index.digest
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{plain_registry}/index/a/b:all")
    assert digest.of_bytes(raw.encode()) == index.digest
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{plain_registry}/index/a/b:all", f"dir:{tmp_path}/out")


def test_within_one_registry_blobs_are_mounted(plain_registry, source, tmp_path):
    source.image("1", content(20, 5000))
    run(source, f"{plain_registry}/mount", tmp_path, "a/b:1")
    image = f"{plain_registry}/mount/a/b:1=c/d:2"
    ((_, done),) = mirror_image.run(tmp_path, [image], plain_registry, Access(), Patience(1))
    assert done.moved == len(Repository(Registry(plain_registry, Access()), "c/d").resolve("2").content)


def test_what_the_source_has_not_is_said_at_once(source, plain_registry, tmp_path):
    with pytest.raises(OutsideError, match="has no image 'gone'; check the name"):
        run(source, plain_registry, tmp_path, "a/b:gone")
    index = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": [blob(b"x", oci.MANIFEST).to_json()]}
    source.add("half", index)
    with pytest.raises(OutsideError, match="which an index there names"):
        run(source, plain_registry, tmp_path, "a/b:half")


def test_patience_ends_and_says_what_is_kept(source, plain_registry, tmp_path, answer):
    source.image("1", content(21, 100))
    source.fault = lambda _request, _made: answer(503)
    with pytest.raises(OutsideError, match=r"status 503.*gave up after .* what arrived is kept"):
        run(source, f"{plain_registry}/patience", tmp_path, "a/b:1", give_up=0.01)


def test_progress_starts_the_clock_anew(monkeypatch):
    now, come = [0.0], [0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(patience.time, "sleep", lambda _: None)

    def attempt():
        now[0] += 50
        come[0] += 1 if come[0] < 4 else 0
        raise PassingFaultError("down")

    with pytest.raises(OutsideError, match="gave up after 100 s"):
        Patience(60).persist(attempt, lambda: come[0])
    assert (now[0], come[0]) == (300, 4)


def test_two_runs_do_not_share_a_spool(tmp_path):
    spool = Spool(tmp_path / "spool", Bandwidth(), Patience(0))
    with (
        spool.held(),
        pytest.raises(InputError, match="another mirror-image"),
        Spool(spool.folder, Bandwidth(), Patience(0)).held(),
    ):
        pass  # pragma: no cover


def test_the_program_keeps_off_a_spool_in_use(tmp_path, capsys):
    with Spool(tmp_path / mirror_image.FOLDER, Bandwidth(), Patience(0)).held():
        flags = [f"--workspace={tmp_path}", "--to=127.0.0.1:1", "--give-up-after=0s"]
        assert mirror_image.main([*flags, "--", "127.0.0.1:1/a:1"]) == 1
    assert "another mirror-image works in this spool" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "to", "target"),
    [
        ("core.example/a/b:1", "site.example/edge", "site.example/edge/a/b:1"),
        ("core.example/a/b:1=c:2", "site.example:5000", "site.example:5000/c:2"),
        ("core.example/a/b:1=c", "site.example", "site.example/c:1"),
        ("core.example/a/b", "site.example", "site.example/a/b:latest"),
        (f"core.example/a@sha256:{'0' * 64}", "site.example", "site.example/a"),
        (f"core.example/a:7@sha256:{'0' * 64}", "site.example/", "site.example/a:7"),
    ],
)
def test_where_an_image_goes(text, to, target):
    assert str(mirror.wanted(text, to).target) == target


@pytest.mark.parametrize(
    ("text", "to", "words"),
    [
        ("a/b:1", "site.example", "names no registry"),
        ("oci:x:1", "site.example", "not allowed here"),
        ("core.example/a:1", "site", "names no registry"),
        ("core.example/a:1=A:1", "site.example", "is no NAME"),
        ("core.example/a:1=a:", "site.example", "is no NAME"),
        ("core.example/a:1=", "site.example", "is no NAME"),
    ],
)
def test_what_names_no_place(text, to, words):
    with pytest.raises(InputError, match=words):
        mirror.wanted(text, to)


def test_one_place_takes_one_image():
    digest = "sha256:" + "0" * 64
    texts = ["core.example/a:1", f"core.example/a@{digest}", "core.example/a:1", "core.example/b:1"]
    assert [str(one.source) for one in mirror.all_wanted(texts, "site.example")] == [*texts[:2], texts[3]]
    with pytest.raises(InputError, match="would both go there"):
        mirror.all_wanted(["core.example/a:1", "other.example/a:1"], "site.example")


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("30m", 1800), ("4h", 14_400)])
def test_durations(text, value):
    assert patience.seconds(text) == value


@pytest.mark.parametrize("text", ["", "4", "4d", "-1h", "1.5h", "99999999h"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="is no duration"):
        patience.seconds(text)


def test_bandwidth(monkeypatch):
    slept = []
    monkeypatch.setattr("nearedge.delivery.bandwidth.time.monotonic", lambda: sum(slept))
    monkeypatch.setattr("nearedge.delivery.bandwidth.time.sleep", slept.append)
    assert b"".join(Bandwidth(8).paced([bytes(150_000), bytes(50_000)])) == bytes(200_000)
    assert sum(slept) == pytest.approx(0.2)
    assert [len(piece) for piece in Bandwidth().paced([bytes(150_000)])] == [150_000]


def test_a_closure_is_read_from_a_layout_too(tmp_path):
    layout = Layout.create(tmp_path / "layout")
    config = blob(b"{}", oci.CONFIG)
    body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config.to_json(), "layers": [config.to_json()]}
    manifest = oci.manifest(oci.encode(body), "x")
    layout.publish(manifest, "1")
    found = closure.of(closure.reader(layout), "1", "x")
    assert (found.digest, found.blobs) == (manifest.descriptor.digest, (config,))
    assert found.size == 2 + manifest.descriptor.size


def test_the_program(source, plain_registry, tmp_path):
    made = source.image("1", content(30, 100))
    flags = [f"--result-{name}={tmp_path / name}" for name in ("images", "digests", "moved-bytes")]
    command = [f"--workspace={tmp_path}", f"--to={plain_registry}/program", *flags]
    assert mirror_image.main([*command, "--", f"{source.host}/a/b:1"]) == 0
    assert json.loads((tmp_path / "images").read_text()) == [f"{plain_registry}/program/a/b@{made.digest}"]
    assert json.loads((tmp_path / "digests").read_text()) == [made.digest]
    assert int((tmp_path / "moved-bytes").read_text()) > 100
    assert reference.parse(json.loads((tmp_path / "images").read_text())[0]).digest == made.digest


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ([], 2, "none given"),
        (["--give-up-after=soon", "--", "x.example/a:1"], 2, "is no duration"),
        (["--max-mbit-s=fast", "--", "x.example/a:1"], 2, "is no rate"),
        (["--max-mbit-s=-1", "--", "x.example/a:1"], 2, "is no rate"),
        (["--", "nonsense"], 1, "names no registry"),
    ],
)
def test_wrong_usage(options, status, words, tmp_path, capsys):
    assert mirror_image.main([f"--workspace={tmp_path}", "--to=127.0.0.1:1", *options]) == status
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
