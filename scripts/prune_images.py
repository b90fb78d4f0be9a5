"""`nearedge prune-images`: list the images in a registry that no rollback needs any more, or delete them."""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from nearedge.delivery import git, presence, prune, reference
from nearedge.delivery.access import Access
from nearedge.delivery.gitops import publish, retention
from nearedge.delivery.gitops.retention import Image
from nearedge.delivery.prune import Old
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.errors import UsageError
from nearedge.program import guarded, new_parser, optional_path
from nearedge.progress import say

NAME = "prune-images"
Found = dict[str, list[Old]]
"""What may go, by registry/repository."""


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "List the images of a GitOps repository's past that no rollback needs any more.")
    options.add_argument("--git-url", default="", help="GitOps repository; empty: gitops.git in the workspace")
    options.add_argument("--workspace", type=optional_path, help="folder with gitops.git, where --git-url is empty")
    options.add_argument("--git-branch", default="main", help="branch that the sites follow")
    options.add_argument("--keep", default="5", metavar="N", help="releases of each model that stay in any case")
    options.add_argument(
        "--registry", default="", metavar="HOST[/PATH]", help="a site's registry; empty: the images' own"
    )
    options.add_argument("--delete", action="store_true", help="delete what is listed, with what is attached to it")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--plain-http", action="store_true", help="speak plain http to the registry")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    options.add_argument("--basic-auth", type=optional_path, help="folder with .gitconfig and .git-credentials")
    options.add_argument("--ssh-directory", type=optional_path, help="folder with known_hosts and a private key")
    return options


def run(
    target: publish.Target, keep: int, registry: str, git_access: git.Access, access: Access, *, delete: bool
) -> tuple[Found, dict[str, Image]]:
    """What may go, by repository, and what git knows of each image. Raises InputError, UsageError or OutsideError."""
    with git.session(git_access) as client, tempfile.TemporaryDirectory(prefix="nearedge-prune-") as folder:
        known = retention.images(client, target, keep, Path(folder))
    stay = {digest for digest, image in known.items() if image.reasons}
    say(f"{target.shown}: {len(known)} images in its past, {len(stay)} of them have to stay")
    found: Found = {}
    for place, digests in places(known.values(), registry).items():
        host, _, name = place.partition("/")
        store = Repository(Registry(host, access), name)
        found[place], unknown = prune.old(store, digests, stay)
        if unknown:
            say(f"{place}: stays, since git does not know it: {', '.join(unknown[:20])}")
        if delete:
            say(f"{place}: {prune.remove(store, found[place])} manifests deleted")
    return found, known


def places(images: Iterable[Image], registry: str) -> dict[str, set[str]]:
    """The digests that each repository may hold; images on disk are in none."""
    found: dict[str, set[str]] = {}
    for image in images:
        if image.name and reference.parse(image.name).registry != "localhost":
            there = presence.place(image.name, registry)
            found.setdefault(f"{there.registry}/{there.name}", set()).add(image.digest)
    return dict(sorted(found.items()))


def rows(found: Found, known: dict[str, Image]) -> list[dict[str, object]]:
    """One entry for each image that may go."""
    return [
        {
            "repository": place,
            "digest": old.digest,
            "bytes": old.size,
            "tags": old.tags,
            "attached": old.attached,
            "model": known[old.digest].model,
            "version": known[old.digest].version,
            "commit": known[old.digest].commit,
        }
        for place, images in found.items()
        for old in images
    ]


def table(found: Found, known: dict[str, Image]) -> str:
    """The same for a person."""
    lines = []
    for place, images in found.items():
        lines.append(f"{place}: {len(images)} may go, {sum(one.size for one in images) / 1e6:.1f} MB")
        for one in images:
            image = known[one.digest]
            named = ", ".join(one.tags) or "-"
            lines.append(f"  {one.digest}  {one.size / 1e6:9.2f} MB  {image.model} {image.version}  tags: {named}")
    return "\n".join(lines) or "no repository to look into"


def count(text: str) -> int:
    """A number of releases. Raises UsageError for what is none."""
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise UsageError(f"keep {text[:40]!r}: give a whole number from 1 on")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        target = publish.target_of(given.git_url, given.git_branch, given.workspace)
        git_access = git.Access(given.basic_auth, given.ssh_directory, given.ca_bundle)
        access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
        found, known = run(target, count(given.keep), given.registry, git_access, access, delete=given.delete)
        print(json.dumps(rows(found, known), indent=2) if given.json else table(found, known))

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
