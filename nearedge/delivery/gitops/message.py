"""The commit message of a release: what changes, and the figures that say why it is safe, before and now."""

from collections.abc import Mapping, Sequence

from nearedge.delivery import budget
from nearedge.delivery.gitops.figures import figures
from nearedge.release.record import Record
from nearedge.release.sections import SiteTransfer

NO_SITES: Mapping[str, str] = {}
NOT_KNOWN: Mapping[str, SiteTransfer] = {}


def message(
    now: Record,
    before: Record | None,
    sites: Sequence[str],
    held: Mapping[str, str] = NO_SITES,
    *,
    transfer: Mapping[str, SiteTransfer] = NOT_KNOWN,
) -> str:
    """Subject and body; `held` says what the sites run that stay. Figures that were not measured are left out.

    `transfer` has what a site pulls, where that is known.
    """
    lines = [subject(now), ""]
    lines += [f"{'Upgrade' if before else 'First release'}, for {', '.join(sites) or 'no site yet'}.", ""]
    lines += [*figure_lines(now, before), ""]
    pulled = budget.lines([transfer[site] for site in sites if site in transfer])
    if pulled:
        lines += ["To pull, against what git says is there:", *(f"- {line}" for line in pulled), ""]
    if held:
        lines += ["Other sites stay:", *(f"- {site} at {what}" for site, what in sorted(held.items())), ""]
    lines += [*(f"{key}: {value}" for key, value in trailers(now, before).items())]
    return "\n".join(lines) + "\n"


def figure_lines(now: Record, before: Record | None) -> list[str]:
    """One line for each figure, with what it was before."""
    old = figures(before) if before else {}
    return [f"- {what}: {compared(value, old.get(what))}" for what, value in figures(now).items()]


def subject(record: Record) -> str:
    """The first line of the message, without the sites."""
    identity = record.identity
    return f"Release {identity.name} {identity.version} ({identity.precision})"


def compared(now: str, before: str | None) -> str:
    """One figure, with the earlier one where there is one and it differs."""
    if before is None:
        return now
    return f"{now} (as before)" if now == before else f"{before} -> {now}"


def trailers(now: Record, before: Record | None) -> dict[str, str]:
    """Lines that programs read: digests of the image and of the source."""
    found = {"Model-source": f"sha256:{now.identity.source.sha256}"}
    if now.evidence.image is not None:
        found["Image"] = now.evidence.image.digest
    if before is not None and before.evidence.image is not None:
        found["Previous-image"] = before.evidence.image.digest
    return found
