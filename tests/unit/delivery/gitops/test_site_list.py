"""The kustomization of a whole site: it names what the site runs, after every change, and kustomize builds it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from nearedge.delivery import git
from nearedge.delivery.gitops import publish, render, site_list
from nearedge.delivery.gitops.fleet import Fleet
from nearedge.delivery.gitops.message import message
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record
from scripts import retire, rollback_model
from tests import kustomize

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
AUTHOR = publish.Author("Ada", "ada@example.com")


class Place:
    """A GitOps repository and what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.remote = folder, folder / "remote.git"
        publish.create_local(self.remote, "main")

    def put(self, name: str, digest: str, *sites: str) -> publish.Published:
        image = RECORD.evidence.image
        assert image is not None
        image = image.model_copy(update={"digest": f"sha256:{digest * 64}"})
        record = Record(
            identity=RECORD.identity.model_copy(update={"name": name, "version": digest}),
            evidence=RECORD.evidence.model_copy(update={"image": image}),
        )
        shutil.rmtree(self.folder / "rendered", ignore_errors=True)
        for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
            write_text(self.folder / "rendered" / path, text)
        with git.session(git.Access()) as client:
            target = publish.Target(str(self.remote), "main")
            return publish.publish(client, target, publish.rendered(self.folder / "rendered"), AUTHOR, message)

    def tree(self) -> Path:
        at = self.folder / "tree"
        shutil.rmtree(at, ignore_errors=True)
        subprocess.run(["git", "clone", "-q", "-b", "main", self.remote, at], check=True)
        return at

    def lists(self) -> dict[str, list[str]]:
        """What each site's list names, by site."""
        found = self.tree().glob("sites/*/kustomization.yaml")
        return {path.parent.name: yaml.safe_load(path.read_text())["resources"] for path in found}

    def images(self, site: str) -> list[str]:
        """The first digit of the digest of each model that kustomize builds for a site, by model's name."""
        if kustomize.major() < kustomize.OLDEST:
            pytest.skip("needs kubectl 1.27 or newer to build with kustomize")
        argv = ["kubectl", "kustomize", str(self.tree() / "sites" / site)]
        built = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        pods = [one for one in yaml.safe_load_all(built) if one["kind"] == "Deployment"]
        named = {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["image"] for one in pods}
        return [f"{name} {image.rpartition(':')[2][0]}" for name, image in sorted(named.items())]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_publishing_rolling_back_and_retiring_keep_the_list(place: Place) -> None:
    place.put("digits", "a", "edge-1", "edge-2")
    place.put("a-first", "c", "edge-1")
    assert place.lists() == {"edge-1": ["a-first", "digits"], "edge-2": ["digits"]}
    place.put("digits", "b", "edge-1")
    assert place.images("edge-1") == ["a-first c", "digits b"]
    assert place.images("edge-2") == ["digits a"]
    options = [f"--git-url={place.remote}", "--model=digits"]
    assert rollback_model.main([*options, "--check-image=false", "--", "edge-1"]) == 0
    assert place.images("edge-1") == ["a-first c", "digits a"]
    assert retire.main([*options, "edge-1"]) == 0
    assert place.lists() == {"edge-1": ["a-first"], "edge-2": ["digits"]}
    assert place.images("edge-1") == ["a-first c"]


def test_a_site_without_models_has_an_empty_list_until_it_is_retired(place: Place) -> None:
    """Argo CD prunes what an empty list no longer names, and would take a folder that is gone for a fault."""
    place.put("digits", "a", "edge-1", "edge-2")
    assert retire.main([f"--git-url={place.remote}", "--model=digits", "--all"]) == 0
    assert place.lists() == {"edge-1": [], "edge-2": []}
    assert place.images("edge-1") == []
    assert retire.main([f"--git-url={place.remote}", "edge-1", "edge-2"]) == 0
    assert sorted(path.name for path in place.tree().iterdir()) == [".git", "README.md"]


def test_the_same_release_again_mends_a_list_that_is_gone_and_changes_nothing_then(place: Place) -> None:
    place.put("digits", "a", "edge-1", "edge-2")
    at = place.tree()
    for argv in (["rm", "-q", "sites/edge-1/kustomization.yaml"], ["commit", "-q", "-m", "x"], ["push", "-q"]):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *argv], cwd=at, check=True)
    assert place.put("digits", "a", "edge-1", "edge-2").changed
    assert place.lists() == {"edge-1": ["digits"], "edge-2": ["digits"]}
    assert not place.put("digits", "a", "edge-1", "edge-2").changed


def test_what_is_no_kustomization_is_not_listed_and_lists_of_others_stay(tmp_path: Path) -> None:
    write_text(tmp_path / "sites/edge-1/notes/README.md", "")
    write_text(tmp_path / "sites/edge-1/other/kustomization.yaml", "")
    write_text(tmp_path / "sites/edge-2/kustomization.yaml", "resources: [own]\n")
    found = site_list.listed(Fleet(tmp_path), {"sites/edge-1/digits/kustomization.yaml": "x"})
    assert sorted(found) == ["sites/edge-1/digits/kustomization.yaml", "sites/edge-1/kustomization.yaml"]
    assert found["sites/edge-1/kustomization.yaml"] == site_list.of_models(["digits", "other"])


def test_a_site_that_never_had_a_list_gets_none_when_it_goes(tmp_path: Path) -> None:
    write_text(tmp_path / "sites/edge-1/digits/kustomization.yaml", "x")
    changes = {"sites/edge-1/digits/kustomization.yaml": None}
    assert site_list.listed(Fleet(tmp_path), changes) == changes


def test_a_site_that_goes_takes_its_list_along(tmp_path: Path) -> None:
    changes: dict[str, str | None] = {}
    for path in ("sites/edge-1/digits/kustomization.yaml", "sites/edge-1/kustomization.yaml"):
        write_text(tmp_path / path, "x")
        changes[path] = None
    assert site_list.listed(Fleet(tmp_path), changes) == changes
