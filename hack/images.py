"""`make images`: build the images that Tasks run in and the runtime, and push them.

python hack/images.py --base-image=IMAGE --registry=HOST[/PATH] [--plain-http] [TARGET ...]

Builds with `buildah bud --isolation chroot`, which needs no privilege of a container engine. The base is named to it by
the digest that its tag has now, and labels record that. The references by digest of what was pushed are printed as JSON
and kept in `.nearedge/images.json` (NEAREDGE_HOME), which `make install` reads.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hack import pip_settings
from nearedge import __version__
from nearedge.delivery import digest as digests
from nearedge.errors import MachineError, OutsideError
from nearedge.files import sha256_tree, write_text
from nearedge.program import EXIT_STATUSES, guarded
from nearedge.progress import say

TREE = Path(__file__).resolve().parent.parent
STEPS, RUNTIME = ("core", "onnx", "pytorch", "tensorflow"), "runtime"
TARGETS = (*STEPS, RUNTIME)
BASE_LABEL = "org.opencontainers.image.base"
NEEDED = ("step_images/Containerfile", "step_images/install.sh", "step_images/copy_runtime.py", "constraints.txt")
DEFAULT_BASE = re.compile(r"^ARG BASE_IMAGE=(\S+)$", re.MULTILINE)
EPOCH = ("--timestamp=0",)  # the runtime is a base of images whose digest must not depend on the day


@dataclass(frozen=True)
class Build:
    """What all targets of one run share. `base` is empty for each Containerfile's own default until `pin`."""

    base: str
    registry: str
    plain_http: bool
    context: Path
    lent: Path
    pip: pip_settings.Lent
    base_digest: str = ""

    def name(self, target: str) -> str:
        """The image's name with its tag."""
        return f"{self.registry}/nearedge/{target}:{__version__}"


def main(argv: Sequence[str] | None = None) -> int:
    """Build and push each target."""
    made = argparse.ArgumentParser(prog="make images", description=__doc__, epilog=EXIT_STATUSES, allow_abbrev=False)
    made.add_argument("--base-image", default="", help="any Linux image with Python >= 3.11 (default: UBI 9)")
    made.add_argument("--registry", required=True, help="where to push: host[:port][/path]")
    made.add_argument("--plain-http", action="store_true", help="the registry speaks http, not https")
    made.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET", help=" ".join(TARGETS))
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
    if shutil.which("buildah") is None:
        raise MachineError("buildah: not installed; install it (.ci/run does), or build with another machine")
    pushed: dict[str, str] = {}
    pinned: dict[str, Build] = {}  # the targets of one file have one base, whatever its tag means a minute later
    with tempfile.TemporaryDirectory(prefix="nearedge-images.") as scratch:
        context, lent = Path(scratch, "context"), Path(scratch, "lent")
        settings = pip_settings.lend(pip_settings.settings(), os.environ)
        fill_context(context)
        lent.mkdir(mode=0o700)
        (lent / "pip.conf").write_text(settings.conf)
        build = Build(base, registry, plain_http, context, lent, settings)
        for target in (one for one in TARGETS if one in targets):
            file = containerfile(target)
            if file not in pinned:
                pinned[file] = pin(build, file)
            say(f"building {build.name(target)}")
            buildah(*bud(pinned[file], target), what=f"building {target}")
            pushed[target] = push(build, target, Path(scratch, "digest"))
            keep(pushed)  # at once: a target that fails later takes none of these with it
    return pushed


def fill_context(context: Path) -> None:
    """The build context: our wheel, a pip to install it with, and the files that the Containerfiles use."""
    context.mkdir()
    for name in NEEDED:
        shutil.copyfile(TREE / name, context / Path(name).name)
    shutil.copyfile(TREE / "serving_image" / "Containerfile", context / "Containerfile.runtime")
    pip("wheel", "--no-deps", "--wheel-dir", str(context), str(TREE))
    pip("download", "--no-deps", "--dest", str(context), f"pip=={importlib.metadata.version('pip')}")


