"""Which release each site runs: publishing for some holds the others, and what no site names goes."""

import itertools
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nearedge.delivery import git
from nearedge.delivery.gitops import deployed, fleet, publish, render, site_usage
from nearedge.delivery.gitops.fleet import Fleet, Wanted
from nearedge.delivery.gitops.message import message
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record

RECORD = records.read(Path(__file__).parents[1] / "data" / "release.json")
AUTHOR = publish.Author("Ada", "ada@example.com")


def release(digest: str, version: str = "1") -> Record:
    image = RECORD.evidence.image
    assert image is not None
    image = image.model_copy(update={"digest": f"sha256:{digest * 64}"[:71]})
    return Record(
        identity=RECORD.identity.model_copy(update={"name": "digits", "version": version}),
        evidence=RECORD.evidence.model_copy(update={"image": image}),
    )


def rendered(folder: Path, record: Record, *sites: str) -> publish.Rendered:
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
        write_text(folder / path, text)
    return publish.rendered(folder)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    publish.create_local(path, "main")
    return path


@pytest.fixture
def put(tmp_path: Path, remote: Path):
    """A function that publishes the release with a digest for some sites."""
    numbers = itertools.count()

    def putting(digest: str, *sites: str) -> publish.Published:
        folder = tmp_path / f"rendered-{next(numbers)}"
        with git.session(git.Access()) as client:
            target = publish.Target(f"file://{remote}", "main")
            return publish.publish(client, target, rendered(folder, release(digest, digest), *sites), AUTHOR, message)

    return putting


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def runs(remote: Path) -> dict[str, str]:
    """What each site runs: the first digit of the image's digest, found as kustomize would."""
    found = {}
    paths = ask(remote, "ls-tree", "-r", "--name-only", "main", "--", "sites").split()
    for path in [path for path in paths if "/digits/" in path]:
        (folder,) = fleet.reference("digits").findall(ask(remote, "show", f"main:{path}").split("components:")[0])
        text = ask(remote, "show", f"main:models/digits/{folder}/release.json")
        found[path.split("/")[1]] = fleet.digest_of(records.parse(text, path))[7]
    return found


def folders(remote: Path) -> list[str]:
    listed = ask(remote, "ls-tree", "-r", "-d", "--name-only", "main:models/digits").split()
    return [path for path in listed if "components" not in path]


def test_publishing_for_some_holds_the_others(put, remote: Path) -> None:
    put("a", "edge-1", "edge-2", "edge-3")
    assert folders(remote) == ["base"]
    done = put("b", "edge-1")
    assert done.sites == ["edge-1"]
    assert runs(remote) == {"edge-1": "b", "edge-2": "a", "edge-3": "a"}
    assert folders(remote) == ["base", "releases", f"releases/{'a' * 12}"]
    said = ask(remote, "log", "-1", "--format=%B")
    assert "Upgrade, for edge-1." in said
    assert f"- edge-2 at a ({'a' * 12})" in said
    put("c", "edge-2")
    assert runs(remote) == {"edge-1": "b", "edge-2": "c", "edge-3": "a"}
    assert folders(remote)[2:] == [f"releases/{'a' * 12}", f"releases/{'b' * 12}"]
    assert put("c", "edge-1", "edge-2", "edge-3").sites == ["edge-1", "edge-3"]
    assert folders(remote) == ["base"]
    assert runs(remote) == dict.fromkeys(("edge-1", "edge-2", "edge-3"), "c")


def test_what_a_held_site_runs_is_not_changed_by_a_byte(put, remote: Path) -> None:
    put("a", "edge-1", "edge-2")
    before = ask(remote, "rev-parse", "main:models/digits/base")
    put("b", "edge-1")
    assert ask(remote, "rev-parse", f"main:models/digits/releases/{'a' * 12}") == before


def test_the_same_release_twice_is_one_commit_also_while_others_are_held(put, remote: Path) -> None:
    put("a", "edge-1", "edge-2")
    first = put("b", "edge-1")
    assert put("b", "edge-1") == publish.Published(first.commit, changed=False)
    assert ask(remote, "rev-list", "--count", "main") == "2"


def test_the_same_model_for_different_sites_at_once(put, remote: Path) -> None:
    put("a", "edge-1", "edge-2", "edge-3", "edge-4")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(put, "bcd", ("edge-1", "edge-2", "edge-3")))
    assert runs(remote) == {"edge-1": "b", "edge-2": "c", "edge-3": "d", "edge-4": "a"}
    assert ask(remote, "rev-list", "--count", "main") == "4"


def test_usage_reads_a_held_site_from_its_release(put, remote: Path, tmp_path: Path) -> None:
    put("a", "edge-1", "edge-2")
    put("b", "edge-1")
    clone = tmp_path / "clone"
    ask(tmp_path, "clone", "-q", str(remote), str(clone))
    held = clone / "models/digits/releases" / ("a" * 12) / "release.json"
    held.write_text(held.read_text().replace('"memory_limit_mib": 192', '"memory_limit_mib": 150'))
    ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qam", "less")
    ask(clone, "push", "-q", "origin", "HEAD:main")
    at = tmp_path / "at"
    at.mkdir()
    with git.session(git.Access()) as client:
        assert deployed.fetch(client, str(remote), "main", at)
        found = site_usage.read(client, at).sites
        assert fleet.named_in(client, at, "FETCH_HEAD")[("edge-2", "digits")] == f"releases/{'a' * 12}"
    assert [found[site][0].memory_limit_mib for site in ("edge-1", "edge-2")] == [192, 150]


