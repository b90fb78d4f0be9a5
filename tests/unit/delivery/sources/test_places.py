"""Where models are fetched from: paths, git, the web, archives."""

import functools
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nearedge.delivery.reference import parse
from nearedge.delivery.sources.artifact import push_artifact
from nearedge.delivery.sources.download import Client
from nearedge.delivery.sources.fetch import Place
from nearedge.delivery.sources.places import Access, locate
from nearedge.errors import InputError, OutsideError, UnsupportedError

ACCESS = Access(max_bytes=1_000_000, web=Client(attempts=1))
TEXT = "schema: 1\n"


def scratch_of(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir(parents=True, exist_ok=True)
    return path


def run_git(at: Path, *arguments: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *who, *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder `m` with model.yaml and a model, below `given`."""
    path = tmp_path / "given" / "m"
    path.mkdir(parents=True)
    (path / "model.yaml").write_text(TEXT)
    (path / "model.onnx").write_bytes(b"weights")
    return path


@pytest.fixture
def repository(folder: Path) -> Path:
    """A git repository with the model folder; tag v1, branch feature/x with another model."""
    root = folder.parent
    run_git(root, "init", "-q")
    run_git(root, "add", ".")
    run_git(root, "commit", "-qm", "first")
    run_git(root, "tag", "v1")
    run_git(root, "checkout", "-qb", "feature/x")
    (folder / "model.onnx").write_bytes(b"other")
    run_git(root, "commit", "-qam", "second")
    run_git(root, "checkout", "-q", "main")
    return root


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def web(folder: Path) -> Iterator[str]:
    """The URL of a server of the folder `given`."""
    handler = functools.partial(Quiet, directory=str(folder.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def weights(place: Place) -> bytes:
    place.bring("model.onnx")
    return (place.description.parent / "model.onnx").read_bytes()


@pytest.mark.parametrize("reference", ["m/model.yaml", "m", "./m/../m/model.yaml", ""])
def test_a_path_in_the_workspace(tmp_path: Path, folder: Path, reference: str) -> None:
    place = locate(reference, folder.parent, scratch_of(tmp_path), ACCESS)
    assert place.description == folder / "model.yaml"
    assert place.origin == reference
    assert weights(place) == b"weights"


@pytest.mark.parametrize("top", ["", "m-1.0/"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_in_the_workspace(tmp_path: Path, folder: Path, top: str, kind: str) -> None:
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for name in ("model.yaml", "model.onnx"):
                packed.write(folder / name, top + name)
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, top.rstrip("/") or ".")
    place = locate(archive.name, tmp_path, scratch_of(tmp_path), ACCESS)
    assert place.description.read_text() == TEXT
    assert weights(place) == b"weights"


@pytest.mark.parametrize(
    ("reference", "kind", "words"),
    [
        ("none.yaml", InputError, "no such file in the workspace"),
        ("../x", InputError, "leads out"),
        ("/etc/passwd", InputError, "leads out"),
        ("gs://bucket/x", UnsupportedError, r"gs://: models are not fetched from there; .* s3://"),
        ("http://[::1/x", InputError, "no URL"),
        ("git+file:///nowhere.git", OutsideError, "nowhere.git"),
        ("git+file:///nowhere.git@--x", InputError, "no name of a branch"),
        ("git+file:///nowhere.git@a b", InputError, "no name of a branch"),
    ],
)
def test_what_cannot_be_found(tmp_path: Path, folder: Path, reference: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        locate(reference, folder, scratch_of(tmp_path), ACCESS)


def test_a_path_needs_the_workspace(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no workspace source is bound"):
        locate("model.yaml", None, scratch_of(tmp_path), ACCESS)


@pytest.mark.parametrize(
    ("ref", "subpath", "content"),
    [
        ("", "#m/model.yaml", b"weights"),
        ("", "#m", b"weights"),
        ("", "", b"weights"),
        ("@v1", "#m", b"weights"),
        ("@feature/x", "#m", b"other"),
        ("@main", "#m", b"weights"),
    ],
)
def test_git(tmp_path: Path, repository: Path, ref: str, subpath: str, content: bytes) -> None:
    place = locate(f"git+file://{repository}{ref}{subpath}", None, scratch_of(tmp_path), ACCESS)
    assert weights(place) == content
    commit = run_git(repository, "rev-parse", ref[1:] or "HEAD")
    assert place.origin == f"git+file://{repository}@{commit}{subpath}"


def test_a_scratch_folder_behind_a_link(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "link").symlink_to(scratch_of(tmp_path))
    place = locate(f"git+file://{repository}#m", None, tmp_path / "link", ACCESS)
    assert place.description.is_relative_to(place.root)


def test_git_by_commit_id_and_one_commit_deep(tmp_path: Path, repository: Path) -> None:
    commit = run_git(repository, "rev-parse", "feature/x")
    place = locate(f"git+file://{repository}@{commit}", None, scratch_of(tmp_path), ACCESS)
    assert weights(place) == b"other"
    assert run_git(place.root, "rev-list", "--count", "HEAD") == "1"


def test_git_without_that_ref_or_path_or_room(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(OutsideError, match="has no branch, tag or commit 'none'"):
        locate(f"git+file://{repository}@none", None, scratch_of(tmp_path), ACCESS)
    for number, subpath in enumerate(("#none/model.yaml", "#../given/m", "#/etc")):
        with pytest.raises(InputError):
            locate(f"git+file://{repository}{subpath}", None, scratch_of(tmp_path / str(number)), ACCESS)
    with pytest.raises(InputError, match="more than max-bytes 100"):
        locate(f"git+file://{repository}", None, scratch_of(tmp_path / "small"), Access(max_bytes=100))
    assert not list((tmp_path / "small" / "scratch").iterdir())


def test_the_web_description_first(tmp_path: Path, folder: Path, web: str) -> None:
    place = locate(f"{web}/m/model.yaml", None, scratch_of(tmp_path), ACCESS)
    assert not (place.root / "model.onnx").exists()
    assert weights(place) == b"weights"
    place.bring("model.onnx")
    (folder / "ir.xml").write_text("<net/>")
    (folder / "ir.bin").write_bytes(b"1")
    place.bring("ir.xml")
    assert (place.root / "ir.bin").read_bytes() == b"1"
    with pytest.raises(OutsideError, match=r"status 404.*pack it as tar or zip"):
        place.bring("folder")
    with pytest.raises(InputError, match="leads out"):
        place.bring("../other")


def test_the_web_shares_the_cap_among_all_files(tmp_path: Path, web: str) -> None:
    small = Access(max_bytes=len(TEXT) + 6)
    place = locate(f"{web}/m/model.yaml", None, scratch_of(tmp_path), small)
    with pytest.raises(InputError, match="7 bytes, more than max-bytes 6"):
        place.bring("model.onnx")


def test_the_web_archive(tmp_path: Path, folder: Path, web: str) -> None:
    with tarfile.open(folder.parent / "all.tar.xz", "w:xz") as tar:
        tar.add(folder, "m")
    place = locate(f"{web}/all.tar.xz#ignored", None, scratch_of(tmp_path), ACCESS)
    assert weights(place) == b"weights"
    assert place.origin == f"{web}/all.tar.xz"


def test_the_web_something_else(tmp_path: Path, folder: Path, web: str) -> None:
    (folder / "film").write_bytes(b"\1" * 1_500_000)
    with pytest.raises(InputError, match=r"neither a model\.yaml nor a tar or zip"):
        locate(f"{web}/m/film", None, scratch_of(tmp_path), Access(max_bytes=2_000_000))


def test_an_artifact_in_a_registry(tmp_path: Path, folder: Path, plain_registry: str) -> None:
    target = parse(f"{plain_registry}/models/m:1")
    digest = push_artifact(target, folder, ACCESS.registry)
    for number, reference in enumerate((f"oci://{target}", f"oci://{target}@{digest}")):
        place = locate(reference, None, scratch_of(tmp_path / str(number)), ACCESS)
        assert weights(place) == b"weights"
        assert place.origin == f"oci://{plain_registry}/models/m@{digest}"
    with pytest.raises(InputError, match="max-bytes"):
        locate(f"oci://{target}", None, scratch_of(tmp_path / "small"), Access(max_bytes=5))


@pytest.mark.parametrize("kind", ["oci", "git"])
def test_an_archive_inside_another_place(tmp_path: Path, folder: Path, plain_registry: str, kind: str) -> None:
    holder = tmp_path / "holder"
    holder.mkdir()
    with zipfile.ZipFile(holder / "m.zip", "w") as packed:
        for name in ("model.yaml", "model.onnx"):
            packed.write(folder / name, name)
    if kind == "oci":
        target = parse(f"{plain_registry}/models/packed:1")
        push_artifact(target, holder, ACCESS.registry)
        reference = f"oci://{target}"
    else:
        run_git(holder, "init", "-q")
        run_git(holder, "add", ".")
        run_git(holder, "commit", "-qm", "first")
        reference = f"git+file://{holder}#m.zip"
    place = locate(reference, None, scratch_of(tmp_path), ACCESS)
    assert weights(place) == b"weights"
    assert place.origin.startswith(reference.rpartition(":")[0] if kind == "oci" else f"git+file://{holder}@")
    assert kind == "oci" or place.origin.endswith("#m.zip")


def test_an_archive_in_an_artifact_has_the_same_cap(tmp_path: Path, plain_registry: str) -> None:
    holder = tmp_path / "holder"
    holder.mkdir()
    with zipfile.ZipFile(holder / "m.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("model.yaml", TEXT)
        packed.writestr("bomb", b"0" * 2_000_000)
    target = parse(f"{plain_registry}/models/bomb:1")
    push_artifact(target, holder, ACCESS.registry)
    with pytest.raises(InputError, match="unpacks to more than 1000000 bytes"):
        locate(f"oci://{target}", None, scratch_of(tmp_path), ACCESS)
