"""`make images`: build the images that Tasks run in and the runtime, and push them.

python hack/images.py --base-image=IMAGE --registry=HOST[/PATH] [--plain-http] [TARGET ...]

Builds with `buildah bud --isolation chroot`, which needs no privilege of a container engine, by the code that the Task
build-runtime-image runs. The references by digest of what was pushed are printed as JSON and kept in
`.nearedge/images.json` (NEAREDGE_HOME), which `make install` reads.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nearedge import __version__
from nearedge.delivery.building import buildah, context
from nearedge.delivery.building.buildah import Build, Engine
from nearedge.files import write_text
from nearedge.program import EXIT_STATUSES, guarded
from nearedge.progress import say

STEPS, RUNTIME = ("core", "onnx", "pytorch", "tensorflow"), "runtime"
USUAL = (*STEPS, RUNTIME)
BUILDER, API = "build", "api"
"""Built where named: the image of the Task build-runtime-image, for those who change the runtime's Containerfile, and
that of both APIs on a cluster (manifests/edge/components/api, manifests/core/api).
"""
TARGETS = (*USUAL, BUILDER, API)


def main(argv: Sequence[str] | None = None) -> int:
    """Build and push each target."""
    made = argparse.ArgumentParser(prog="make images", description=__doc__, epilog=EXIT_STATUSES, allow_abbrev=False)
    made.add_argument("--base-image", default="", help="any Linux image with Python >= 3.11 (default: UBI 9)")
    made.add_argument("--registry", required=True, help="where to push: host[:port][/path]")
    made.add_argument("--plain-http", action="store_true", help="the registry speaks http, not https")
    made.add_argument("targets", nargs="*", default=list(USUAL), metavar="TARGET", help=" ".join(TARGETS))
    options = made.parse_args(argv)
    if unknown := set(options.targets) - set(TARGETS):
        made.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")

    if not options.registry:
        made.error("no registry to push to; give one (make images REGISTRY=host[:port][/path])")

    def action() -> None:
        registry = options.registry.rstrip("/")
        pushed = run(options.base_image, registry, options.plain_http, options.targets)
        print(json.dumps(pushed, indent=2))

    return guarded("images", action)


def run(base: str, registry: str, plain_http: bool, targets: Sequence[str]) -> dict[str, str]:
    """Build and push the targets; their references by digest, by name of the target.

    Raises MachineError without buildah, OutsideError where a build or a push fails.
    """
    buildah.needed()
    pushed: dict[str, str] = {}
    pinned: dict[Path, Build] = {}  # the targets of one file have one base, whatever its tag means a minute later
    with tempfile.TemporaryDirectory(prefix="nearedge-images.") as scratch:
        folder, lent = Path(scratch, "context"), Path(scratch, "lent")
        context.fill(folder)
        settings = context.lend(lent, None, None)
        engine = Engine(plain=(f"{registry}/",) if plain_http else ())
        for target in (one for one in TARGETS if one in targets):
            tag, file = name(registry, target), containerfile(folder, target)
            if file not in pinned:
                pinned[file] = buildah.pin(Build(tag, file, folder, lent, settings, engine, base=base))
            build = replace(pinned[file], name=tag, target=target, epoch=target == RUNTIME)
            say(f"building {build.name}")
            engine.run(*buildah.bud(build), what=f"building {target}")
            pushed[target] = f"{build.name}@{buildah.push(build, Path(scratch, 'digest'))}"
            keep(pushed)  # at once: a target that fails later takes none of these with it
    return pushed


def name(registry: str, target: str) -> str:
    """An image's name with its tag."""
    return f"{registry}/nearedge/{target}:{__version__}"


def containerfile(folder: Path, target: str) -> Path:
    """The Containerfile of a target, in the context. The runtime has no times: it is a base of images whose digest must
    not depend on the day.
    """
    return folder / (context.RUNTIME_FILE if target == RUNTIME else "Containerfile")


def keep(pushed: dict[str, str]) -> None:
    """Add what was pushed to images.json, beside targets pushed earlier."""
    place = Path(os.environ.get("NEAREDGE_HOME") or ".nearedge") / "images.json"
    known = json.loads(place.read_text()) if place.is_file() else {}
    write_text(place, json.dumps({**known, **pushed}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