def test_a_repository_without_sites_names_nothing(remote: Path, put) -> None:
    put("a")
    with git.session(git.Access()) as client:
        assert fleet.named_in(client, remote, "main") == {}
        with pytest.raises(git.RefusedError):
            fleet.named_in(client, remote, "no-such-branch")


def files(digest: str, **more: str) -> dict[str, str]:
    return {"release.json": records.dump(release(digest)), **more}


OVERLAY = "resources:\n  - ../../../models/digits/{}  # ours\n"


def tree_of(tmp_path: Path, content: Mapping[str, str]) -> fleet.Placed:
    for path, text in content.items():
        write_text(tmp_path / path, text)
    return Fleet(tmp_path).placed("digits")


def whole(digest: str = "a") -> dict[str, str]:
    return {
        **{f"models/digits/base/{path}": text for path, text in files(digest).items()},
        "sites/edge-1/digits/kustomization.yaml": OVERLAY.format("base"),
        "sites/edge-2/digits/kustomization.yaml": OVERLAY.format("base"),
        "sites/edge-2/other/kustomization.yaml": OVERLAY.format("base"),
    }


def test_the_fleet_is_read_from_a_tree(tmp_path: Path) -> None:
    placed = tree_of(tmp_path, whole())
    assert Fleet(tmp_path).models() == ["digits", "other"]
    assert Fleet(tmp_path).sites() == ["edge-1", "edge-2"]
    assert {site: run.folder for site, run in placed.sites.items()} == {"edge-1": "base", "edge-2": "base"}
    assert placed.of_site("edge-1") == release("a")
    assert placed.of_site("edge-9") is None


def test_hold_follow_and_remove(tmp_path: Path) -> None:
    placed = tree_of(tmp_path, whole())
    run = placed.sites["edge-1"]
    held = fleet.moved(placed, {"edge-1": Wanted(files("b"), run.overlay)})
    assert set(held) == {"sites/edge-1/digits/kustomization.yaml", f"models/digits/releases/{'b' * 12}/release.json"}
    assert "# ours" in str(held["sites/edge-1/digits/kustomization.yaml"])
    followed = fleet.moved(placed, {"edge-1": Wanted(files("a"), run.overlay)})
    assert followed == {}
    assert fleet.moved(placed, {"edge-1": None}) == {"sites/edge-1/digits/kustomization.yaml": None}
    gone = fleet.moved(placed, dict.fromkeys(("edge-1", "edge-2")))
    assert set(gone) == {path for path in whole() if "other" not in path}
    assert set(gone.values()) == {None}


def test_two_releases_with_one_image_get_two_folders(tmp_path: Path) -> None:
    placed = tree_of(tmp_path, whole())
    overlay = placed.sites["edge-1"].overlay
    one, two = files("0123456789abcdef", x="1"), files("0123456789abcdef", x="2")
    found = fleet.moved(placed, {"edge-1": Wanted(one, overlay), "edge-2": Wanted(two, overlay)})
    assert {path.split("/")[3] for path in found if "releases" in path} == {"0123456789ab", "cdef01234567"}


def test_components_that_a_release_lacks_are_not_named() -> None:
    text = (
        "resources:\n- ../../../models/digits/base\ncomponents:\n- ../../../models/digits/base/components/route\n"
        "- ../../../models/digits/base/components/monitoring\n- ../own\n"
    )
    there = {"components/route/kustomization.yaml": "", **files("b")}
    found = fleet.repointed(text, "digits", "releases/" + "b" * 12, there)
    start = "../../../models/digits/releases/" + "b" * 12
    assert found == f"resources:\n- {start}\ncomponents:\n- {start}/components/route\n- ../own\n"
    assert fleet.repointed("{" + start + "/components/x", "digits", "base", {}).startswith("{")


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("- ../../../models/digits/base", "base"),
        ("- '../../../models/digits/base/'", "base"),
        ("[../../../models/digits/releases/0123456789ab]", "releases/0123456789ab"),
        ("- ../../../models/digits/base-2", ""),
        ("- ../../../models/digits2/base", ""),
        ("- ../../../models/digits/releases/0123", ""),
        ("- https://example.com/base", ""),
    ],
)
def test_which_folder_a_site_names(text: str, folder: str) -> None:
    assert fleet.named_by({"kustomization.yaml": text}, "digits") == folder


def test_links_are_not_followed(tmp_path: Path) -> None:
    astray = tmp_path / "astray"
    write_text(astray / "digits" / "base" / "release.json", "x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "models").symlink_to(astray)
    assert Fleet(tmp_path / "tree").placed("digits") == fleet.Placed("digits")
    assert Fleet(tmp_path / "tree").models() == []
