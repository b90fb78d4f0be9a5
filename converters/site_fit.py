"""Whether the model fits each site beside what git says the site runs already.

What Kubernetes' scheduler goes by are requests, and a node without swap kills what is over its memory: the others count
by their requests, this model by its limit. Where there is room for it twice, the next release's pod starts beside the
old one; where only once, render-gitops replaces the pod at that site, and it answers nothing meanwhile. The node and
what the platform takes of it are the profile's: git does not say them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from converters.workspace import Work
from nearedge.release.profile import Profile
from nearedge.release.sections import BenchmarkSection, SiteFit
from nearedge.release.usage import Running, Usage

MOST_NAMES = 6
"""Of other models in one sentence."""


@dataclass(frozen=True)
class Needs:
    """What one pod of the model asks for: memory in MiB, CPU in thousandths of a core."""

    memory_limit_mib: int
    cpu_request_m: int


def added(section: BenchmarkSection, sites: Mapping[str, Profile | None], known: Usage, work: Work) -> BenchmarkSection:
    """The section with the fit at each of `sites`, on a node of the profile that is its own, else the work's."""
    needs = Needs(section.memory_limit_mib, section.cpu_request_m or work.profile.cpu_request_m)
    nodes = {site: own or work.profile for site, own in sites.items()}
    return section.model_copy(update={"sites": fits(nodes, work.description.name, known, needs)})


def fits(sites: Mapping[str, Profile], name: str, known: Usage, needs: Needs) -> list[SiteFit]:
    """For each of `sites`, whether the model `name` fits; a site that is not in git yet is an empty one."""
    return [fit(site, known.others(site, name), needs, profile) for site, profile in sites.items()]


def fit(site: str, others: Sequence[Running], needs: Needs, profile: Profile) -> SiteFit:
    """Whether the model fits beside `others`."""
    used = sum(one.memory_request_mib or 0 for one in others)
    free = profile.left_mib - used
    used_m = sum(one.cpu_request_m or 0 for one in others)
    free_m = profile.left_cpu_m - used_m
    room = rooms(free, free_m, needs)
    return SiteFit(
        site=site,
        others=[one.name for one in others],
        used_mib=used,
        used_cpu_m=used_m,
        free_mib=free,
        fits=room >= 1,
        because=because(others, needs, free, free_m, room) + doubts(others, needs, profile),
    )


def rooms(free_mib: int, free_m: int, needs: Needs) -> int:
    """How many pods of the model there is room for, at most two."""
    return max(0, min(2, free_mib // needs.memory_limit_mib, free_m // needs.cpu_request_m))


def because(others: Sequence[Running], needs: Needs, free_mib: int, free_m: int, room: int) -> str:
    """The arithmetic as a sentence without its end."""
    beside = f"beside {named(others)}" if others else "with no other model in git"
    there = f"{max(0, free_mib)} MiB and {max(0, free_m)}m CPU are free {beside}"
    one = f"a pod takes {needs.memory_limit_mib} MiB and {needs.cpu_request_m}m"
    if room >= 2:
        return f"{there}; {one}, two of them while a release follows another"
    if room == 0:
        return f"{there}; {one}; choose a smaller precision, a larger node, or move a model"
    return f"{there}; {one}, and the next release's has no room beside it: no answers while one follows the other"


def doubts(others: Sequence[Running], needs: Needs, profile: Profile) -> str:
    """What the figures do not tell: models that say nothing of themselves, and limits that are over the node's memory.

    Nothing where there is no doubt.
    """
    found = ""
    unknown = [one for one in others if not one.known]
    if unknown:
        found += f"; what {named(unknown)} takes is unknown and not counted"
    limits = needs.memory_limit_mib + sum(one.memory_limit_mib or one.memory_request_mib or 0 for one in others)
    if limits > profile.left_mib:
        found += f"; all at their limits would take {limits} MiB of {profile.left_mib}"
    return found


def named(models: Sequence[Running]) -> str:
    """Their names, the first few of many."""
    names = [one.name for one in models[:MOST_NAMES]]
    more = f" and {len(models) - MOST_NAMES} more" if len(models) > MOST_NAMES else ""
    return ", ".join(names) + more
