"""What a branch's past says of all models and sites at once: every release, and since when each site shall run which.

It is read from the oldest commit to the newest by few calls of git, and later only what came on top. Of a merge, the
first parent is followed: what the branch itself said.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nearedge.delivery.git import Git, RefusedError
from nearedge.delivery.gitops import blobs, fleet
from nearedge.delivery.gitops.commits import PATHS, Entry, entries
from nearedge.delivery.gitops.figures import figures
from nearedge.errors import InputError, NearedgeError
from nearedge.release import record as records

AT_ONCE = 50
"""Commits whose changes are in memory at once."""
MOST_SITES, MOST_RELEASES = 50_000, 10_000
"""Models at sites, and releases that are known; of releases the oldest are forgotten."""
RECORD = re.compile(rf"models/([^/]+)/({fleet.FOLDER})/{re.escape(records.IDENTITY_FILE)}")
OVERLAY = re.compile(rf"sites/([^/]+)/([^/]+)/{re.escape(fleet.OVERLAY)}")


@dataclass(frozen=True)
class Known:
    """A release, by its image: the newest record of it (git's name of the blob), and the commit that brought it first.

    `when` is that commit's time, in Unix seconds.
    """

    model: str
    digest: str
    blob: str
    commit: str
    when: int
    version: str
    precision: str
    profile: str
    image: str
    size_bytes: int
    figures: Mapping[str, str]
    layers: Mapping[str, int]
    """Bytes of the image's layers by digest."""

    @property
    def id(self) -> str:
        """What the folder of the release is called where sites are held at it."""
        return self.digest.rpartition(":")[2][: fleet.ID_DIGITS]


@dataclass(frozen=True)
class Desired:
    """What a site shall run of a model: its folder (empty: it names none of ours), the image's digest (empty: not
    known), and the commit that said so first; `since` is None where that lies before what is known of the past.
    """

    folder: str
    digest: str
    commit: str
    since: int | None


@dataclass(frozen=True)
class Timeline:
    """All that is known by the commit `head`; not changed once it is made."""

    head: str = ""
    releases: Mapping[str, Mapping[str, Known]] = field(default_factory=dict)
    """By model and digest."""
    folders: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The digest that lies in a folder, by model and folder."""
    sites: Mapping[tuple[str, str], Desired] = field(default_factory=dict)
    """By site and model."""

    def models(self) -> list[str]:
        """The models there are or were."""
        return sorted({*self.releases, *(model for _, model in self.sites)})

    def of_model(self, model: str) -> dict[str, Desired]:
        """What each site shall run of a model, by site."""
        return {site: one for (site, name), one in sorted(self.sites.items()) if name == model}


def read(client: Git, at: Path, before: Timeline) -> Timeline:
    """The timeline of HEAD of the repository `at`; `before` is taken up where HEAD builds on it.

    Raises InputError where it holds more than we keep, OutsideError where git cannot read it.
    """
    head = client.run("rev-parse", "HEAD", at=at).strip()
    if head == before.head:
        return before
    past = client.run("rev-list", "--first-parent", head, at=at).split()
    known = past.index(before.head) if before.head in past else len(past)
    start = before if known < len(past) else Timeline()
    wanted = set(client.run("rev-list", "--first-parent", head, "--", *PATHS, at=at).split())
    building = Building(start)
    new = [commit for commit in reversed(past[:known]) if commit in wanted]
    shallow = at / "shallow"
    cut = set(shallow.read_text().split()) if shallow.is_file() else set()
    for number in range(0, len(new), AT_ONCE):
        building.add(client, at, list(entries(client, at, new[number : number + AT_ONCE], cut)))
    return building.done(head)


class Building:
    """A timeline while commits are added to it."""

    def __init__(self, start: Timeline) -> None:
        """Begin with what is known."""
        self.releases = {model: dict(some) for model, some in start.releases.items()}
        self.folders = dict(start.folders)
        self.sites = dict(start.sites)
        self.at_sites: dict[str, set[str]] = {}
        for site, model in self.sites:
            self.at_sites.setdefault(model, set()).add(site)

    def done(self, head: str) -> Timeline:
        """What came of it."""
        return Timeline(head, self.releases, self.folders, self.sites)

    def add(self, client: Git, at: Path, some: list[Entry]) -> None:
        """Add commits."""
        names = {blob for entry in some for path, blob in entry.files.items() if blob and OVERLAY.fullmatch(path)}
        overlays = dict(blobs.texts(client, at, names))
        names = {blob for entry in some for path, blob in entry.files.items() if blob and RECORD.fullmatch(path)}
        read = {blob: known for blob, text in blobs.texts(client, at, names) if (known := of_text(blob, text))}
        for entry in some:
            touched: set[tuple[str, str]] = set()
            for path, blob in entry.files.items():
                touched |= self.put_record(entry, path, read.get(blob or "")) | self.put_overlay(path, blob, overlays)
            for key in touched & self.sites.keys():
                self.settle(key, entry)
            self.bound()

    def put_record(self, entry: Entry, path: str, found: Known | None) -> set[tuple[str, str]]:
        """Take in a release's record that is there, changed or gone; the models at sites that it may concern."""
        match = RECORD.fullmatch(path)
        if match is None:
            return set()
        model, folder = match.groups()
        if found is None:
            self.folders.pop((model, folder), None)
        else:
            own = self.releases.setdefault(model, {})
            first = own.get(found.digest)
            commit, when = (first.commit, first.when) if first else (entry.commit, entry.when)
            own[found.digest] = replace(found, model=model, commit=commit, when=when)
            self.folders[model, folder] = found.digest
        return {(site, model) for site in self.at_sites.get(model, ())}

    def put_overlay(self, path: str, blob: str | None, overlays: Mapping[str, str]) -> set[tuple[str, str]]:
        """Take in a site's own file; the model at the site."""
        match = OVERLAY.fullmatch(path)
        if match is None:
            return set()
        site, model = match.groups()
        if blob is None:
            self.sites.pop((site, model), None)
            self.at_sites.get(model, set()).discard(site)
            return set()
        folder = fleet.named_by({fleet.OVERLAY: overlays.get(blob, "")}, model)
        before = self.sites.get((site, model))
        self.sites[site, model] = replace(before, folder=folder) if before else Desired(folder, "", "", None)
        self.at_sites.setdefault(model, set()).add(site)
        return {(site, model)}

    def settle(self, key: tuple[str, str], entry: Entry) -> None:
        """See whether a site runs another release by this commit."""
        before = self.sites[key]
        digest = self.folders.get((key[1], before.folder), "")
        if digest != before.digest or not before.commit:
            self.sites[key] = Desired(before.folder, digest, entry.commit, None if entry.first else entry.when)

    def bound(self) -> None:
        """Forget the oldest releases where there are too many. Raises InputError for too many models at sites."""
        if len(self.sites) > MOST_SITES:
            raise InputError(f"the GitOps repository names more than {MOST_SITES} models at sites; too many to show")
        while sum(map(len, self.releases.values())) > MOST_RELEASES:
            known = (one for some in self.releases.values() for one in some.values())
            oldest = min(known, key=lambda one: one.when)
            del self.releases[oldest.model][oldest.digest]


def of_text(blob: str, text: str) -> Known | None:
    """The release that a record tells of, None where it cannot be read or has no image."""
    try:
        found = records.parse(text, blob[:12])
    except (NearedgeError, RecursionError):
        return None
    image = found.evidence.image
    if image is None:
        return None
    identity = found.identity
    return Known(
        identity.name, image.digest, blob, "", 0, identity.version, identity.precision, identity.profile,
        image.url, image.size_bytes, figures(found),
        {layer.digest: layer.size_bytes for layer in image.layers},
    )  # fmt: skip


def record_of(client: Git, at: Path, release: Known) -> records.Record | None:
    """The whole record of a release, None where it is not there any more."""
    try:
        text = client.run("cat-file", "blob", release.blob, at=at)
    except RefusedError:
        return None
    return records.parse(text, release.id)
