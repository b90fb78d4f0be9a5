"""What sites run already, read from a real git repository."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.delivery.gitops import deployed, render, site_usage
from nearedge.release import profile
from nearedge.release import record as records
from nearedge.release.usage import Usage

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
FOREIGN = """\
apiVersion: apps/v1
kind: Deployment
spec:
  replicas: 2
  template:
    spec:
      containers:
        - {name: a, resources: {requests: {cpu: 100m, memory: 200Mi}, limits: {memory: 300Mi}}}
        - {name: b, resources: {limits: {cpu: "1", memory: 1Gi}}}
---
kind: Service
spec: {ports: []}
"""
Reader = Callable[[dict[str, str]], Usage]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """A function that commits files and reads what the sites run."""

    def reading(files: dict[str, str]) -> Usage:
        work = tmp_path / "work"
        for path, text in files.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        who = ["-c", "user.name=n", "-c", "user.email=e@localhost"]
        for step in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-qm", "x"]):
            subprocess.run(["git", *who, *step], cwd=work, check=True)
        at = tmp_path / "at"
        at.mkdir()
        with git.session(git.Access()) as client:
            assert deployed.fetch(client, str(work), "main", at)
            return site_usage.read(client, at)

    return reading


def of(found: Usage, site: str) -> dict[str, tuple[str, int | None, int | None, int | None, int | None]]:
    return {
        one.name: (one.told_by, one.memory_request_mib, one.memory_limit_mib, one.cpu_request_m, one.cpu_limit_m)
        for one in found.sites[site]
    }


def test_our_own_releases_are_read_by_their_record(read: Reader) -> None:
    tree = render.render(RECORD, profile.read("microshift-small"), ["site-1", "site-2"])
    found = read(tree)
    name = RECORD.identity.name
    assert of(found, "site-1") == of(found, "site-2") == {name: ("record", 128, 192, 250, 1000)}
    assert [one.name for one in found.others("site-1", "another")] == [name]
    assert found.others("site-1", name) == found.others("site-3", "another") == []


def test_the_image_of_each_site_is_that_of_the_release_it_names(read: Reader) -> None:
    name, image = RECORD.identity.name, RECORD.evidence.image
    assert image is not None
    tree = render.render(RECORD, profile.read("microshift-small"), ["site-1", "site-2", "site-3", "site-4"])
    digest = "sha256:" + "9" * 64
    other = image.model_copy(update={"digest": digest, "layers": image.layers[:1]})
    record = RECORD.model_copy(update={"evidence": RECORD.evidence.model_copy(update={"image": other})})
    tree[f"models/{name}/releases/{'9' * 12}/release.json"] = records.dump(record)
    for site, folder in (("site-2", f"releases/{'9' * 12}"), ("site-3", f"releases/{'8' * 12}"), ("site-4", "x")):
        path = f"sites/{site}/{name}/kustomization.yaml"
        tree[path] = tree[path].replace(f"models/{name}/base", f"models/{name}/{folder}")
    found = read(tree)
    assert [found.images_at(f"site-{number}") for number in (3, 4, 5)] == [[], [], []]
    (first,), (second,) = found.images_at("site-1"), found.images_at("site-2")
    assert (first.url, first.digest) == (image.url, image.digest)
    assert first.layers == [layer.digest for layer in image.layers]
    assert (second.digest, second.layers) == (digest, first.layers[:1])


def test_manifests_that_are_not_ours_are_summed_up(read: Reader) -> None:
    found = read({"sites/s/theirs/app.yaml": FOREIGN, "sites/s/theirs/kustomization.yaml": "kind: Kustomization\n"})
    assert of(found, "s") == {"theirs": ("manifests", 2 * (200 + 1024), 2 * (300 + 1024), 2 * 1100, 2 * 1000)}


UNTOLD = {
    "only an overlay": {"sites/s/m/kustomization.yaml": "resources: [https://example.com/base]\n"},
    "no resources": {"sites/s/m/a.yaml": "kind: Pod\nspec: {containers: [{name: a}]}\n"},
    "not YAML": {"sites/s/m/a.yaml": "{"},
    "other shapes": {"sites/s/m/a.yaml": "spec: {template: [1], containers: {a: 1}, replicas: x}\n--- 3\n--- [1]\n"},
    "a record that is none": {"sites/s/m/x.txt": "", "models/m/base/release.json": "{}"},
    "a record from later": {
        "sites/s/m/x.txt": "",
        "models/m/base/release.json": json.dumps({"identity": {"schema_version": 99}}),
    },
    "too large": {"sites/s/m/x.txt": "", "models/m/base/deployment.yaml": FOREIGN + "#" * (1 << 20)},
}


@pytest.mark.parametrize("case", UNTOLD)
def test_what_is_not_told_is_unknown(read: Reader, case: str) -> None:
    found = read(UNTOLD[case])
    assert of(found, "s") == {"m": ("unknown", None, None, None, None)}
    assert not found.sites["s"][0].known


def test_a_record_that_cannot_be_read_leaves_the_manifests(read: Reader) -> None:
    found = read(
        {
            "sites/s/m/kustomization.yaml": "",
            "models/m/base/release.json": "{",
            "models/m/base/deployment.yaml": FOREIGN,
        }
    )
    assert of(found, "s")["m"][:2] == ("manifests", 2448)


def test_a_link_is_not_followed_and_a_model_nobody_runs_is_at_no_site(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "work/sites/s/m").mkdir(parents=True)
    (tmp_path / "work/sites/s/m/a.yaml").symlink_to("/etc/passwd")
    found = read({"sites/s/n/x": "", "sites/README.md": "", "models/idle/base/deployment.yaml": FOREIGN})
    assert list(found.sites) == ["s"] and [one.name for one in found.sites["s"]] == ["n"]
