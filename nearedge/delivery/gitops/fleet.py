"""Which release of a model each site runs, as a GitOps repository says it, and what has to change there to move sites.

    models/MODEL/base/                     the newest release that was published
    models/MODEL/releases/ID/              an earlier one, there only while a site is held at it
    sites/SITE/MODEL/kustomization.yaml    names one of these folders: that is what the site runs

ID is 12 hex digits of the image's digest, the first ones. Where another release with the same image lies there already
(its manifests differ), it is the next 12.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from nearedge.delivery.git import Git, RefusedError
from nearedge.release import record as records
from nearedge.release.record import Record

Files = Mapping[str, str]
"""Text by path; below the folder of a release or of a site's model."""
Changes = dict[str, str | None]
"""Text by path from the top of the repository; None: the file goes."""

BASE = "base"
ID_DIGITS = 12
OVERLAY = "kustomization.yaml"
FOLDER = rf"(?:{BASE}|releases/[0-9a-f]{{{ID_DIGITS}}})"
END = r"(?![^\s/'\",\]}])"


@dataclass(frozen=True)
class Run:
    """A model at a site: the folder of the release (empty: names none of ours), and the site's own files."""

    folder: str
    overlay: Files


@dataclass(frozen=True)
class Wanted:
    """What a site shall run: the release's files (None: what it names now, as it is), and the site's own files."""

    files: Files | None
    overlay: Files


@dataclass(frozen=True)
class Placed:
    """One model in the tree: its releases by folder, and what each site runs of it."""

    name: str
    releases: Mapping[str, Files] = field(default_factory=dict)
    sites: Mapping[str, Run] = field(default_factory=dict)

    def record(self, folder: str) -> Record | None:
        """The record in the folder of a release, None where there is none.

        Raises InputError where it is damaged, UnsupportedError where it is newer than we read.
        """
        text = self.releases.get(folder, {}).get(records.IDENTITY_FILE)
        return None if text is None else records.parse(text, f"models/{self.name}/{folder}/{records.IDENTITY_FILE}")

    def of_site(self, site: str) -> Record | None:
        """The record of what a site runs, None where it is not known."""
        run = self.sites.get(site)
        return self.record(run.folder) if run else None

    def tree(self) -> dict[str, str]:
        """All files of the model by path from the top of the repository."""
        found: dict[str, str] = {}
        for folder, files in self.releases.items():
            found |= {f"models/{self.name}/{folder}/{path}": text for path, text in files.items()}
        for site, run in self.sites.items():
            found |= {f"sites/{site}/{self.name}/{path}": text for path, text in run.overlay.items()}
        return found


@dataclass(frozen=True)
class Fleet:
    """A checked-out GitOps repository."""

    at: Path

    def models(self) -> list[str]:
        """The models there are, at sites or published."""
        return sorted({*names_in(self.at / "models"), *(name for site in self.sites() for name in self.of(site))})

    def sites(self) -> list[str]:
        """The sites there are."""
        return names_in(self.at / "sites")

    def of(self, site: str) -> list[str]:
        """The models that a site runs."""
        return names_in(self.at / "sites" / site)

    def placed(self, name: str) -> Placed:
        """One model: its releases and sites. Links are not followed; what lies behind them is not there."""
        folders = [BASE, *(f"releases/{one}" for one in names_in(self.at / "models" / name / "releases"))]
        releases = {folder: files_in(self.at, f"models/{name}/{folder}") for folder in folders}
        overlays = {site: files_in(self.at, f"sites/{site}/{name}") for site in self.sites()}
        return Placed(
            name=name,
            releases={folder: files for folder, files in releases.items() if files},
            sites={site: Run(named_by(files, name), files) for site, files in overlays.items() if files},
        )


def names_in(folder: Path) -> list[str]:
    """The folders in a folder, sorted; none where it is a link or not there."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))


def files_in(at: Path, name: str) -> dict[str, str]:
    """The files below the folder `name` of `at`; nothing where a part of the way is a link."""
    parts = Path(name).parts
    if any(at.joinpath(*parts[:count]).is_symlink() for count in range(1, len(parts) + 1)):
        return {}
    found = {}
    for folder, _, files in os.walk(at / name, followlinks=False):
        for file in sorted(files):
            path = Path(folder, file)
            if not path.is_symlink():
                text = path.read_bytes().decode(errors="surrogateescape")
                found[path.relative_to(at / name).as_posix()] = text
    return found


def reference(name: str) -> re.Pattern[str]:
    """Finds where a text names the folder of a release of the model; the group is the folder."""
    return re.compile(f"models/{re.escape(name)}/({FOLDER}){END}")


def named_by(overlay: Files, name: str) -> str:
    """The folder of the release that a site's files name; empty where they name none."""
    found = reference(name).search(overlay.get(OVERLAY, ""))
    return found.group(1) if found else ""


