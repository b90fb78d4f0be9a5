"""upgrade-model for real: releases in a registry on loopback are tested, rendered and published, and none is made."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from nearedge.delivery import oci
from nearedge.delivery.access import Access
from nearedge.delivery.layout import Layout
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.delivery.sources import existing_release
from nearedge.errors import InputError
from scripts import fetch_release, publish_gitops, render_gitops
from tests import releases
from tests.pipelines.site import Site, free_port


@dataclass(frozen=True)
class Shelf:
    """A registry with releases of digits: by number the image by digest, and one whose golden answers are wrong."""

    host: str
    images: dict[str, str]
    layout: Path


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (.ci/run installs it)")
    root = tmp_path_factory.mktemp("shelf")
    with releases.registry(root) as host:
        images = {}
        for seed, version in enumerate(("1", "2")):
            workspace = releases.proven(root / version, version, seed)
            images[version] = releases.built(workspace, f"{host}/edge/digits:{version}", root / "image")
        wrong = shutil.copytree(root / "2", root / "wrong")
        releases.with_golden_answers_of_another(wrong)
        images["wrong"] = releases.built(wrong, f"{host}/edge/digits:wrong", root / "image")
        yield Shelf(host, images, root / "image")


@pytest.fixture
def upgrade(site: Site, shelf: Shelf) -> Callable[..., CompletedProcess[str]]:
    """A function that runs upgrade-model at `site`, whose machine has the images' layers."""
    shutil.copytree(shelf.layout, site.release / "image")

    def run(image: str, *more: str) -> CompletedProcess[str]:
        return site.nearedge(
            "run",
            "upgrade-model",
            f"-p=serving-image={image}",
            f"-p=git-url={site.gitops.as_uri()}",
            f"-p=test-port={free_port()}",
            f"-w=release={site.release}",
            *more,
            NEAREDGE_SIDECAR_BACKEND_ORDER="process",
        )

    return run


def told(site: Site) -> dict:
    """The record that git says is deployed."""
    return json.loads(site.git("show", "main:models/digits/base/release.json"))


def refused(done: CompletedProcess[str], status: int, words: str, site: Site) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert words in said
    assert "Traceback" not in said
    assert not site.git("rev-parse", "--verify", "--quiet", "main"), "nothing may get to git"


def test_an_upgrade_for_one_site_and_the_same_again(site: Site, shelf: Shelf, upgrade: Callable) -> None:
    asked = {"1": ("-p=sites=site-1,site-2", "-p=expose=route"), "2": ("-p=sites=site-2", "-p=monitoring=false")}
    for version in ("1", "2"):
        done = upgrade(f"{shelf.host}/edge/digits:{version}", *asked[version])
        assert done.returncode == 0, done.stdout + done.stderr
        record = told(site)
        assert record["identity"]["version"] == version
        assert record["evidence"]["test"]["image"] == shelf.images[version]
        assert record["evidence"]["test"]["decisions_held"] == 8
        assert shelf.images[version] in site.git("show", "main:models/digits/base/deployment.yaml")
    log = site.git("log", "--format=%H", "main").split()
    assert len(log) == 2
    again = upgrade(shelf.images["2"], *asked["2"])
    assert re.search(r"changed +false", again.stdout + again.stderr), again.stdout + again.stderr
    assert site.git("log", "--format=%H", "main").split() == log
    assert not (site.release / "ir").exists(), "no weights were needed"
    held, moved = (site.git("show", f"main:sites/{name}/digits/kustomization.yaml") for name in ("site-1", "site-2"))
    assert "releases/" in held and "components/route" in held and "components/monitoring" in held
    assert "releases/" not in moved and "components" not in moved


def test_an_image_is_mirrored_first(site: Site, shelf: Shelf, upgrade: Callable, tmp_path: Path) -> None:
    with releases.registry(tmp_path) as there:
        done = upgrade(f"{shelf.host}/edge/digits:1", f"-p=mirror-to={there}/site")
        assert done.returncode == 0, done.stdout + done.stderr
        digest = shelf.images["1"].partition("@")[2]
        assert Repository(Registry(there, Access()), "site/edge/digits").resolve("1").descriptor.digest == digest
        place = f"{there}/site/edge/digits@{digest}"
        assert place in site.git("show", "main:models/digits/base/deployment.yaml")


def test_an_image_that_fails_its_test_never_gets_to_git(site: Site, shelf: Shelf, upgrade: Callable) -> None:
    refused(upgrade(shelf.images["wrong"]), 3, "failed its self-test", site)


