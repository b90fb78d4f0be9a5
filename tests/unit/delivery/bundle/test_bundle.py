"""Bundles: out of one place and into another, one building on the other, and every way that one can be damaged."""

import hashlib
import io
import json
import random
import subprocess
import tarfile

import pytest

from nearedge.delivery import digest, oci, referrers
from nearedge.delivery.access import Access
from nearedge.delivery.bundle import bundle_index
from nearedge.delivery.layout import Layout
from nearedge.delivery.referrers import Attachment
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import InputError
from scripts import bundle_release

BASE = random.Random(1).randbytes(200_000)


def blob(content, kind=oci.LAYER):
    return oci.Descriptor(kind, digest.of_bytes(content), len(content))


def image(store, tag, *layers):
    config = json.dumps({"os": "linux", "architecture": "amd64", "tag": tag}).encode()
    described = [blob(config, oci.CONFIG), *map(blob, layers)]
    for one, content in zip(described, (config, *layers), strict=True):
        store.add_bytes(one, content)
    body = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described[0].to_json()}
    manifest = oci.manifest(oci.encode(body | {"layers": [one.to_json() for one in described[1:]]}), tag)
    store.publish(manifest, tag)
    return manifest


@pytest.fixture(autouse=True)
def no_logins(monkeypatch):
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, "/nonexistent")


@pytest.fixture
def core(tmp_path):
    """A workspace at the core: a layout `digits` with versions 1 and 2, manifests and a bill of materials."""
    folder = tmp_path / "core"
    layout = Layout.create(folder / "digits")
    image(layout, "1", BASE, random.Random(2).randbytes(100_000))
    image(layout, "2", BASE, random.Random(3).randbytes(100_000))
    (folder / "gitops" / "sites").mkdir(parents=True)
    (folder / "gitops" / "sites" / "a.yaml").write_text("kind: List\n")
    (folder / "sbom.json").write_text("{}")
    assert call(folder, "export", "--bundle=1.tar", "--gitops=gitops", "--sbom=sbom.json", "--", "oci:digits:1") == 0
    return folder


@pytest.fixture
def site(tmp_path):
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


def call(workspace, mode, *options):
    return bundle_release.main([f"--workspace={workspace}", f"--mode={mode}", *options])


def carry(core, site, name="1.tar"):
    (site / name).write_bytes((core / name).read_bytes())
    return site / name


def target(host, name):
    return Repository(Registry(host, Access()), name)


