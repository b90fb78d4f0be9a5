"""`nearedge mirror-image`: copy images from one registry to another over a thin link."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nearedge.delivery import mirror
from nearedge.delivery.access import Access
from nearedge.delivery.bandwidth import Bandwidth
from nearedge.delivery.mirror import Mirror, Mirrored, Wanted
from nearedge.delivery.patience import Patience, seconds
from nearedge.delivery.registry import Registry
from nearedge.delivery.repository import Repository
from nearedge.delivery.spool import Spool
from nearedge.errors import UsageError
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
from nearedge.progress import say

NAME = "mirror-image"
FOLDER = "spool"


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(NAME, "Copy images from one registry to another; only what the target lacks is moved.")
    options.add_argument("--workspace", type=Path, required=True, help="folder that keeps parts of blobs between runs")
    options.add_argument("--to", required=True, metavar="HOST[/PATH]", help="registry to copy to")
    options.add_argument(
        "--max-mbit-s", default="0", help="most Mbit/s from the source, and to the target; 0: no limit"
    )
    options.add_argument(
        "--give-up-after", default="4h", help="time without any progress to give up after: 90s, 30m, 4h"
    )
    options.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to registries")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    options.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="registry/name[:tag][@digest], then =NAME[:TAG] for another name there",
    )
    add_results(
        options,
        images="the images at the target by digest, as a JSON list",
        digests="their digests, as a JSON list",
        moved_bytes="bytes that the target lacked",
    )
    return options


def run(
    workspace: Path, images: Sequence[str], to: str, access: Access, patience: Patience, mbit_s: float = 0.0
) -> list[tuple[Wanted, Mirrored]]:
    """Copy the images to the registry `to`, one after the other; what is there now.

    Raises UsageError or InputError for what is no reference, OutsideError where a registry refuses or stays away. What
    arrived by then is kept in `workspace` for the next run.
    """
    if not images:
        raise UsageError("images: none given; name at least one")
    asked = mirror.all_wanted(images, to)
    down, up = Bandwidth(mbit_s), Bandwidth(mbit_s)
    spool = Spool(workspace / FOLDER, down, patience)
    registries: dict[str, Registry] = {}

    def repository(host: str, name: str) -> Repository:
        if host not in registries:
            registries[host] = Registry(host, access)
            registries[host].pace = up.paced
        return Repository(registries[host], name)

    done = []
    with spool.held():
        for one in asked:
            source = repository(one.source.registry, one.source.name)
            target = repository(one.target.registry, one.target.name)
            moved = Mirror(source, target, spool).image(one.source.which, one.target.tag)
            tell(one, moved)
            done.append((one, moved))
    return done


def tell(one: Wanted, done: Mirrored) -> None:
    """Say what was moved, or that nothing was."""
    what = (
        f"moved {done.moved / 1e6:.2f} of {done.size / 1e6:.2f} MB" if done.moved else "has it already; moved 0 bytes"
    )
    say(f"{one.target}@{done.digest}: {what}")


def mbit(text: str) -> float:
    """A rate in Mbit/s. Raises UsageError for what is none."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise UsageError(f"max-mbit-s {text[:40]!r}: is no rate; write a number of Mbit/s, or 0 for no limit")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
        patience = Patience(seconds(given.give_up_after))
        done = run(given.workspace, given.images, given.to, access, patience, mbit(given.max_mbit_s))
        write_results(
            given,
            images=json.dumps(mirror.by_digest(done)),
            digests=json.dumps([moved.digest for _, moved in done]),
            moved_bytes=str(sum(moved.moved for _, moved in done)),
        )

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
