"""Moves sites to a release, forward or back, by a commit in the GitOps repository: the same code as the Tasks run."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.api.core import fleet_view as view
from nearedge.api.core.fleet_source import FleetSource
from nearedge.api.core.pulls import to_pull
from nearedge.api.core.release_models import FileChange, Model, Moved, MovedSite, Promote
from nearedge.api.core.release_models import Rollback as Back
from nearedge.api.problems import ProblemError, conflict
from nearedge.delivery import git
from nearedge.delivery.git import Git
from nearedge.delivery.gitops import fleet, publish
from nearedge.delivery.gitops.fleet import BASE, Fleet, Placed
from nearedge.delivery.gitops.preview import Preview, preview
from nearedge.delivery.gitops.promote import Promotion
from nearedge.delivery.gitops.publish import Change, Plan, Published, named
from nearedge.delivery.gitops.rollback import PREVIOUS, Asked, Rollback, Step, is_start
from nearedge.delivery.gitops.timeline import Timeline
from nearedge.errors import NearedgeError
from nearedge.release.record import Record


@dataclass(frozen=True)
class Move:
    """What is asked for. `sites` empty: all that run the model. `state` sees whether the model is as the caller thinks;
    it raises ProblemError 412. `plan` not empty: only what an earlier dry run said would be done.
    """

    name: str
    to: str
    sites: tuple[str, ...]
    expected: str | None
    dry_run: bool
    forward: bool
    state: Callable[[Model], None]
    plan: str = ""

    def check(self, placed: Placed) -> None:
        """Raise ProblemError where the model or its sites are not as the caller thinks."""
        digests = {folder: digest_in(placed, folder) for folder in placed.releases}
        runs = {site: run.folder for site, run in placed.sites.items() if fleet.OVERLAY in run.overlay}
        sites = {site: digests.get(folder, "") for site, folder in runs.items()}
        self.state(view.model_document(placed.name, digests.get(BASE, ""), sites))
        for site in self.sites or sorted(runs):
            if self.expected is not None and site in runs:
                record = record_in(placed, runs[site])
                if record is None or not means(self.expected, record):
                    raise conflict(
                        f"site {site!r}: runs {named(record)}, not {self.expected}; read it again, decide anew"
                    )


def of_promotion(name: str, wanted: Promote, state: Callable[[Model], None]) -> Move:
    """What a promotion's document asks for."""
    sites = tuple(sorted(set(wanted.sites)))
    return Move(
        name, wanted.release, sites, wanted.expected, wanted.dry_run, forward=True, state=state, plan=wanted.plan
    )


def of_rollback(name: str, wanted: Back, state: Callable[[Model], None]) -> Move:
    """What a rollback's document asks for."""
    sites = tuple(sorted(set(wanted.sites)))
    return Move(name, wanted.to, sites, wanted.expected, wanted.dry_run, forward=False, state=state, plan=wanted.plan)


@dataclass
class Guarded:
    """A plan that is made only where the branch, as it is now, is as the caller thinks. `mark` stands for it then."""

    move: Move
    plan: Plan
    mark: str = field(default="", init=False)

    def __call__(self, client: Git, at: Path) -> Change:
        """What changes. Raises ProblemError 409 or 412, and what the plan raises."""
        self.move.check(Fleet(at).placed(self.move.name))
        change = self.plan(client, at)
        self.mark = mark(change)
        if self.move.plan not in ("", self.mark):
            raise ProblemError(412, "plan: it would do something else now; look at a dry run again and decide anew")
        return change


def mark(change: Change) -> str:
    """What stands for a change: its files and its message, which says from where to where each site goes."""
    text = json.dumps([sorted(change.files.items()), change.message])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def do(source: FleetSource, move: Move, now: Timeline) -> Moved:
    """Do it, or say what it would do; blocks. `now` is what git said, for what sites have pulled already.

    Raises ProblemError, and what the Tasks raise: InputError for what is not there, OutsideError where the repository
    or an image is away.
    """
    if move.forward and move.to == PREVIOUS:
        raise ProblemError(422, "release: name one; previous is for a rollback")
    settings, target = source.settings, source.target()
    back = Rollback(target, Asked(move.name, move.to, move.sites), settings.new_check())
    plan = Guarded(move, Promotion(back) if move.forward else back)
    with git.session(settings.access) as client:
        if move.dry_run:
            found = preview(client, target, plan)
            return previewed(move, found, back, now).model_copy(update={"plan": plan.mark})
        done = publish.landed(client, target, settings.author, plan, begin=False)
    source.git.expire()
    return landed(move, done, back, now)


def landed(move: Move, done: Published, back: Rollback, now: Timeline) -> Moved:
    """What was done."""
    sites = [moved(site, back.steps[site], now) for site in done.sites]
    return Moved(
        model=move.name, dry_run=False, changed=done.changed, commit=done.commit, sites=sites, stay=dict(back.stay)
    )


def previewed(move: Move, found: Preview, back: Rollback, now: Timeline) -> Moved:
    """What would be done."""
    return Moved(
        model=move.name,
        dry_run=True,
        changed=bool(found.files),
        commit=found.commit,
        sites=[moved(site, back.steps[site], now) for site in found.sites],
        stay=dict(back.stay),
        files=[FileChange(path=one.path, change=one.kind, added=one.added, removed=one.removed) for one in found.files],
        message=found.message,
        diff=found.diff,
        diff_cut=found.cut,
    )


def moved(site: str, step: Step, now: Timeline) -> MovedSite:
    """A site that moves."""
    left, reached = step.left, step.reached
    size, at_most = to_pull(now, site, reached.record)
    return MovedSite(
        site=site,
        from_id=view.id_of(left.digest) if left else None,
        from_version=left.record.identity.version if left else None,
        to_id=view.id_of(reached.digest) or "",
        to_version=reached.record.identity.version,
        pull_bytes=size,
        at_most=at_most,
    )


def record_in(placed: Placed, folder: str) -> Record | None:
    """The record in the folder of a release, None where none can be read."""
    try:
        return placed.record(folder)
    except NearedgeError:
        return None


def digest_in(placed: Placed, folder: str) -> str:
    """The image's digest of the release in a folder, empty where it is not known."""
    record = record_in(placed, folder)
    return fleet.digest_of(record) if record else ""


def means(text: str, record: Record) -> bool:
    """Whether `text` is the digest of a release, the start of its digits, or its version."""
    digits = fleet.digest_of(record).rpartition(":")[2]
    return text == record.identity.version or is_start(text.removeprefix("sha256:"), digits)
