"""Which images a GitOps repository may still ask for, by its whole past, and which nobody will roll back to.

Of a model that a site runs, these stay: what any site runs or is held at, the newest published, what each site ran
before, and the last so many releases of the model. Of a model that was retired nothing has to stay.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.git import Git, without_credentials
from nearedge.delivery.gitops import render
from nearedge.delivery.gitops.fleet import BASE, Fleet
from nearedge.delivery.gitops.history import History, Release
from nearedge.delivery.gitops.publish import refuse_foreign
from nearedge.delivery.gitops.target import Target, check_branch
from nearedge.errors import InputError, OutsideError

RUNS, NEWEST, BEFORE, LAST = "a site runs it", "newest published", "a site ran it before", "one of the last {}"
RANGE = 2
"""Releases of each site that stay: what it runs, and what it ran before."""


@dataclass
class Image:
    """An image that the branch named at some time: of what release, and why it has to stay (empty: it may go)."""

    digest: str
    model: str
    version: str
    commit: str
    name: str
    reasons: list[str] = field(default_factory=list)


def images(client: Git, target: Target, keep: int, at: Path) -> dict[str, Image]:
    """Every image of the branch's past by digest; the branch is fetched whole into the empty folder `at`.

    Raises InputError where there is no such branch or it is none of ours, OutsideError where the repository refuses,
    UnsupportedError where a record is newer than we read: nobody can tell then what has to stay.
    """
    check_branch(client, target.branch, at)
    client.run("init", "--quiet", at=at)
    try:
        client.run("fetch", "--quiet", "--no-tags", "--", target.url, f"refs/heads/{target.branch}", at=at)
    except git.RefusedError as error:
        if "find remote ref" in error.output:
            raise InputError(f"{target.shown}: there is no such branch; check git-branch") from error
        raise OutsideError(f"{without_credentials(target.url)}: {error}") from error
    client.run("checkout", "--quiet", "--detach", "FETCH_HEAD", at=at)
    refuse_foreign(at, target)
    found: dict[str, Image] = {}
    repository = Fleet(at)
    for model in models(client, at):
        past = History(client, target, at, model)
        reasons = why(past, sorted(repository.placed(model).sites), keep)
        for release in all_of(past):
            image = found.setdefault(release.digest, of(release))
            image.reasons += [reason for reason in reasons.get(release.digest, []) if reason not in image.reasons]
    return found


def models(client: Git, at: Path) -> list[str]:
    """All models that the branch ever had."""
    paths = client.run("log", "--format=", "--name-only", "-z", "HEAD", "--", "models/", at=at).split("\0")
    return sorted({path.strip().split("/")[1] for path in paths if path.count("/") > 1})


def all_of(past: History) -> Iterator[Release]:
    """Every release of a model, the newest first; some more than once."""
    for commit in past.commits():
        yield from past.releases(commit).values()


def of(release: Release) -> Image:
    """The image of a release."""
    record, image = release.record, release.record.evidence.image
    name = render.image_name(record, image) if image else ""
    return Image(release.digest, record.identity.name, record.identity.version, release.commit, name)


def why(past: History, sites: list[str], keep: int) -> Mapping[str, list[str]]:
    """The digests that have to stay, with the reasons; none for a model that no site runs."""
    found: dict[str, list[str]] = {}
    published: list[str] = []
    ran: dict[str, list[str]] = {site: [] for site in sites}
    for number, commit in enumerate(past.commits() if sites else []):
        releases = past.releases(commit)
        if number == 0:
            for folder, release in releases.items():
                found.setdefault(release.digest, []).append(NEWEST if folder == BASE else RUNS)
        if BASE in releases and releases[BASE].digest not in published:
            published.append(releases[BASE].digest)
        for site, digests in ran.items():
            there = past.at_site(commit, site) if len(digests) < RANGE else None
            if there is not None and there.digest not in digests:
                digests.append(there.digest)
    for digests in ran.values():
        for reason, digest in zip((RUNS, BEFORE), digests, strict=False):
            found.setdefault(digest, []).append(reason)
    for digest in published[:keep]:
        found.setdefault(digest, []).append(LAST.format(keep))
    return found