def pip(command: str, *arguments: str) -> None:
    """Run this environment's pip. Raises OutsideError with its last words."""
    argv = [sys.executable, "-m", "pip", command, "--quiet", *arguments]
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode != 0:
        raise OutsideError(f"pip {command}: {' '.join(result.stdout.split()[-60:])}")


def containerfile(target: str) -> str:
    """The name that a target's Containerfile has in the context."""
    return "Containerfile" if target in STEPS else "Containerfile.runtime"


def pin(build: Build, file: str) -> Build:
    """`build` with the name and the digest of the base of `file`, which buildah pulls where it has none of the name.

    Raises OutsideError where there is no such image.
    """
    found = DEFAULT_BASE.search((build.context / file).read_text())
    base, _, digest = (build.base or (found[1] if found else "")).partition("@")
    named = replace(build, base=base, base_digest=digest)
    if not digest:
        buildah("pull", "--quiet", *insecure(named), base, what=f"pulling {base}")
        argv = ["buildah", "inspect", "--type=image", "--format={{.FromImageDigest}}", base]
        digest = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    if not digests.is_digest(digest):
        raise OutsideError(f"{base}: its digest is not known ({digest!r}); give the base as NAME@sha256:…")
    say(f"base {base}@{digest}")
    return replace(named, base_digest=digest)


def insecure(build: Build) -> list[str]:
    """What lets buildah pull the base by plain http, where it comes from the registry that speaks it."""
    return ["--tls-verify=false"] if build.plain_http and build.base.startswith(f"{build.registry}/") else []


def bud(build: Build, target: str) -> list[str]:
    """The arguments of `buildah bud` for a target. Nothing of pip's settings is among the build's own arguments."""
    name, slash, last = build.base.rpartition("/")
    repository = name + slash + last.partition(":")[0]
    argv = [
        "bud",
        "--isolation=chroot",
        "--layers",
        "--format=oci",
        f"--target={target}",
        f"--tag={build.name(target)}",
    ]
    argv += [f"--file={build.context / containerfile(target)}", f"--secret=id=pip.conf,src={build.lent / 'pip.conf'}"]
    argv += [f"--secret=id=ca.crt,src={build.pip.ca}"] if build.pip.ca else []
    argv += [f"--volume={folder}:{place}:ro" for place, folder in build.pip.folders.items()]
    argv += [f"--build-arg=CONTEXT={sha256_tree(build.context)}", *(EPOCH if target == RUNTIME else ())]
    argv += [f"--build-arg=BASE_IMAGE={repository}@{build.base_digest}"]
    argv += [f"--label={BASE_LABEL}.name={build.base}", f"--label={BASE_LABEL}.digest={build.base_digest}"]
    return [*argv, *insecure(build), str(build.context)]


def push(build: Build, target: str, digest: Path) -> str:
    """Push a built target; its reference by digest."""
    options = ["--tls-verify=false"] if build.plain_http else []
    name = build.name(target)
    buildah("push", *options, f"--digestfile={digest}", name, f"docker://{name}", what=f"pushing {target}")
    return f"{name}@{digest.read_text().strip()}"


def buildah(*arguments: str, what: str) -> None:
    """Run buildah, its output on stderr for the person who waits. Raises OutsideError."""
    status = subprocess.run(["buildah", *arguments], stdout=sys.stderr, check=False).returncode
    if status != 0:
        raise OutsideError(f"{what} failed: buildah ended with status {status}; it says why above")


def keep(pushed: dict[str, str]) -> None:
    """Add what was pushed to images.json, beside targets pushed earlier."""
    place = Path(os.environ.get("NEAREDGE_HOME") or ".nearedge") / "images.json"
    known = json.loads(place.read_text()) if place.is_file() else {}
    write_text(place, json.dumps({**known, **pushed}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    sys.exit(main())