def test_out_and_in_and_skopeo_takes_it(core, site, plain_registry, capsys):
    path = carry(core, site)
    results = [f"--result-{name}={site / name}" for name in ("bundle-sha256", "bundle-bytes", "images")]
    assert call(site, "import", "--bundle=1.tar", f"--to={plain_registry}/in", *results) == 0
    made = Layout.open(core / "digits").resolve("1")
    assert json.loads((site / "images").read_text()) == [f"digits@{made.descriptor.digest}"]
    assert (site / "bundle-bytes").read_text() == str(path.stat().st_size)
    own = (site / "bundle-sha256").read_text()
    assert (site / "bundled" / "gitops" / "sites" / "a.yaml").read_text() == "kind: List\n"
    assert (site / "bundled" / "sbom" / "sbom.json").read_text() == "{}"
    source = f"docker://{plain_registry}/in/digits:1"
    for again in ([source, "--src-tls-verify=false"], [f"oci-archive:{path}:1"]):  # the bundle is a layout, too
        command = ["skopeo", "copy", *again[1:], again[0], f"dir:{site}/out"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert (site / "out" / blob(BASE).digest[7:]).read_bytes() == BASE
    capsys.readouterr()
    assert call(site, "import", "--bundle=1.tar", f"--to={plain_registry}/in", f"--sha256={own}") == 0
    assert "0 bytes written" in capsys.readouterr().err
    assert call(site, "import", "--bundle=1.tar", f"--to={plain_registry}/in", f"--sha256={'0' * 64}") == 1
    assert "another bundle" in capsys.readouterr().err


def test_the_same_content_makes_the_same_bundle(core):
    first = (core / "1.tar").read_bytes()
    assert call(core, "export", "--bundle=1.tar", "--gitops=gitops", "--sbom=sbom.json", "--", "oci:digits:1") == 0
    assert (core / "1.tar").read_bytes() == first


@pytest.mark.parametrize("have", ["1.tar", "oci:digits:1"])
def test_a_bundle_builds_on_what_the_site_has(core, site, plain_registry, capsys, have):
    to = f"{plain_registry}/{'bundle' if have == '1.tar' else 'image'}"
    assert call(core, "export", "--bundle=2.tar", f"--have={have}", "--", "oci:digits:2") == 0
    new = sum(layer.size for layer in Layout.open(core / "digits").resolve("2").layers) - len(BASE)
    assert carry(core, site, "2.tar").stat().st_size <= 1.15 * new  # a tar is padded to 10 KiB; see the large one below
    assert call(site, "import", "--bundle=2.tar", f"--to={to}") == 1
    error = capsys.readouterr().err
    assert blob(BASE).digest in error and "nothing was imported" in error
    if have == "1.tar":
        with tarfile.open(core / "1.tar") as tar:
            assert tar.extractfile("bundle.sha256").read().decode() in error
    assert target(plain_registry, f"{to.partition('/')[2]}/digits").find("2") is None
    carry(core, site)
    assert call(site, "import", "--bundle=1.tar", f"--to={to}") == 0
    assert call(site, "import", "--bundle=2.tar", f"--to={to}") == 0
    found = target(plain_registry, f"{to.partition('/')[2]}/digits").resolve("2")
    assert found.content == Layout.open(core / "digits").resolve("2").content


def test_an_incremental_bundle_is_hardly_larger_than_the_new_blobs(core):
    new = random.Random(5).randbytes(3_000_000)
    image(Layout.open(core / "digits"), "3", BASE, new)
    assert call(core, "export", "--bundle=3.tar", "--have=1.tar", "--", "oci:digits:3") == 0
    assert (core / "3.tar").stat().st_size <= 1.05 * len(new)


def test_a_third_bundle_builds_on_the_second_and_on_what_that_built_on(core, site):
    layout = Layout.open(core / "digits")
    image(layout, "3", BASE, random.Random(3).randbytes(100_000), b"more")
    assert call(core, "export", "--bundle=2.tar", "--have=1.tar", "--", "oci:digits:2") == 0
    assert call(core, "export", "--bundle=3.tar", "--have=2.tar", "--", "oci:digits:3") == 0
    assert (core / "3.tar").stat().st_size < 20_000
    for name in ("1.tar", "2.tar", "3.tar"):
        carry(core, site, name)
        assert call(site, "import", f"--bundle={name}", "--to=oci:images") == 0
    assert Layout.open(site / "images").resolve("3").content == layout.resolve("3").content


def test_a_base_that_came_under_another_name_is_mounted(core, site, plain_registry):
    other = Layout.create(core / "faces")
    made = image(other, "1", BASE, b"faces")
    assert call(core, "export", "--bundle=2.tar", "--have=1.tar", "--", "oci:faces:1") == 0
    for name in ("1.tar", "2.tar"):
        carry(core, site, name)
        assert call(site, "import", f"--bundle={name}", f"--to={plain_registry}/mounted") == 0
    assert target(plain_registry, "mounted/faces").resolve("1").content == made.content


def test_a_registrys_images_with_what_refers_to_them(core, site, plain_registry):
    source = target(plain_registry, "team/digits")
    made = image(source, "1", BASE)
    bill = Attachment(referrers.SBOM_TYPE, "sbom.json", b'{"bomFormat": "CycloneDX"}')
    referrers.attach(source, made.descriptor, [bill])
    images = [f"{plain_registry}/team/digits@{made.descriptor.digest}", f"{plain_registry}/team/digits:1"]
    assert call(core, "export", "--bundle=r.tar", "--", *images) == 0
    carry(core, site, "r.tar")
    assert call(site, "import", "--bundle=r.tar", f"--to={plain_registry}/site") == 0
    assert call(site, "import", "--bundle=r.tar", "--to=oci:images") == 0
    for store in (target(plain_registry, "site/team/digits"), Layout.open(site / "images")):
        (entry,) = referrers.listed(store, made.descriptor)
        assert entry["artifactType"] == referrers.SBOM_TYPE
        assert store.resolve("1").content == made.content


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_medium_imports_nothing(core, site, seed, capsys):
    chance = random.Random(seed)
    content = bytearray((core / "1.tar").read_bytes())
    with tarfile.open(core / "1.tar") as tar:
        members = tar.getmembers()
    if seed % 2:
        member = chance.choice(members)
        content[member.offset_data + chance.randrange(member.size)] ^= 1 << chance.randrange(8)
    else:
        del content[chance.randrange(members[-1].offset_data) :]
    (site / "1.tar").write_bytes(content)
    assert call(site, "import", "--bundle=1.tar", "--to=oci:images") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "bug" not in error
    assert not Layout.open(site / "images").tags() if (site / "images").exists() else True
    assert not (site / "bundled").exists()


@pytest.mark.parametrize("group", range(4))
def test_no_bit_and_no_byte_of_the_medium_goes_missing_unseen(core, site, group, capsys):
    """25 seeds a group: one bit flipped or the file cut anywhere, in heads, contents, padding and end alike."""
    whole = (core / "1.tar").read_bytes()
    with tarfile.open(core / "1.tar") as tar:
        heads = [place for member in tar for place in range(member.offset, member.offset_data)]
    for seed in range(group * 25, group * 25 + 25):
        chance = random.Random(seed)
        content = bytearray(whole)
        if seed % 5 == 4:
            del content[chance.randrange(len(whole)) :]
        else:
            place = chance.choice(heads) if seed % 5 == 3 else chance.randrange(len(whole))
            content[place] ^= 1 << chance.randrange(8)
        (site / "1.tar").write_bytes(content)
        assert call(site, "import", "--bundle=1.tar", "--to=oci:images") == 1, f"seed {seed}"
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "bug" not in error, f"seed {seed}"
        assert [path.name for path in site.iterdir() if path.name != "images"] == ["1.tar"], f"seed {seed}"
        assert not (site / "images").exists() or not any((site / "images").rglob("sha256/*")), f"seed {seed}"


@pytest.mark.parametrize("more", [b"\0", bytes(512), bytes(10_240), b"x"])
def test_what_was_added_to_the_end_is_seen(core, site, more, capsys):
    (site / "1.tar").write_bytes((core / "1.tar").read_bytes() + more)
    assert call(site, "import", "--bundle=1.tar", "--to=oci:images") == 1
    assert "carry the bundle over again" in capsys.readouterr().err


def test_what_a_bundle_holds(core):
    """Images, what refers to them, manifests, bill of materials; each under its sum in the index, which has its own."""
    with tarfile.open(core / "1.tar") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}
    index = json.loads(found.pop("bundle.json"))
    own = found.pop("bundle.sha256").decode()
    assert own == hashlib.sha256(oci.encode(index)).hexdigest()
    listed = {one["path"]: (one["size"], one["sha256"]) for one in index["members"]}
    assert listed == {name: (len(text), hashlib.sha256(text).hexdigest()) for name, text in found.items()}
    assert {name for name in found if not name.startswith("blobs/")} == {
        "oci-layout", "index.json", "files/gitops/sites/a.yaml", "files/sbom/sbom.json",
    }  # fmt: skip
    made = Layout.open(core / "digits").resolve("1")
    blobs = {name.rpartition("/")[2] for name in found if name.startswith("blobs/")}
    assert blobs == {one.digest[7:] for one in (made.descriptor, made.config, *made.layers)}
    assert [(image["name"], image["tag"], image["digest"]) for image in index["images"]] == [
        ("digits", "1", made.descriptor.digest)
    ]


