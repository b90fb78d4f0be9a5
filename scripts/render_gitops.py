"""`nearedge render-gitops`: write the manifests and the record of a release as a tree for a GitOps repository."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import get_args

from nearedge.delivery import budget, chunked
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import image_record, render
from nearedge.delivery.gitops.choices import Choices, Expose, Flavour
from nearedge.delivery.gitops.overlay import Placement
from nearedge.delivery.reference import parse
from nearedge.delivery.store import open_store, open_stores
from nearedge.errors import UsageError
from nearedge.files import new_directory, write_text
from nearedge.program import add_results, boolean, guarded, new_parser, optional_bytes, optional_path, write_results
from nearedge.progress import say
from nearedge.release import description, profile, record, sections
from nearedge.release.record import Record
from nearedge.release.sections import TestSection

NAME = "render-gitops"
FOLDER = "gitops"
SOURCE = "source"
LONGEST_RESULT = 1000
"""Letters; what Tekton gives all results of a Task together is 4096 bytes."""


@dataclass(frozen=True)
class Options:
    """What to render and how; `serving_image` empty: the release is that of the workspace's sections."""

    choices: Choices = field(default_factory=Choices)
    remeasure: bool = False
    serving_image: str = ""
    profile: str = ""
    access: Access = field(default_factory=Access)
    max_transfer_bytes: int | None = None
    """What each site may pull of an image that exists; None for no gate."""


@dataclass(frozen=True)
class Rendered:
    """What was written, the image that it names, and how the release reaches each site."""

    tree: render.Tree
    image: str
    placements: Mapping[str, Placement]


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Write the manifests and the record of a release as a tree for a GitOps repository.")
    options.add_argument("--workspace", type=Path, required=True, help="folder of the release")
    options.add_argument(
        "--remeasure",
        type=boolean,
        default=False,
        help="true: publish this run's figures also where git holds those of the same release",
    )
    options.add_argument(
        "--flavour", choices=get_args(Flavour), default="deployment", help="objects that run the model"
    )
    options.add_argument("--expose", choices=get_args(Expose), default="none", help="way in from outside the cluster")
    options.add_argument("--host", default="", help="host name of the Route or Ingress; {site} stands for the site")
    options.add_argument("--monitoring", type=boolean, default=True, help="false: no ServiceMonitor, rules, dashboard")
    options.add_argument("--serving-runtime", default="kserve-ovms", help="the platform's, for a modelcar with KServe")
    options.add_argument(
        "--serving-image",
        default="",
        metavar="REFERENCE",
        help="an image that exists: its record is read from its registry instead of the workspace's sections",
    )
    options.add_argument("--profile", default="", help="profile of the sites; empty: as model.yaml or the record says")
    options.add_argument(
        "--max-transfer-bytes",
        type=optional_bytes,
        metavar="BYTES",
        help="most that a site may have to pull of --serving-image, else nothing is rendered; empty for no gate",
    )
    options.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to registries")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    options.add_argument("sites", nargs="*", metavar="SITE[=PROFILE]", help="sites that run the model, after --")
    add_results(
        options,
        files="number of files written",
        image="image that the manifests name, by digest",
        rollout="what an upgrade means for callers, sites that lose answers first",
    )
    return options


def run(workspace: Path, sites: Sequence[str], options: Options | None = None) -> Rendered:
    """Write `workspace/gitops` by rename.

    Raises InputError where a section that it needs is missing or the model does not fit a site's own profile,
    OutsideError where a registry has no such image, GateError where a site would pull more of it than it may.
    """
    options = options or Options()
    now, wanted = release(workspace, options)
    if options.serving_image:
        now = with_transfers(workspace, sites, now, wanted, options)
    elif options.max_transfer_bytes is not None:
        raise UsageError("max-transfer-bytes: is held by build-serving-image where it is no image that exists")
    before = record.read_previous(workspace)
    settled = render.settled(now, before, remeasure=options.remeasure)
    own = profile.by_site(sites, workspace / SOURCE)
    profiles = {site: one for site, one in own.items() if one is not None}
    tree = render.render(settled, wanted, list(own), options.choices, profiles)
    with new_directory(workspace / FOLDER) as folder:
        for path, text in tree.items():
            write_text(folder / path, text)
    image = render.image_of(settled)
    if render.is_layout(image):
        say(f"warning: {image.url} is a layout on disk, which no node can pull; the manifests name it by digest")
    identity = settled.identity
    say(f"{identity.name} {identity.version}: {len(tree)} files, evidence {source_of(settled, now)}")
    placed = render.placements(settled, wanted, list(own), options.choices, profiles)
    return Rendered(tree, render.image_name(settled, image), placed)


def release(workspace: Path, options: Options) -> tuple[Record, profile.Profile]:
    """The release as it is known now, and the profile of its sites."""
    beside = workspace / SOURCE
    if options.serving_image:
        reference = parse(options.serving_image)
        store = open_store(reference, workspace, options.access)
        found = image_record.read(store, reference, record.read_previous(workspace))
        asked_by = "profile" if options.profile else f"the record of {reference}, whose profile is not given"
        found = tested(found, workspace)
        return found, profile.read(options.profile or found.identity.profile, beside, asked_by)
    named = options.profile or description.read(beside / description.FILE_NAME).target.profile
    wanted = profile.read(named, beside, "profile" if options.profile else "target.profile")
    return record.assemble(workspace, wanted.name), wanted


def with_transfers(
    workspace: Path, sites: Sequence[str], now: Record, wanted: profile.Profile, options: Options
) -> Record:
    """The record of an image that exists with what each site pulls of it, against what git says is there."""
    store = open_store(parse(options.serving_image), workspace, options.access)
    manifest = store.resolve(render.image_of(now).digest)
    opened = open_stores(workspace, options.access, store, allow_layout=False)
    reckoning = budget.Reckoning(manifest, partial(chunked.read_contents, store), opened)
    return budget.of_existing(workspace, sites, wanted, now, reckoning, options.max_transfer_bytes)


def tested(found: Record, workspace: Path) -> Record:
    """The record with the test of its image in this run, where test-serving-image ran before this."""
    test, image = sections.read_optional(workspace, TestSection), found.evidence.image
    if test is None or image is None or not test.image.endswith(f"@{image.digest}"):
        return found
    return found.model_copy(update={"evidence": found.evidence.model_copy(update={"test": test})})


def source_of(release: Record, now: Record) -> str:
    """Where the record's figures are from."""
    return "of this run" if release is now else "kept from git (the same release)"


def rollouts(placements: Mapping[str, Placement]) -> list[str]:
    """What an upgrade means for callers, a line for each way with the sites that it goes so at; losses first."""
    notes: dict[str, list[str]] = {}
    for site, placed in placements.items():
        notes.setdefault(placed.note, []).append(site)
    losing = {placed.note for placed in placements.values() if placed.strategy["type"] == "Recreate"}
    ordered = sorted(notes, key=lambda note: (note not in losing, note))
    return [f"{'warning: ' if note in losing else ''}{', '.join(notes[note])}: {note}" for note in ordered]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        choices = Choices(given.flavour, given.expose, given.host, given.monitoring, given.serving_runtime)
        access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
        options = Options(
            choices, given.remeasure, given.serving_image, given.profile, access, given.max_transfer_bytes
        )
        done = run(given.workspace, given.sites, options)
        lines = rollouts(done.placements)
        for line in lines:
            say(line)
        result = "; ".join(lines)[:LONGEST_RESULT]
        write_results(given, files=str(len(done.tree)), image=done.image, rollout=result)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
