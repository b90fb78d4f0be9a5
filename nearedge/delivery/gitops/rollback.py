"""Sets sites back to a release that the branch told of earlier, by a new commit on top, so that nobody's work is lost.

`previous` is the release, by its image's digest, that a site ran before the one it runs now. A site whose last move was
such a rollback stays where it is: asked for twice, it is done once, and the release that was left does not come back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery.git import Git
from nearedge.delivery.gitops import fleet, message, site_list
from nearedge.delivery.gitops.fleet import Fleet, Placed, Run, Wanted
from nearedge.delivery.gitops.history import History, Release
from nearedge.delivery.gitops.publish import Change, Target, named
from nearedge.errors import InputError

PREVIOUS = "previous"
SHORTEST = 7
"""Digits of a commit's name or of a digest that are enough to mean one."""
TRAILER = "Rolled-back"
Check = Callable[[Release, str], None]
"""Raises where a release cannot be run at a site, such as for want of its image."""


@dataclass(frozen=True)
class Asked:
    """What is asked for: a model, `to` what release, at which sites (none: all that run it)."""

    name: str
    to: str
    sites: Sequence[str]


@dataclass(frozen=True)
class Step:
    """One site's way back: the release it leaves (None: not known) and the one it comes to, with its files there."""

    left: Release | None
    reached: Release
    run: Run


@dataclass
class Rollback:
    """A plan for `publish.landed`; after it, `steps` holds the sites that move, and `stay` why others do not."""

    target: Target
    asked: Asked
    check: Check
    steps: dict[str, Step] = field(default_factory=dict)
    stay: dict[str, str] = field(default_factory=dict)

    def __call__(self, client: Git, at: Path) -> Change:
        """What changes. Raises InputError where a site or the release is not there, and what `check` raises."""
        self.steps, self.stay = {}, {}
        placed = Fleet(at).placed(self.asked.name)
        sites = chosen(placed, self.asked)
        past = History(client, self.target, at, self.asked.name)
        found = (
            previous(past, sites, self.stay) if self.asked.to == PREVIOUS else named_release(past, sites, self.asked.to)
        )
        for site, step in found.items():
            if step.left is not None and step.left.tree == step.reached.tree:
                self.stay[site] = f"runs {named(step.reached.record)} already"
            else:
                self.steps[site] = step
        for site, step in self.steps.items():
            self.check(step.reached, site)
        to = {site: wanted(past, placed, site, step) for site, step in self.steps.items()}
        files = site_list.listed(Fleet(at), fleet.moved(placed, to))
        return Change(files, text(self.asked.name, self.steps), sorted(self.steps))


def chosen(placed: Placed, asked: Asked) -> list[str]:
    """The sites to set back. Raises InputError where one does not run the model, or none does."""
    for site in asked.sites:
        if site not in placed.sites:
            there = ", ".join(sorted(placed.sites)[:8]) or "none"
            raise InputError(f"site {site!r}: runs no model {asked.name!r}; sites that do: {there}")
    if not placed.sites:
        raise InputError(f"model {asked.name!r}: runs at no site; check model and git-branch")
    return sorted(set(asked.sites) or placed.sites)


def previous(past: History, sites: Iterable[str], stay: dict[str, str]) -> dict[str, Step]:
    """Each site's step to the release before the one it runs; `stay` gets those that took such a step already."""
    now: dict[str, Release] = {}
    since: dict[str, str] = {}
    found: dict[str, Step] = {}
    left = list(sites)
    for commit in past.commits():
        for site in list(left):
            release = past.at_site(commit, site)
            if site not in now:
                if release is None:
                    raise InputError(
                        f"site {site!r}: what it runs of {past.name!r} is no release of ours; name one in `to`"
                    )
                now[site] = release
            elif release is not None and release.digest != now[site].digest:
                left.remove(site)
                if took_back(past.message(since[site]), site):
                    stay[site] = f"was set back by {since[site][:12]} already; name a release in `to` to go elsewhere"
                else:
                    found[site] = Step(now[site], release, past.run(commit, site))
            if release is not None and release.digest == now[site].digest:
                since[site] = commit
        if not left:
            return found
    raise InputError(
        f"site {left[0]!r}: ran no release of {past.name!r} before this one; name sites that did, or a release in `to`"
    )


def took_back(message: str, site: str) -> bool:
    """Whether a commit's message says that it set this site back."""
    return any(line.startswith(f"{TRAILER}: {site} ") for line in message.splitlines())


def named_release(past: History, sites: Sequence[str], to: str) -> dict[str, Step]:
    """Each site's step to the release that `to` names: a commit, an image's digest or its start, or a version."""
    now: dict[str, Release | None] = {}
    for commit in past.commits():
        if not now:
            now = {site: past.at_site(commit, site) for site in sites}
        if is_start(to, commit):
            return of_commit(past, now, commit)
        for release in past.releases(commit).values():
            if means(to, release):
                return {site: Step(now[site], release, Run("", {})) for site in sites}
    raise InputError(
        f"to {to!r}: the branch never held such a release of {past.name!r}; give a commit, digest or version"
    )


def of_commit(past: History, now: Mapping[str, Release | None], commit: str) -> dict[str, Step]:
    """Each site's step to what it ran by a commit, or to its base where the site did not run the model then."""
    held = past.releases(commit)
    found = {}
    for site, left in now.items():
        run = past.run(commit, site)
        release = held.get(run.folder or fleet.BASE)
        if release is None:
            raise InputError(f"to {commit[:12]!r}: holds no release of {past.name!r} for site {site!r}")
        found[site] = Step(left, release, run)
    return found


def is_start(text: str, whole: str) -> bool:
    """Whether `text` is the start of a hexadecimal name, long enough to mean it."""
    return len(text) >= SHORTEST and whole.startswith(text)


def means(to: str, release: Release) -> bool:
    """Whether `to` is the release's digest, the start of its digits, or its version."""
    digits = release.digest.rpartition(":")[2]
    return to == release.record.identity.version or is_start(to.removeprefix("sha256:"), digits)


def wanted(past: History, placed: Placed, site: str, step: Step) -> Wanted:
    """The release's files, and the site's own as they were when it ran it, else as they are."""
    return Wanted(past.files(step.reached.tree), step.run.overlay or placed.sites[site].overlay)


def versions(steps: Mapping[str, Step]) -> str:
    """The releases that sites go to, in words."""
    return ", ".join(sorted({named(step.reached.record) for step in steps.values()}))


def moves(steps: Mapping[str, Step]) -> list[str]:
    """The lines of a commit's message: which site goes from where to where, and the figures of both."""
    reached = {step.reached.digest: step for step in steps.values()}
    lines = []
    for site, step in sorted(steps.items()):
        lines.append(f"- {site}: {named(step.left.record if step.left else None)} -> {named(step.reached.record)}")
    for _, step in sorted(reached.items()):
        left = step.left.record if step.left else None
        lines += ["", f"{named(step.reached.record)}, measured when it was released:", ""]
        lines += message.figure_lines(step.reached.record, left)
    return lines


def text(name: str, steps: Mapping[str, Step]) -> str:
    """The commit's message, whose trailers say that it was a rollback."""
    lines = [f"Roll back {name} to {versions(steps)}", "", *moves(steps), ""]
    for site, step in sorted(steps.items()):
        lines.append(f"{TRAILER}: {site} {step.left.digest if step.left else 'unknown'} -> {step.reached.digest}")
    return "\n".join(lines) + "\n"