def test_step_images_go_along_and_are_named_once(core, site):
    """The Tasks' images are images like others: named beside the model's, and shared layers go once."""
    steps = Layout.create(core / "core")
    image(steps, "0.1.0", BASE, b"the programs")
    assert call(core, "export", "--bundle=all.tar", "--", "oci:digits:1", "oci:core:0.1.0", "oci:core:0.1.0") == 0
    with tarfile.open(core / "all.tar") as tar:
        names = tar.getnames()
    assert names.count(f"blobs/sha256/{blob(BASE).digest[7:]}") == 1
    carry(core, site, "all.tar")
    assert call(site, "import", "--bundle=all.tar", "--to=oci:images") == 0
    assert Layout.open(site / "images").tags() == ["0.1.0", "1"]


def rewritten(core, site, change):
    """The bundle with its list of (head, content) changed."""
    with tarfile.open(core / "1.tar") as tar:
        members = [(head, tar.extractfile(head).read()) for head in tar]
    with tarfile.open(site / "1.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for head, content in change(members):
            tar.addfile(head, io.BytesIO(content))


def as_kind(kind):
    def change(members):
        members[3][0].type, members[3][0].linkname = kind, "/etc/passwd"
        return members

    return change


def named(name):
    def change(members):
        members[3][0].name = name
        return members

    return change


def huge(members):
    members[1][0].size = 9 << 20
    return [members[0], (members[1][0], members[1][1].ljust(9 << 20))]


@pytest.mark.parametrize(
    "change",
    [
        *map(as_kind, (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)),
        named("../../etc/passwd"), named("/etc/passwd"), huge,
        lambda members: [*members, members[-1]],
        lambda members: members[:-1],
        lambda members: members[1:],
        lambda members: [*members[:2], *reversed(members[2:])],
        lambda _members: [],
    ],
)  # fmt: skip
def test_a_strangers_tar_imports_nothing(core, site, change, capsys):
    rewritten(core, site, change)
    assert call(site, "import", "--bundle=1.tar", "--to=oci:images") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "bug" not in error
    assert sorted(path.name for path in site.iterdir()) == ["1.tar"]


def with_index(core, site, change):
    """The bundle with a changed index whose sum is right."""

    def rewrite(members):
        document = json.loads(members[1][1])
        change(document)
        text = json.dumps(document).encode()
        members[1][0].size = len(text)
        return [(members[0][0], hashlib.sha256(text).hexdigest().encode()), (members[1][0], text), *members[2:]]

    rewritten(core, site, rewrite)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(schema=2),
        lambda d: d.pop("images"),
        lambda d: d["images"][0].update(more=1),
        lambda d: d["images"][0].update(name="../x"),
        lambda d: d["images"][0].update(digest="sha256:" + "0" * 64),
        lambda d: d["images"][0].update(subject={"x": 1}),
        lambda d: d["members"][0].update(size=-1),
        lambda d: d["members"][0].update(path="files/../../x"),
        lambda d: d["members"].append(d["members"][0]),
        lambda d: d["members"].pop(),
        lambda d: d.update(absent=[{"digest": "x", "size": 1}]),
        lambda d: d.update(absent=[{"digest": "sha256:" + "0" * 64, "size": 1, "bundle": "\n"}]),
    ],
)
def test_a_strangers_index_imports_nothing(core, site, change, capsys):
    with_index(core, site, change)
    assert call(site, "import", "--bundle=1.tar", "--to=oci:images") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "bug" not in error
    assert sorted(path.name for path in site.iterdir()) == ["1.tar"]


