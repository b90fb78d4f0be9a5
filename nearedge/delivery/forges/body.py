"""What a pull request of a release says: all that a reviewer asks, with "not known" where nobody knows.

A pure function of its arguments, so that the same release has the same text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nearedge.delivery import budget
from nearedge.delivery.forges.markdown import code, document, plain
from nearedge.delivery.gitops.figures import figures
from nearedge.delivery.gitops.message import subject
from nearedge.delivery.sbom_changes import Changes
from nearedge.errors import UsageError
from nearedge.release.record import Record
from nearedge.release.sections import SiteTransfer

NOT_KNOWN, NOT_MEASURED = "not known", "not measured"
LONGEST = 60_000
"""Letters; GitHub takes 65536 bytes."""
MOST_PACKAGES = 200
ADDRESS = re.compile(r"https?://[^\s<>\"'`\\|\[\]()\x00-\x20\x7f]+")


@dataclass(frozen=True)
class Material:
    """All that is said. `changes` None: `changes_unknown` says why; `transfer`: what a site pulls, by site."""

    now: Record
    before: Record | None
    sites: Sequence[str]
    transfer: Mapping[str, SiteTransfer] = field(default_factory=dict)
    changes: Changes | None = None
    changes_unknown: str = ""
    report_url: str = ""
    report: str = ""


def title(now: Record, sites: Sequence[str]) -> str:
    """The request's title, one line."""
    named = ", ".join(sites) if len(sites) <= 3 else f"{len(sites)} sites"
    return " ".join(f"{subject(now)} for {named or 'no site yet'}".split())


def body(material: Material) -> str:
    """The request's text in Markdown."""
    parts = [
        opening(material),
        ["## Figures of record", "", *compared(material.now, material.before)],
        ["## Sites", "", *sites(material)],
        ["## Software in the image", "", *packages(material)],
        ["## Images", "", *images(material)],
    ]
    text = "\n\n".join("\n".join(part) for part in parts)
    return text + "\n\n" + report(material, LONGEST - len(text.encode())) + "\n"


def opening(material: Material) -> list[str]:
    """What is asked for."""
    identity = material.now.identity
    what = "Upgrade" if material.before else "First release"
    named = ", ".join(code(site) for site in material.sites) or "no site yet"
    return [f"{what} of {code(identity.name)} {code(identity.version)} ({identity.precision}) for {named}."]


def compared(now: Record, before: Record | None) -> list[str]:
    """The table of old and new figures, and what was not measured."""
    new, old = figures(now), figures(before) if before else {}
    lines = ["| | deployed now | this release |", "|---|---|---|"]
    for what in dict.fromkeys([*new, *old]):
        earlier = old.get(what, NOT_MEASURED) if before else "nothing"
        lines.append(f"| {plain(what)} | {plain(earlier)} | {plain(new.get(what, NOT_MEASURED))} |")
    missing = not_measured(now)
    return [*lines, "", f"Not measured in this release: {', '.join(missing)}."] if missing else lines


def not_measured(record: Record) -> list[str]:
    """What a reviewer would look for and the record has not."""
    verified, evidence = record.evidence.verification_deployed, record.evidence
    found = ["parity with the source"] if verified is None else []
    found += ["the task's metric"] if verified is None or verified.metric is None else []
    found += ["latency and memory"] if evidence.benchmark is None else []
    return found + (["golden samples"] if evidence.test is None else [])


def sites(material: Material) -> list[str]:
    """For each site what it pulls, and whether the release fits beside what it runs."""
    if not material.sites:
        return ["No site is named."]
    benchmark = material.now.evidence.benchmark
    fits = {one.site: one for one in benchmark.sites} if benchmark else {}
    lines = ["| site | pulls | fits | because |", "|---|---:|---|---|"]
    for site in material.sites:
        pulled = budget.said(material.transfer[site]) if site in material.transfer else NOT_KNOWN
        fit = fits.get(site)
        answer = NOT_KNOWN if fit is None else "yes" if fit.fits else "**no**"
        why = plain(fit.because) if fit else "what the site runs beside it was not looked at"
        lines.append(f"| {code(site)} | {pulled} | {answer} | {why} |")
    if benchmark is not None and not fits:
        answer = "fits" if benchmark.fits else "**does not fit**"
        lines += ["", f"Profile {code(benchmark.profile)}: it {answer}, {plain(benchmark.fits_because)}."]
    return lines


def packages(material: Material) -> list[str]:
    """Packages added, removed and upgraded, by the bills of both images."""
    if material.before is None:
        return ["Nothing to compare with: this is the first release."]
    if material.changes is None:
        return [f"Changes of the SBOM: {NOT_KNOWN} ({plain(material.changes_unknown) or 'no bill to compare'})."]
    if not material.changes:
        return ["No change: both images list the same packages and files."]
    rows = [f"| added | {code(one.name)} | | {code(one.version)} |" for one in material.changes.added]
    rows += [f"| removed | {code(one.name)} | {code(one.version)} | |" for one in material.changes.removed]
    for one in material.changes.changed:
        what = "other files" if one.before == one.now else "changed"
        rows.append(f"| {what} | {code(one.name)} | {code(one.before)} | {code(one.now)} |")
    more = [f"And {len(rows) - MOST_PACKAGES} more."] if len(rows) > MOST_PACKAGES else []
    head = ["| | component | before | now |", "|---|---|---|---|"]
    return [*head, *rows[:MOST_PACKAGES], *(["", *more] if more else [])]


def images(material: Material) -> list[str]:
    """Both images by digest."""
    found = []
    for what, record in (("this release", material.now), ("deployed now", material.before)):
        if record is not None:
            image = record.evidence.image
            found.append(f"- {what}: {code(f'{image.url}@{image.digest}') if image else NOT_KNOWN}")
    return found


def report(material: Material, room: int) -> str:
    """A link to the report, else its summary where there is room for it."""
    if material.report_url:
        return f"## Report\n\n[The benchmark's report](<{material.report_url}>)"
    summary = document(material.report)
    if not summary:
        return f"## Report\n\nLink to the report: {NOT_KNOWN}."
    text = f"## Report\n\n<details><summary>The benchmark's report</summary>\n\n{summary}\n\n</details>"
    if len(text.encode()) > room:
        return "## Report\n\nIt is too long to be shown here; it lies in the run's workspace, report/report.html."
    return text


def checked_address(url: str) -> str:
    """The report's address. Raises UsageError where it is none that can stand in a link."""
    if url and not ADDRESS.fullmatch(url):
        raise UsageError("report-url: is no address that begins with https:// or http://, without spaces and brackets")
    return url
