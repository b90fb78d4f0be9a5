"""What a GitOps repository's branch said earlier: the releases of one model, and which of them each site ran.

A shallow clone is deepened step by step, only as far as somebody goes on asking. Of a merge, the first parent is
followed: what the branch itself said.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import Git, without_credentials
from nearedge.delivery.gitops import fleet
from nearedge.delivery.gitops.fleet import BASE, Files, Run
from nearedge.delivery.gitops.publish import Target
from nearedge.errors import InputError, OutsideError
from nearedge.release import record as records
from nearedge.release.record import Record

FIRST_DEEPENING = 8
"""Commits that are fetched at once at first; twice as many each time after."""
MOST_FILES = 200
"""Files of one release or overlay; ours have some twenty."""


@dataclass(frozen=True)
class Release:
    """A release as a commit holds it: git's name of the folder's content, the record, the newest such commit."""

    tree: str
    record: Record
    commit: str

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return fleet.digest_of(self.record)


class History:
    """The past of the branch that is checked out at `at`, as far as it tells of the model `name`."""

    def __init__(self, client: Git, target: Target, at: Path, name: str) -> None:
        """Nothing is read yet; `at` holds HEAD, shallow or not."""
        self.client, self.target, self.at, self.name = client, target, at, name
        self.records: dict[str, Record | None] = {}

    def commits(self) -> Iterator[str]:
        """The commits that changed the model or a site's use of it, the newest first."""
        known: set[str] = set()
        step = FIRST_DEEPENING
        while True:
            yield from self.unseen(known)
            if self.ask("rev-parse", "--is-shallow-repository").strip() != "true":
                return
            self.deepen(step)
            step *= 2

    def unseen(self, known: set[str]) -> Iterator[str]:
        """Those of the clone that are not in `known`, which they are added to."""
        paths = (f"models/{self.name}", f":(glob)sites/*/{self.name}/**")
        for commit in self.ask("rev-list", "--first-parent", "HEAD", "--", *paths).split():
            if commit not in known:
                known.add(commit)
                yield commit

    def deepen(self, step: int) -> None:
        """Fetch more of the past. Raises OutsideError where the remote refuses."""
        reference = f"refs/heads/{self.target.branch}"
        try:
            self.ask("fetch", "--quiet", f"--deepen={step}", "--no-tags", "--", self.target.url, reference)
        except git.RefusedError as error:
            raise OutsideError(f"{without_credentials(self.target.url)}: {error}; nothing was changed") from error

    def ask(self, *arguments: str) -> str:
        """What git says."""
        return self.client.run(*arguments, at=self.at)

    def releases(self, commit: str) -> dict[str, Release]:
        """The releases that a commit holds, by folder. Those whose record cannot be read are left out."""
        found = {}
        start = f"models/{self.name}/"
        for line in self.ask("ls-tree", "-d", "-z", commit, f"{start}{BASE}", f"{start}releases/").split("\0"):
            about, _, path = line.partition("\t")
            folder = path.removeprefix(start)
            if re.fullmatch(fleet.FOLDER, folder):
                tree = about.split()[2]
                record = self.record(tree, f"{path}/{records.IDENTITY_FILE} in commit {commit[:12]}")
                if record is not None:
                    found[folder] = Release(tree, record, commit)
        return found

    def record(self, tree: str, where: str) -> Record | None:
        """The record in a release's folder, None where none can be read; `where` is for what is raised."""
        if tree not in self.records:
            self.records[tree] = self.read_record(tree, where)
        return self.records[tree]

    def read_record(self, tree: str, where: str) -> Record | None:
        """As `record`, read anew."""
        try:
            return records.parse(self.ask("cat-file", "blob", f"{tree}:{records.IDENTITY_FILE}"), where)
        except (git.RefusedError, InputError):
            return None

    def at_site(self, commit: str, site: str) -> Release | None:
        """What a site ran of the model by a commit, None where that is nothing or not known."""
        folder = self.run(commit, site).folder
        return self.releases(commit).get(folder) if folder else None

    def run(self, commit: str, site: str) -> Run:
        """The site's own files in a commit; without any where it did not run the model."""
        overlay = self.files(f"{commit}:sites/{site}/{self.name}")
        return Run(fleet.named_by(overlay, self.name), overlay)

    def files(self, tree: str) -> Files:
        """The text of each file below a folder; none where it is not there."""
        try:
            listed = self.ask("ls-tree", "-r", "-z", tree).split("\0")
        except git.RefusedError:
            return {}
        found = {}
        for entry in filter(None, listed[: MOST_FILES + 1]):
            about, _, path = entry.partition("\t")
            mode, kind, blob = about.split()
            if kind == "blob" and mode.startswith("100"):
                found[path] = self.ask("cat-file", "blob", blob)
        return found

    def message(self, commit: str) -> str:
        """A commit's message."""
        return self.ask("show", "--no-patch", "--format=%B", commit)
