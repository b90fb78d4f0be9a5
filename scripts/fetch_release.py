"""`nearedge fetch-release`: bring a release whose image exists to a workspace, without its weights."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nearedge.delivery import git, mirror
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import image_record, previous
from nearedge.delivery.reference import Reference, parse
from nearedge.delivery.sources import existing_release
from nearedge.delivery.store import open_store
from nearedge.errors import InputError
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
from nearedge.progress import say
from nearedge.release import record, sections
from nearedge.release.record import Record

NAME = "fetch-release"
OF_EARLIER_RUNS = ("fetched", "golden", "gitops", "previous", "report", sections.FOLDER)


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Bring a release whose image exists to a workspace: its record and golden samples.")
    options.add_argument("--workspace", type=Path, required=True, help="folder of the release")
    options.add_argument("--serving-image", required=True, metavar="REFERENCE", help="registry/name[:tag][@digest]")
    options.add_argument(
        "--registry", default="", metavar="HOST[/PATH]", help="where the image was mirrored to; empty: its own"
    )
    options.add_argument("--git-url", default="", help="GitOps repository; empty: gitops.git in the workspace")
    options.add_argument("--git-branch", default="main", help="branch of the GitOps repository")
    options.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to the registry")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--basic-auth", type=optional_path, help="folder with .gitconfig and .git-credentials")
    options.add_argument("--ssh-directory", type=optional_path, help="folder with known_hosts and a private key")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    add_results(
        options,
        serving_image="the image by digest, where the sites pull it from",
        model_name="the model",
        model_version="its version",
        flavour="serving or modelcar",
    )
    return options


def run(
    workspace: Path,
    serving_image: str,
    registry: str = "",
    access: Access | None = None,
    known_as: tuple[git.Access, str, str] | None = None,
) -> tuple[Reference, Record]:
    """Write `fetched/`, `golden/` and `previous/`; the image by digest and its record.

    `known_as` is how to reach the GitOps repository, its address and branch. What an earlier run left is removed first.
    Raises InputError for what is no release of ours, UnsupportedError for a newer record, OutsideError where a registry
    or the repository is not there or lacks it.
    """
    for name in OF_EARLIER_RUNS:
        shutil.rmtree(workspace / name, ignore_errors=True)
    place = where(serving_image, registry)
    store = open_store(place, workspace, access or Access())
    manifest = store.resolve(place.which)
    by_digest = replace(place, tag="", digest=manifest.descriptor.digest)
    found = image_record.read(store, by_digest)
    reach, git_url, branch = known_as or (git.Access(), "", "main")
    previous.bring(workspace, found.identity.name, reach, git_url, branch)
    existing_release.bring(store, manifest, found, workspace)
    return by_digest, found


def where(serving_image: str, registry: str) -> Reference:
    """Where the sites pull the image from: its own place, or the one that mirror-image gives it in `registry`."""
    own = parse(serving_image)
    if not registry:
        return own
    try:
        there = mirror.wanted(str(own), registry).target
    except InputError as error:
        raise InputError(f"registry {registry!r}: names no registry; write host[:port][/path]") from error
    return replace(there, digest=own.digest)


def summary(place: Reference, found: Record, workspace: Path) -> str:
    """One line for the log."""
    identity = found.identity
    samples = identity.golden.count if identity.golden is not None else 0
    before = record.read_previous(workspace)
    known = "a first release" if before is None else f"git says {before.identity.version} is deployed"
    if before is not None and before.evidence.image is not None and before.evidence.image.digest == place.digest:
        known = "the release that git says is deployed"
    return f"{place.by_digest}: {identity.name} {identity.version}, {samples} golden samples, {known}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
        reach = git.Access(given.basic_auth, given.ssh_directory, given.ca_bundle)
        known_as = (reach, given.git_url, given.git_branch)
        place, found = run(given.workspace, given.serving_image, given.registry, access, known_as)
        write_results(
            given,
            serving_image=place.by_digest,
            model_name=found.identity.name,
            model_version=found.identity.version,
            flavour=flavour(found),
        )
        say(summary(place, found, given.workspace))

    return guarded(NAME, action)


def flavour(found: Record) -> str:
    """Whether the image serves by itself."""
    assert found.evidence.image is not None, "image_record.read puts it there"
    return found.evidence.image.flavour


if __name__ == "__main__":
    sys.exit(main())