@pytest.mark.parametrize(
    "path", ["x", "files/a\\b", "files/a\nb", "files//a", "blobs/sha256/" + "0" * 64, "/a", "files/.."]
)
def test_paths_that_no_member_may_have(path):
    with pytest.raises(InputError, match="cannot hold"):
        bundle_index.decode(bundle_index.Index((), (bundle_index.Member(path, 1, "1" * 64),)).encode(), "x")


@pytest.mark.parametrize(
    ("mode", "options", "status", "words"),
    [
        ("sideways", [], 2, "neither export nor import"),
        ("export", [], 2, "none given"),
        ("import", [], 2, "to: is empty"),
        ("import", ["--bundle=gone.tar", "--to=oci:x"], 1, "no such bundle"),
        ("import", ["--bundle=../x", "--to=oci:x"], 1, "leads out"),
        ("import", ["--to=nonsense"], 1, "to 'nonsense': is no registry with a path or without; write host"),
        ("import", ["--to=site.example/Edge"], 1, "to 'site.example/Edge': is no registry with a path or without"),
        ("import", ["--to=oci:x", "--have=1.tar"], 2, "have: is nothing that import takes"),
        ("import", ["--to=oci:x", "--", "oci:digits:1"], 2, "images: is nothing that import takes"),
        ("export", ["--to=oci:x", "--", "oci:digits:1"], 2, "to: is nothing that export takes"),
        ("export", ["--have=gone.tar", "--", "oci:digits:1"], 1, "have 'gone.tar': is neither a bundle"),
        ("export", ["--bundle=.", "--", "oci:digits:1"], 1, "bundle '.': is a folder"),
        ("import", ["--bundle=digits", "--to=oci:x"], 1, "bundle 'digits': is a folder"),
        ("export", ["--", "oci:digits:1", "oci:Digits:1"], 1, "two images of that name and tag"),
        ("export", ["--", "oci:di gits:1"], 1, "cannot be an image's name"),
        ("export", ["--gitops=gone", "--", "oci:digits:1"], 1, "no such file"),
        ("export", ["--gitops=link", "--", "oci:digits:1"], 1, "is a link"),
        ("export", ["--", "oci:digits:9"], 4, "has no image '9'"),
    ],
)
def test_wrong_usage(core, mode, options, status, words, capsys):
    (core / "link").mkdir()
    (core / "link" / "x").symlink_to("/etc/passwd")
    for name in ("Digits", "di gits"):
        image(Layout.create(core / name), "1", b"another")
    assert call(core, mode, *options) == status
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not (core / "bundle.tar").exists()