def named_in(client: Git, at: Path, commit: str) -> dict[tuple[str, str], str]:
    """The folder that each site names of each model, by site and model, in a commit of a repository without a tree."""
    try:
        options = ("--no-color", "-I", "-z", "-o", "-E", r"models/[^/]+/(base|releases/[0-9a-f]+)")
        said = client.run("grep", *options, commit, "--", f"sites/*/{OVERLAY}", at=at)
    except RefusedError as error:
        if error.output.strip():
            raise
        return {}  # it ends with 1 where nothing was found
    found: dict[tuple[str, str], str] = {}
    for line in said.splitlines():
        path, _, text = line.partition("\0")
        parts = path.removeprefix(f"{commit}:").split("/")
        match = reference(parts[2]).fullmatch(text) if len(parts) == 4 else None
        if match:
            found.setdefault((parts[1], parts[2]), match.group(1))
    return found


def moved(placed: Placed, to: Mapping[str, Wanted | None], base: Files | None = None) -> Changes:
    """What changes where the sites in `to` run what they say (None: nothing any more), and `base` is published.

    Every other site keeps what it runs: one that followed a base which `base` replaces is held at it. The folder of a
    release that no site names any more goes, and all of the model where sites went and none is left.
    """
    stay = {site: Wanted(placed.releases.get(run.folder), run.overlay) for site, run in placed.sites.items()}
    wanted = {site: one for site, one in {**stay, **to}.items() if one is not None}
    releases: dict[str, Files] = {BASE: placed.releases.get(BASE, {}) if base is None else base}
    tree: dict[str, str] = {}
    for site, one in sorted(wanted.items()):
        overlay = one.overlay
        if one.files:
            folder = placed_at(one.files, releases, placed)
            overlay = {path: repointed(text, placed.name, folder, one.files) for path, text in overlay.items()}
        tree |= {f"sites/{site}/{placed.name}/{path}": text for path, text in overlay.items()}
    for folder, files in releases.items() if wanted or base is not None else ():
        tree |= {f"models/{placed.name}/{folder}/{path}": text for path, text in files.items()}
    return changes(placed.tree(), tree)


def placed_at(files: Files, releases: dict[str, Files], placed: Placed) -> str:
    """The folder among `releases` that holds these files; put there where none does."""
    for folder, there in releases.items():
        if there == files:
            return folder
    own = [folder for folder, there in placed.releases.items() if folder != BASE and there == files]
    folder = next(one for one in [*own, *folders_of(files)] if one not in releases)
    releases[folder] = files
    return folder


def folders_of(files: Files) -> list[str]:
    """The folders that a release which is no longer the base may have, the first first."""
    record = records.parse(files.get(records.IDENTITY_FILE, ""), "a release in the GitOps repository")
    hexadecimal = digest_of(record).rpartition(":")[2]
    starts = range(0, len(hexadecimal) - ID_DIGITS + 1, ID_DIGITS)
    return [f"releases/{hexadecimal[start : start + ID_DIGITS]}" for start in starts]


def digest_of(record: Record) -> str:
    """The digest of a release's image; empty where the record has none, which render-gitops refuses."""
    return record.evidence.image.digest if record.evidence.image else ""


def repointed(text: str, name: str, folder: str, files: Files) -> str:
    """A site's file that names `folder` for the release; components which the release lacks are no longer named."""
    text = reference(name).sub(f"models/{name}/{folder}", text)
    start = f"../../../models/{name}/{folder}/"
    try:
        document = yaml.safe_load(text) if f"{start}components/" in text else None
    except yaml.YAMLError:
        return text
    if not isinstance(document, dict):
        return text
    named: Sequence[object] = document.get("components") or []
    kept = [one for one in named if not lacks(files, str(one), start)]
    if kept == named:
        return text
    return yaml.safe_dump({**document, "components": kept}, sort_keys=False, default_flow_style=False, width=120)


def lacks(files: Files, component: str, start: str) -> bool:
    """Whether a component lies in the release's folder, which begins with `start`, by its name but not in fact."""
    return component.startswith(start) and f"{component.removeprefix(start)}/{OVERLAY}" not in files


def changes(now: Files, wanted: Files) -> Changes:
    """What makes the files that are there those that are wanted."""
    gone: Changes = {path: None for path in now if path not in wanted}
    return gone | {path: text for path, text in wanted.items() if now.get(path) != text}
