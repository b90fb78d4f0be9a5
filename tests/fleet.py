"""A GitOps repository with releases of small models, and the core's routes about them in this process."""

import io
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from nearedge.api.access import Access, Caller
from nearedge.api.application import new_app
from nearedge.api.audit import Audit
from nearedge.api.core import fleet_routes, moves_routes, releases_routes
from nearedge.api.core.fleet_source import FleetSettings, FleetSource
from nearedge.delivery import git
from nearedge.delivery.gitops import publish, render
from nearedge.delivery.gitops.message import message
from nearedge.files import write_text
from nearedge.release import profile as profiles
from nearedge.release import record as records
from nearedge.release.record import Record

RECORD = records.read(Path(__file__).parent / "unit" / "delivery" / "data" / "release.json")
AUTHOR = publish.Author("Ada", "ada@example.com")
READ, MANAGE = "r" * 20, "m" * 20
BEARER = {"Authorization": f"Bearer {MANAGE}"}


def release(digest: str, name: str = "digits", **image: object) -> Record:
    """A release whose image's digest is one hex digit again and again; version 1.DIGIT."""
    own = RECORD.evidence.image
    assert own is not None
    own = own.model_copy(update={"digest": f"sha256:{digest * 64}", **image})
    identity = RECORD.identity.model_copy(update={"name": name, "version": f"1.{digest}"})
    return Record(identity=identity, evidence=RECORD.evidence.model_copy(update={"image": own}))


def ask(at: Path, *arguments: str) -> str:
    """What git prints."""
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


class Place:
    """A repository, and what is published to it."""

    def __init__(self, folder: Path) -> None:
        """An empty one."""
        self.folder, self.remote = folder, folder / "remote.git"
        publish.create_local(self.remote, "main")
        self.target = publish.Target(f"file://{self.remote}", "main")
        self.log = io.StringIO()

    def put(self, record: Record | str, *sites: str, name: str = "digits") -> str:
        """Publish a release for sites; the commit."""
        record = release(record, name) if isinstance(record, str) else record
        folder = self.folder / f"rendered-{len(list(self.folder.iterdir()))}"
        for path, text in render.render(record, profiles.read("microshift-small"), sites).items():
            write_text(folder / path, text)
        with git.session(git.Access()) as client:
            return publish.publish(client, self.target, publish.rendered(folder), AUTHOR, message).commit

    def commits(self) -> int:
        """How many there are."""
        return int(ask(self.remote, "rev-list", "--count", "main"))

    def audited(self) -> list[dict[str, object]]:
        """The lines of the audit log."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    @contextmanager
    def client(self, **settings: object) -> Iterator[TestClient]:
        """The routes, git read at each request; who asks may do all."""
        own = FleetSettings(state=self.folder / "state", url=self.target.url, git_every_s=0, author=AUTHOR)
        source = FleetSource(replace(own, **settings))
        with TestClient(app(source, Audit(self.log)), raise_server_exceptions=False, headers=BEARER) as client:
            client.source = source
            yield client


def app(source: FleetSource, audit: Audit):
    """The application: nothing but these routes."""
    access = Access({Caller("ada", "manage"): MANAGE.encode(), Caller("bob", "read"): READ.encode()})

    async def health() -> dict[str, str]:
        return {}

    found = new_app("fleet", "", access, health)
    for router in (releases_routes.router(source), fleet_routes.router(source), moves_routes.router(source, audit)):
        found.include_router(router)
    return found