def test_an_export_that_fails_leaves_the_older_bundle(core):
    before = (core / "1.tar").read_bytes()
    path = Layout.open(core / "digits").path(blob(BASE).digest)
    path.write_bytes(BASE[:-1] + b"?" if BASE[-1:] != b"?" else BASE[:-1] + b"!")
    assert call(core, "export", "--bundle=1.tar", "--", "oci:digits:1") == 4
    assert (core / "1.tar").read_bytes() == before
    assert not list(core.glob(".*.part"))


def test_two_names_of_one_tag_go_into_a_registry_but_not_into_one_layout(core, site, plain_registry, capsys):
    other = image(Layout.create(core / "other"), "1", BASE, b"other")
    assert call(core, "export", "--bundle=both.tar", "--", "oci:digits:1", "oci:other:1") == 0
    carry(core, site, "both.tar")
    assert call(site, "import", "--bundle=both.tar", "--to=oci:images") == 1
    assert "digits:1 and other:1 would have one name at the target" in capsys.readouterr().err
    assert Layout.open(site / "images").tags() == []
    assert call(site, "import", "--bundle=both.tar", f"--to={plain_registry}/both") == 0
    assert "2 images with 0 documents" in capsys.readouterr().err
    assert target(plain_registry, "both/other").resolve("1").descriptor.digest == other.descriptor.digest


def test_no_image_of_a_bundle_has_its_tag_before_all_blobs_are_there(core, site, monkeypatch):
    assert call(core, "export", "--bundle=both.tar", "--", "oci:digits:1", "oci:digits:2") == 0
    carry(core, site, "both.tar")
    adopt, last = Layout.adopt, Layout.open(core / "digits").resolve("2").layers[-1].digest

    def cutting(self, blob, source):
        if blob.digest == last:
            raise KeyboardInterrupt
        return adopt(self, blob, source)

    monkeypatch.setattr(Layout, "adopt", cutting)
    assert call(site, "import", "--bundle=both.tar", "--to=oci:images") == 130
    assert Layout.open(site / "images").tags() == []


@pytest.mark.parametrize("cut", range(1, 4))
def test_an_import_that_is_cut_names_nothing_and_goes_on(core, site, cut, monkeypatch):
    carry(core, site)
    adopt, calls = Layout.adopt, []

    def cutting(self, blob, source):
        calls.append(blob)
        if len(calls) == cut:
            raise KeyboardInterrupt
        return adopt(self, blob, source)

    monkeypatch.setattr(Layout, "adopt", cutting)
    assert call(site, "import", "--bundle=1.tar", "--to=oci:images") == 130
    assert Layout.open(site / "images").index()["manifests"] == []
    assert call(site, "import", "--bundle=1.tar", "--to=oci:images") == 0
    assert Layout.open(site / "images").tags() == ["1"]
    assert len(calls) == cut + 3
