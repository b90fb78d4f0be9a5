"""Takes a model from sites, or sites as a whole, out of a GitOps repository: what is no longer named there is pruned.

The record of a release that no site runs any more goes with it; the branch's past keeps all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery.git import Git
from nearedge.delivery.gitops import fleet, site_list
from nearedge.delivery.gitops.fleet import Changes, Fleet, Placed
from nearedge.delivery.gitops.publish import Change, named
from nearedge.errors import InputError, NearedgeError


@dataclass
class Retire:
    """A plan for `publish.landed`: `model` leaves `sites` (none: all that run it); an empty `model`: all of the sites.

    After it, `gone` lists what leaves as SITE/MODEL.
    """

    model: str
    sites: Sequence[str]
    gone: list[str] = field(default_factory=list)

    def __call__(self, _client: Git, at: Path) -> Change:
        """What changes. Raises InputError where a site or the model is not there."""
        repository = Fleet(at)
        self.gone = []
        files: Changes = {}
        lines: list[str] = []
        for name in [self.model] if self.model else sorted({one for site in self.sites for one in repository.of(site)}):
            placed = repository.placed(name)
            leave = sorted(set(self.sites) & set(placed.sites)) if self.sites else sorted(placed.sites)
            files |= without(placed, leave) if leave or not self.sites else {}
            self.gone += [f"{site}/{name}" for site in leave]
            lines += [f"- {site}: {name} {running(placed, site)}" for site in leave]
        if not self.model:
            files |= all_of(at, self.sites)
        absent = [site for site in self.sites if site not in repository.sites()]
        if absent or not files:
            raise InputError(nothing(repository, self.model, absent))
        files = site_list.listed(repository, files)
        return Change(files, text(self.model, self.sites, lines), sorted({one.partition("/")[0] for one in self.gone}))


def without(placed: Placed, sites: Sequence[str]) -> Changes:
    """What changes where sites no longer run a model; all of it goes where no site is left."""
    found = fleet.moved(placed, dict.fromkeys(sites))
    return found if set(placed.sites) - set(sites) else dict.fromkeys(placed.tree())


def all_of(at: Path, sites: Sequence[str]) -> Changes:
    """Whatever else lies in the folders of sites."""
    return {f"sites/{site}/{path}": None for site in sites for path in fleet.files_in(at, f"sites/{site}")}


def running(placed: Placed, site: str) -> str:
    """What a site ran of the model; nobody has to be able to read a record to take it out."""
    try:
        return named(placed.of_site(site))
    except NearedgeError:
        return "what it ran"


def nothing(repository: Fleet, model: str, absent: Sequence[str]) -> str:
    """Why there is nothing to take out."""
    if absent:
        there = ", ".join(repository.sites()[:8]) or "none"
        return f"site {absent[0]!r}: is not in the repository; sites that are: {there}"
    if not model:
        return "nothing but links lies in the folders of these sites; remove them by hand"
    there = ", ".join(repository.models()[:8]) or "none"
    return f"model {model!r}: is not at these sites; models in the repository: {there}"


def text(model: str, sites: Sequence[str], lines: Sequence[str]) -> str:
    """The commit's message: what leaves, and what it ran."""
    subject = f"Retire {model}" if model else f"Retire {'site' if len(sites) == 1 else 'sites'} {', '.join(sites)}"
    at = f" at {', '.join(sites)}" if model and sites else ""
    return "\n".join([f"{subject}{at}", "", *lines]).rstrip() + "\n"
