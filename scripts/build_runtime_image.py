"""`nearedge build-runtime-image`: what tasks/build-runtime-image runs."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from nearedge import __version__
from nearedge.delivery import reference
from nearedge.delivery.access import Access
from nearedge.delivery.building import buildah, context, contract
from nearedge.delivery.building.buildah import Build, Engine
from nearedge.errors import InputError
from nearedge.program import add_results, boolean, guarded, new_parser, optional_path, write_results
from nearedge.progress import say

NAME = "build-runtime-image"
LOOPBACK = ("127.0.0.1:", "127.0.0.1/", "localhost:", "localhost/", "[::1]")
OURS = ("BASE_IMAGE", "CONTEXT")
"""Build arguments that have a param of their own, or none."""
Driver = Literal["vfs", "overlay"]


@dataclass(frozen=True)
class Options:
    """What to build and where to push it."""

    runtime_image: str
    containerfile: str = ""
    base_image: str = ""
    arguments: tuple[str, ...] = ()
    source: Path | None = None
    driver: Driver = "vfs"
    access: Access = field(default_factory=Access)
    pip_config: Path | None = None


@dataclass(frozen=True)
class Pushed:
    """The image in its registry, and the digest of what it was built on."""

    url: str
    digest: str
    base_digest: str


def parser() -> argparse.ArgumentParser:
    """The options of the program."""
    options = new_parser(
        NAME, "Build the runtime base of serving images from a Containerfile, with buildah in a chroot."
    )
    options.add_argument("--runtime-image", required=True, metavar="REFERENCE", help="target: registry/name[:tag]")
    options.add_argument(
        "--containerfile",
        default="",
        metavar="PATH",
        help="in the folder of --source; empty: nearedge's own Containerfile",
    )
    options.add_argument("--source", type=optional_path, metavar="DIR", help="files for the build context, beside ours")
    options.add_argument("--base-image", default="", help="empty: the default of ARG BASE_IMAGE in the Containerfile")
    options.add_argument("--storage-driver", choices=get_args(Driver), default="vfs", help="how buildah keeps layers")
    options.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to registries")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    options.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    options.add_argument("--pip-config", type=optional_path, metavar="DIR", help="folder that holds pip.conf")
    options.add_argument("arguments", nargs="*", metavar="KEY=VALUE", help="build arguments, after --")
    add_results(
        options,
        image_url="reference of the image, without digest",
        image_digest="its digest",
        base_digest="digest of the base it was built on",
    )
    return options


def run(options: Options) -> Pushed:
    """Build, hold the image against the runtime's contract, push it.

    Raises InputError for a Containerfile or image that is not as it has to be (nothing is pushed then), MachineError
    where this machine or pod does not let buildah work, OutsideError where a registry or a step of the build fails.
    """
    buildah.needed()
    target = reference.parse(options.runtime_image)
    if target.digest:
        raise InputError(f"{target}: a digest is what comes out; name the target by tag")
    target = target if target.tag else target.with_tag(__version__)
    check_arguments(options.arguments)
    if options.containerfile and options.source is None:
        raise InputError(
            "containerfile is a path in the workspace source, and none is bound; bind it or leave it empty"
        )
    scratch = Path(tempfile.mkdtemp(prefix="nearedge-build."))
    try:
        build = buildah.pin(prepared(options, str(target), scratch))
        say(f"building {build.name}")
        build.engine.run(*buildah.bud(build), what=f"building {build.file.name}")
        contract.check(build, scratch)
        say("it is a runtime base: entry point, user, label, no new privilege, and the server answers")
        digest = buildah.push(build, scratch / "digest")
    finally:
        remove(scratch)
    say(f"pushed {target}@{digest}")
    return Pushed(str(target), digest, build.base_digest)


def prepared(options: Options, name: str, scratch: Path) -> Build:
    """What to build: context, Containerfile and what pip is lent, all in `scratch`."""
    folder = scratch / "context"
    context.fill(folder)
    if options.source is not None:
        context.add(options.source, folder)
    ca = options.access.ca_bundle / "ca-bundle.crt" if options.access.ca_bundle else None
    conf = options.pip_config / "pip.conf" if options.pip_config else None
    return Build(
        name=name,
        file=context.containerfile(folder, options.containerfile or context.RUNTIME_FILE),
        context=folder,
        lent=scratch / "lent",
        pip=context.lend(scratch / "lent", conf, ca),
        engine=engine(options, scratch),
        base=options.base_image,
        arguments=options.arguments,
        epoch=True,
    )


def engine(options: Options, scratch: Path) -> Engine:
    """What calls buildah, with a store of its own in `scratch`, logins and certificates as the workspaces bring them.

    A user of one uid cannot own files of others: such files become its own, which `ignore_chown_errors` allows.
    """
    driver, access = options.driver, options.access
    store = [f"--root={scratch / 'store'}", f"--runroot={scratch / 'run'}", f"--storage-driver={driver}"]
    if os.geteuid() != 0:
        store.append(f"--storage-opt={driver}.ignore_chown_errors=true")
    registry = [f"--cert-dir={access.ca_bundle}"] if access.ca_bundle else []
    if access.dockerconfig and (access.dockerconfig / "config.json").is_file():
        registry.append(f"--authfile={access.dockerconfig / 'config.json'}")
    plain = ("",) if access.plain_http else LOOPBACK
    (scratch / "xdg").mkdir(mode=0o700)
    return Engine(
        tuple(store), tuple(registry), plain, {"XDG_RUNTIME_DIR": str(scratch / "xdg"), "TMPDIR": str(scratch)}
    )


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise InputError for a build argument that is none, or is not the user's to give."""
    for one in arguments:
        key, equals, _ = one.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"build-args: {one!r} is no KEY=VALUE")
        if key in OURS:
            raise InputError(f"build-args: {key} is set by this Task; the base has the param base-image")


def remove(scratch: Path) -> None:
    """Remove the store and all else: mounts that overlay leaves, and files of uids that are this user's to map."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted((one for one in mounts if Path(one).is_relative_to(scratch)), reverse=True):
        subprocess.run(("umount", place), check=False, capture_output=True)  # noqa: S607 - the system's own
    shutil.rmtree(scratch, ignore_errors=True)
    if scratch.exists() and os.geteuid() != 0:
        Engine().output("unshare", "rm", "-rf", str(scratch))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; the exit status."""
    given = parser().parse_args(argv)

    def action() -> None:
        access = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
        options = Options(
            runtime_image=given.runtime_image,
            containerfile=given.containerfile,
            base_image=given.base_image,
            arguments=tuple(given.arguments),
            source=given.source,
            driver=given.storage_driver,
            access=access,
            pip_config=given.pip_config,
        )
        pushed = run(options)
        write_results(given, image_url=pushed.url, image_digest=pushed.digest, base_digest=pushed.base_digest)

    return guarded(NAME, action)


if __name__ == "__main__":
    sys.exit(main())