def without_record(shelf: Shelf) -> str:
    """The first image under another name, without what is attached to it."""
    source = Repository(Registry(shelf.host, Access()), "edge/digits")
    target = Repository(Registry(shelf.host, Access()), "edge/bare")
    manifest = source.resolve("1")
    for blob in (*manifest.layers, manifest.config):
        target.adopt(blob, source)
    target.publish(oci.manifest(manifest.content, "test"), "1")
    return f"{shelf.host}/edge/bare:1"


@pytest.mark.parametrize(
    ("image", "status", "words"),
    [
        (without_record, 1, "no release record is attached to it"),
        (lambda _: f"127.0.0.1:{free_port()}/edge/digits:1", 4, "fetch-release:"),
    ],
    ids=["no record", "registry down"],
)
def test_what_is_no_release_never_gets_to_git(
    site: Site, shelf: Shelf, upgrade: Callable, image, status, words
) -> None:
    refused(upgrade(image(shelf)), status, words, site)


@pytest.mark.parametrize(
    ("image", "registry", "status", "words"),
    [
        (f"HOST/edge/digits@sha256:{'0' * 64}", "", 4, "has no image"),
        ("HOST/edge/digits@sha256:12", "", 1, "is no digest"),
        ("HOST/edge/digits:3", "", 4, "has no image '3'"),
        ("digits:1", "", 1, "names no registry"),
        ("oci:image:1", "", 1, "a layout on disk is not allowed here"),
        ("HOST/edge/digits:1", "nowhere", 1, "registry 'nowhere': names no registry; write host"),
        ("HOST/edge/digits:1", "HOST/site", 4, "has no image"),
    ],
)
def test_wrong_images_are_one_line(shelf: Shelf, tmp_path: Path, capsys, image, registry, status, words) -> None:
    (tmp_path / "fetched").mkdir()
    given = [
        f"--serving-image={image}".replace("HOST", shelf.host),
        f"--registry={registry}".replace("HOST", shelf.host),
    ]
    assert fetch_release.main([f"--workspace={tmp_path}", *given]) == status
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and words in said[0]
    assert list(tmp_path.iterdir()) == [], "nothing of this run or an earlier one is left"


def test_what_git_says_is_deployed_is_told(shelf: Shelf, tmp_path: Path, capsys) -> None:
    given = [f"--workspace={tmp_path}", f"--serving-image={shelf.host}/edge/digits:1"]
    assert fetch_release.main(given) == 0
    assert "digits 1, 8 golden samples, a first release" in capsys.readouterr().err
    assert render_gitops.main([*given, "--", "site-1"]) == 0
    assert publish_gitops.main([f"--workspace={tmp_path}"]) == 0
    for version, words in (("1", "the release that git says is deployed"), ("2", "git says 1 is deployed")):
        image = f"--serving-image={shelf.host}/edge/digits:{version}"
        assert fetch_release.main([given[0], image, f"--result-serving-image={tmp_path}/result"]) == 0
        assert words in capsys.readouterr().err
        assert (tmp_path / "result").read_text() == shelf.images[version]
        assert (tmp_path / "previous" / "release.json").is_file()


def test_golden_samples_that_are_not_the_records(shelf: Shelf, tmp_path: Path) -> None:
    _, found = fetch_release.run(tmp_path, shelf.images["1"])
    assert found.identity.golden is not None
    golden = found.identity.golden.model_copy(update={"sha256": "0" * 64})
    other = found.model_copy(update={"identity": found.identity.model_copy(update={"golden": golden})})
    store = Repository(Registry(shelf.host, Access()), "edge/digits")
    with pytest.raises(InputError, match="holds no golden samples with the sha256"):
        existing_release.bring(store, store.resolve("1"), other, tmp_path)
    small = golden.model_copy(update={"size_bytes": -existing_release.SLACK})
    other = found.model_copy(update={"identity": found.identity.model_copy(update={"golden": small})})
    with pytest.raises(InputError, match="holds no golden samples"):
        existing_release.bring(store, store.resolve("1"), other, tmp_path)


def test_the_layout_on_this_machine_is_the_registrys(shelf: Shelf) -> None:
    layout = Layout.open(shelf.layout)
    assert [layout.resolve(tag).descriptor.digest for tag in ("1", "2", "wrong")] == [
        image.partition("@")[2] for image in shelf.images.values()
    ]
