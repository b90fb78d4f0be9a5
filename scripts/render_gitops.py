"""`nearedge render-gitops`: write the manifests and the record of a release as a tree for a GitOps repository."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nearedge.delivery.gitops import render
from nearedge.files import new_directory, write_text
from nearedge.program import add_results, boolean, guarded, new_parser, write_results
from nearedge.progress import say
from nearedge.release import description, record
from nearedge.release.profile import read as read_profile

NAME = "render-gitops"
FOLDER = "gitops"
SOURCE = "source"


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
    options.add_argument("sites", nargs="*", metavar="SITE", help="sites that run the model, after --")
    add_results(options, files="number of files written", image="image that the manifests name, by digest")
    return options


def run(workspace: Path, sites: Sequence[str], *, remeasure: bool = False) -> tuple[render.Tree, str]:
    """Write `workspace/gitops` by rename; its files, and the image that they name.

    Raises InputError where a section that it needs is missing.
    """
    wanted = description.read(workspace / SOURCE / description.FILE_NAME)
    profile = read_profile(wanted.target.profile, workspace / SOURCE)
    now = record.assemble(workspace, profile.name)
    before = record.read_previous(workspace)
    release = render.settled(now, before, remeasure=remeasure)
    tree = render.render(release, profile, sites)
    with new_directory(workspace / FOLDER) as folder:
        for path, text in tree.items():
            write_text(folder / path, text)
    image = release.evidence.image
    assert image is not None, "render refuses a record without an image"
    if render.is_layout(image):
        say(f"warning: {image.url} is a layout on disk, which no node can pull; the manifests name it by digest")
    say(f"{release.identity.name} {release.identity.version}: {len(tree)} files, evidence {source_of(release, now)}")
    return tree, render.image_name(release, image)


def source_of(release: record.Record, now: record.Record) -> str:
    """Where the record's figures are from."""
    return "of this run" if release is now else "kept from git (the same release)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    options = parser().parse_args(argv)

    def action() -> None:
        tree, image = run(options.workspace, options.sites, remeasure=options.remeasure)
        write_results(options, files=str(len(tree)), image=image)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
