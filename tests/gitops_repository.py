"""A GitOps repository of small releases on this machine, and what is done to it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.gitops import fleet, publish, render, rollback
from nearedge.delivery.gitops.message import message
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record

RECORD = records.read(Path(__file__).parent / "unit" / "delivery" / "data" / "release.json")
AUTHOR = publish.Author("Ada", "ada@example.com")


def release(digest: str, name: str = "digits", **more: object) -> Record:
    """A release whose image's digest is one hex digit again and again; version 1.DIGIT."""
    image = RECORD.evidence.image
    assert image is not None
    image = image.model_copy(update={"digest": f"sha256:{digest * 64}", **more})
    identity = RECORD.identity.model_copy(update={"name": name, "version": f"1.{digest}"})
    return Record(identity=identity, evidence=RECORD.evidence.model_copy(update={"image": image}))


def ask(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


class Place:
    """A repository, and what is done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.remote = folder, folder / "remote.git"
        publish.create_local(self.remote, "main")
        self.target = publish.Target(f"file://{self.remote}", "main")

    def put(self, record: Record | str, *sites: str, name: str = "digits") -> str:
        """Publish a release, or that of a digit, for sites; the commit."""
        record = release(record, name) if isinstance(record, str) else record
        folder = self.folder / f"rendered-{len(list(self.folder.iterdir()))}"
        for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
            write_text(folder / path, text)
        with git.session(git.Access()) as client:
            return publish.publish(client, self.target, publish.rendered(folder), AUTHOR, message).commit

    def back(
        self, *sites: str, to: str = "previous", check: rollback.Check = lambda *_: None, name: str = "digits"
    ) -> tuple[publish.Published, rollback.Rollback]:
        plan = rollback.Rollback(self.target, rollback.Asked(name, to, sites), check)
        with git.session(git.Access()) as client:
            return publish.landed(client, self.target, AUTHOR, plan, begin=False), plan

    def runs(self) -> dict[str, str]:
        """The first digit of the digest of what each site runs."""
        found = {}
        paths = ask(self.remote, "ls-tree", "-r", "--name-only", "main", "--", "sites").split()
        for path in [path for path in paths if path.count("/") == 3]:
            folder = fleet.named_by({fleet.OVERLAY: ask(self.remote, "show", f"main:{path}")}, "digits")
            text = ask(self.remote, "show", f"main:models/digits/{folder}/release.json")
            found[path.split("/")[1]] = fleet.digest_of(records.parse(text, path))[7]
        return found

    def edit(self, change: Callable[[Path], None]) -> None:
        """Commit something by hand."""
        clone = self.folder / f"clone-{len(list(self.folder.iterdir()))}"
        ask(self.folder, "clone", "-q", str(self.remote), str(clone))
        change(clone)
        ask(clone, "add", "-A")
        ask(clone, "-c", "user.name=n", "-c", "user.email=e@localhost", "commit", "-qm", "by hand")
        ask(clone, "push", "-q", "origin", "HEAD:main")

    @property
    def commits(self) -> int:
        return int(ask(self.remote, "rev-list", "--count", "main"))
