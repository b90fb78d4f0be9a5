"""All that a site runs as one kustomization, `sites/SITE/kustomization.yaml`, for an agent that follows a whole site.

MicroShift's Argo CD has no ApplicationSets, so that one Application has to follow the site (manifests/edge/microshift).
An agent prunes what a folder no longer says, but takes a folder that is gone for a fault: a site whose last model was
taken out keeps an empty list, and loses it when it is retired itself.
"""

from collections.abc import Iterable

from nearedge.delivery.gitops.fleet import OVERLAY, Changes, Fleet
from nearedge.delivery.gitops.manifests import text
from nearedge.delivery.gitops.overlay import KUSTOMIZATION

COMMENT = "# The models beside this file, for an agent that follows the whole site; written anew with each of them.\n"


def listed(repository: Fleet, changes: Changes, sites: Iterable[str] = ()) -> Changes:
    """The changes, and those of the lists of the sites that they touch and of `sites`."""
    touched = {path.split("/")[1] for path in changes if path.startswith("sites/")}
    found = dict(changes)
    for site in sorted({*touched, *sites}):
        path = f"sites/{site}/{OVERLAY}"
        file = repository.at / path
        there = file.read_bytes() if file.is_file() and not file.is_symlink() else None
        models = models_after(repository, changes, site)
        wanted = of_models(models)
        if path not in changes and there != wanted.encode() and (models or there is not None):
            found[path] = wanted
    return found


def models_after(repository: Fleet, changes: Changes, site: str) -> list[str]:
    """The models that a site runs once the changes are made: its folders that hold a kustomization."""
    folder = repository.at / "sites" / site
    there = {f"sites/{site}/{name}/{OVERLAY}" for name in repository.of(site) if (folder / name / OVERLAY).is_file()}
    gone = {path for path, content in changes.items() if content is None}
    own = [path.split("/") for path in (there | changes.keys()) - gone]
    return sorted(parts[2] for parts in own if parts[:2] == ["sites", site] and parts[3:] == [OVERLAY])


def of_models(names: list[str]) -> str:
    """The list's text."""
    return COMMENT + text({**KUSTOMIZATION, "resources": names})
