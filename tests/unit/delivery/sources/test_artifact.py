import pytest

from nearedge.delivery import digest, oci
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.reference import parse
from nearedge.delivery.sources import artifact
from nearedge.errors import InputError, OutsideError

HERE = parse("oci:store:1", allow_layout=True)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in" / "saved" / "variables").mkdir(parents=True)
    (tmp_path / "in" / "model.yaml").write_text("schema: 1\n")
    (tmp_path / "in" / "saved" / "variables" / "data").write_bytes(bytes(range(256)) * 5000)
    (tmp_path / "in" / "empty").write_bytes(b"")
    return tmp_path / "in"


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("by", ["tag", "digest", "prefix"])
def test_a_folder_goes_to_a_registry_and_comes_back(plain_registry, folder, tmp_path, by):
    reference = parse(f"{plain_registry}/examples/digits:1")
    pushed = artifact.push_artifact(reference, folder, Access())
    wanted = {
        "tag": str(reference),
        "digest": f"{plain_registry}/examples/digits@{pushed}",
        "prefix": f"oci://{reference}",
    }[by]
    assert artifact.pull_artifact(parse(wanted), tmp_path / "out", Access(), max_bytes=10**7) == pushed
    assert tree(tmp_path / "out") == tree(folder)


def test_the_same_files_give_the_same_digest(folder, tmp_path):
    first = artifact.push_artifact(HERE, folder, Access(), tmp_path)
    (folder / "model.yaml").touch()
    assert artifact.push_artifact(HERE, folder, Access(), tmp_path) == first
    (folder / "model.yaml").write_text("schema: 1 \n")
    assert artifact.push_artifact(HERE, folder, Access(), tmp_path) != first


def test_a_cap_on_the_size(folder, tmp_path):
    artifact.push_artifact(HERE, folder, Access(), tmp_path)
    with pytest.raises(InputError, match="more than the 1000 allowed"):
        artifact.pull_artifact(HERE, tmp_path / "out", Access(), max_bytes=1000, workspace=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_leaves_nothing(folder, tmp_path):
    artifact.push_artifact(HERE, folder, Access(), tmp_path)
    layout = Layout.open(tmp_path / "store")
    layout.path(digest.of_bytes((folder / "model.yaml").read_bytes())).write_text("schema: 2\n")
    with pytest.raises(OutsideError, match="do not match"):
        artifact.pull_artifact(HERE, tmp_path / "out", Access(), max_bytes=10**7, workspace=tmp_path)
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_pushed(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        artifact.push_artifact(HERE, tmp_path / "empty", Access(), tmp_path)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "out").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        artifact.push_artifact(HERE, tmp_path / "links", Access(), tmp_path)
    monkeypatch.setattr(oci, "MOST_ENTRIES", 1)
    (tmp_path / "many").mkdir()
    for name in "ab":
        (tmp_path / "many" / name).write_text(name)
    with pytest.raises(InputError, match="pack them"):
        artifact.push_artifact(HERE, tmp_path / "many", Access(), tmp_path)


def with_names(tmp_path, *names, kind=artifact.FILE):
    layout = Layout.create(tmp_path / "store")
    blob = oci.Descriptor(kind, digest.of_bytes(b"x"), 1)
    layout.add_bytes(blob, b"x")
    layers = [blob.to_json() | {"annotations": {oci.TITLE: name}} for name in names]
    config = oci.Descriptor(oci.EMPTY, digest.of_bytes(b"{}"), 2).to_json()
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": layers}
    layout.publish(oci.manifest(oci.encode(document), "x"), "1")


@pytest.mark.parametrize(
    "names",
    [
        ["../out"], ["/etc/passwd"], ["a/../../b"], ["a//b"], ["./a"], ["."], ["a\\b"], ["a\nb"], ["a\x1b[31m"],
        ["n" * 600], ["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a/"],
    ],
)  # fmt: skip
def test_hostile_names_are_refused(tmp_path, names):
    with_names(tmp_path, *names)
    with pytest.raises(OutsideError) as caught:
        artifact.pull_artifact(HERE, tmp_path / "out", Access(), max_bytes=100, workspace=tmp_path)
    assert caught.value.args[0].isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.mark.parametrize(("names", "kind"), [([""], artifact.FILE), ([], artifact.FILE), (["a"], oci.LAYER_GZIP)])
def test_images_are_no_artifacts_of_files(tmp_path, names, kind):
    with_names(tmp_path, *names, kind=kind)
    with pytest.raises(InputError):
        artifact.pull_artifact(HERE, tmp_path / "out", Access(), max_bytes=100, workspace=tmp_path)


def test_what_is_not_there(plain_registry, tmp_path):
    with pytest.raises(OutsideError, match="has no image"):
        artifact.pull_artifact(parse(f"{plain_registry}/no/such:1"), tmp_path / "out", Access(), max_bytes=1)
