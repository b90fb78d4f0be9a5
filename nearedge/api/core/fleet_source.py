"""Where the core's API knows releases and sites from: a mirror of the GitOps repository, and the core's Prometheus."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nearedge.api.core import site_health
from nearedge.api.core.prometheus import PrometheusPlace
from nearedge.api.core.site_health import Conditions
from nearedge.api.kept import Got, Kept, Seen
from nearedge.delivery import git
from nearedge.delivery.gitops import timeline
from nearedge.delivery.gitops.deployed import LOCAL
from nearedge.delivery.gitops.image_check import unchecked
from nearedge.delivery.gitops.mirrored import Mirror
from nearedge.delivery.gitops.rollback import Check
from nearedge.delivery.gitops.target import Author, Target, target_of
from nearedge.delivery.gitops.timeline import Known, Timeline
from nearedge.errors import InputError, NearedgeError
from nearedge.release.record import Record
from nearedge.runner import store
from nearedge.runner.workspaces import EMPTY_DIR

GIT_WAIT_S, PROMETHEUS_WAIT_S = 3.0, 5.5
FORGET_S = 300.0
"""After so many seconds without an answer of Prometheus, what it said is no longer shown."""
MOST_RECORDS = 64
ABSENT = "not configured"


@dataclass(frozen=True)
class FleetSettings:
    """`url` empty: `gitops.git` of the newest run below `runs` that has one. `state` is a folder for the mirror.

    `runs` None: there are no local runs, and without `url` nothing is known of releases and sites.

    `new_check` makes what is asked before sites move; see image_check. `prometheus` None: there is none.
    """

    state: Path
    url: str = ""
    branch: str = "main"
    access: git.Access = field(default_factory=git.Access)
    author: Author = field(default_factory=lambda: Author("nearedge", "nearedge@localhost"))
    git_every_s: float = 10.0
    new_check: Callable[[], Check] = lambda: unchecked
    prometheus: PrometheusPlace | None = None
    prometheus_every_s: float = 15.0
    runs: Path | None = None


class FleetSource:
    """What is known of releases and sites; one for a process."""

    def __init__(self, settings: FleetSettings) -> None:
        """Nothing is read yet. Raises UsageError where the address is none."""
        self.settings = settings
        self.git: Kept[Timeline] = Kept(self.read_git, settings.git_every_s, GIT_WAIT_S)
        place = settings.prometheus
        self.prometheus: Kept[Conditions] | None = None
        if place is not None:
            self.prometheus = Kept(partial(asked, place), settings.prometheus_every_s, PROMETHEUS_WAIT_S)
        self.records: OrderedDict[str, Record] = OrderedDict()
        self.lock = threading.Lock()
        self.mirror: Mirror | None = None
        if settings.url:
            self.target()

    def target(self) -> Target:
        """The repository and its branch as they are now. Raises InputError where no run has left any."""
        if not self.settings.url and self.settings.runs is None:
            raise InputError("no GitOps repository is configured; start nearedge api core with --git-url")
        url = self.settings.url or newest_local(self.settings.runs)
        return target_of(url, self.settings.branch, None)

    def read_git(self, before: Timeline | None) -> Got[Timeline]:
        """Bring the mirror up to date, and read it; where the remote is away, what the mirror holds."""
        mirror = Mirror(self.settings.state / "mirrors", self.target())
        problem = ""
        with mirror.locked(), git.session(self.settings.access) as client:
            for again in (False, True):
                try:
                    if again:  # what lies here is damaged; the remote has it all
                        mirror.begin(client)
                    mirror.fetch(client)
                    problem = ""
                except NearedgeError as error:
                    problem = str(error)
                try:
                    found = timeline.read(client, mirror.at, before or Timeline()) if mirror.begun(client) else None
                    break
                except git.RefusedError as error:
                    found, problem = before, problem or str(error)
            if found is None:
                return Got(Timeline() if mirror.fetched else before, mirror.fetched, problem)
            self.mirror = mirror
            return Got(found, mirror.fetched, problem)

    async def known(self) -> Seen[Timeline]:
        """What git says."""
        return await self.git.now()

    async def conditions(self) -> Seen[Conditions]:
        """What Prometheus says; nothing that is older than FORGET_S."""
        if self.prometheus is None:
            return Seen(None, None, ABSENT, stale=False)
        seen = await self.prometheus.now()
        return seen if seen.age_s <= FORGET_S else Seen(None, seen.at, seen.problem, seen.stale)

    def record(self, release: Known) -> Record:
        """The whole record of a release; blocks. Raises InputError where the mirror does not hold it any more."""
        with self.lock:
            if release.blob in self.records:
                self.records.move_to_end(release.blob)
                return self.records[release.blob]
        mirror = self.mirror
        found = None
        if mirror is not None and mirror.at.is_dir():
            with git.session(git.Access()) as client:
                found = timeline.record_of(client, mirror.at, release)
        if found is None:
            raise InputError(f"release {release.id}: its record cannot be read just now; try again")
        with self.lock:
            self.records[release.blob] = found
            while len(self.records) > MOST_RECORDS:
                self.records.popitem(last=False)
        return found


def asked(place: PrometheusPlace, before: Conditions | None) -> Got[Conditions]:
    """What Prometheus says now. Raises OutsideError, InputError."""
    return Got(site_health.read(place, before), time.time())


def newest_local(root: Path | None) -> str:
    """The repository that the newest local run published to. Raises InputError where there is none."""
    for folder in reversed(store.every(root)):
        try:
            request = folder.read_request()
        except InputError:
            continue
        url = request.get("params", {}).get("git-url", "")
        local = Path(str(url).removeprefix("file://"))
        if isinstance(url, str) and url and (not local.is_absolute() or local.exists()):
            return url
        for name, workspace in request.get("workspaces", {}).items():
            path = folder.volumes / name if workspace == EMPTY_DIR else Path(str(workspace))
            if (path / LOCAL / "HEAD").is_file():
                return str(path / LOCAL)
    raise InputError("no local run has published to a GitOps repository yet; run model-to-edge, or give its address")
