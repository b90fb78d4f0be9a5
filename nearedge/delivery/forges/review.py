"""A release as a request for review: a branch with its commit, and an open request that says why it is safe."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import sbom_changes
from nearedge.delivery.access import Access
from nearedge.delivery.forges import pull_request
from nearedge.delivery.forges.base import Forge, Wanted
from nearedge.delivery.forges.body import Material, body, checked_address, title
from nearedge.delivery.forges.pull_request import Opened
from nearedge.delivery.git import Git
from nearedge.delivery.gitops import publish, source_branch
from nearedge.delivery.gitops.message import message
from nearedge.delivery.gitops.publish import Author, Change, Rendered, Target
from nearedge.delivery.gitops.source_branch import Proposed
from nearedge.errors import NearedgeError
from nearedge.release.record import Record
from nearedge.release.sections import SiteTransfer

SBOM, REPORT = "release/sbom.json", "report/report.md"
LONGEST_REPORT = 1 << 20


@dataclass(frozen=True)
class Review:
    """How to ask: the forge, the branch to ask from (empty: by model and sites), the report's address, the registry.

    `transfer` is what each site pulls, where that is known.
    """

    choice: pull_request.Choice
    source_branch: str = ""
    report_url: str = ""
    registry: Access = field(default_factory=Access)
    transfer: Mapping[str, SiteTransfer] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """The branch, and the open request; None where the target says all of it already, so nothing is asked."""

    branch: str
    proposed: Proposed
    opened: Opened | None


def ask(client: Git, target: Target, release: Rendered, author: Author, review: Review, workspace: Path) -> Asked:
    """Push the release to the source branch and have one open request for it.

    The forge is asked before anything is pushed, and what was pushed is taken back where the request cannot be made.
    Raises InputError, UsageError or OutsideError.
    """
    checked_address(review.report_url)
    forge = pull_request.connect(review.choice, target.url)
    branch = review.source_branch or source_branch.default_branch(release.record.identity.name, release.sites)
    forge.find(branch, target.branch)  # a token or an address that is wrong shows here, with git as it was
    seen: list[Record | None] = []
    found: list[Opened] = []

    def said(now: Record, before: Record | None, sites: list[str], held: dict[str, str]) -> str:
        seen.append(before)
        return message(now, before, sites, held, transfer=review.transfer)

    def plan(_: Git, at: Path) -> Change:
        return publish.of_release(release, at, said)

    def request() -> None:
        text = text_of(release, seen[-1], review, workspace)
        found.append(made(forge, branch, target, release, text))

    proposed = source_branch.propose(client, target, branch, author, plan, request)
    return Asked(branch, proposed, found[-1] if found else None)


def made(forge: Forge, branch: str, target: Target, release: Rendered, text: str) -> Opened:
    """The open request with this text."""
    return pull_request.ensure(forge, Wanted(branch, target.branch, title(release.record, release.sites), text))


def text_of(release: Rendered, before: Record | None, review: Review, workspace: Path) -> str:
    """The request's body, from the release, the workspace and the registry."""
    changes, why = None, ""
    if before is not None:
        try:
            old = sbom_changes.attached(before, workspace, review.registry)
            changes = sbom_changes.diff(old, sbom_changes.read(workspace / SBOM))
        except (NearedgeError, OSError) as error:
            why = str(error).replace(f"{workspace}/", "")
    return body(
        Material(
            now=release.record,
            before=before,
            sites=release.sites,
            transfer=review.transfer,
            changes=changes,
            changes_unknown=why,
            report_url=review.report_url,
            report=summary(workspace / REPORT),
        )
    )


def summary(path: Path) -> str:
    """The report's Markdown, empty where there is none that can be shown."""
    if not path.is_file() or path.stat().st_size > LONGEST_REPORT:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")
