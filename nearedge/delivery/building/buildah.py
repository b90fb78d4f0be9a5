"""buildah as the builder of our Containerfiles, its commands run in a chroot: no daemon, no container runtime.

The base is named to it by the digest that its tag has now, and labels record that. What pip needs is lent as secrets
and read-only folders, and nothing of it is among the build's own arguments.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nearedge.delivery import digest as digests
from nearedge.delivery.building.pip_settings import Lent
from nearedge.errors import InputError, MachineError, OutsideError
from nearedge.files import sha256_tree
from nearedge.progress import say

BASE_LABEL = "org.opencontainers.image.base"
BASE_ARGUMENT = re.compile(r"^ARG BASE_IMAGE(?:=(\S+))?$", re.MULTILINE)
EPOCH = ("--timestamp=0",)
LAST_LINES = 40
REFUSED = {
    "supplemental groups list": "RUN is refused to a user of one uid by this buildah; take buildah 1.45 or newer, or a "
    "pod with a user namespace (docs/cluster.md)",
    "during unshare(": "this pod may not make a user namespace; its seccomp or AppArmor profile has to allow it "
    "(docs/cluster.md)",
    "unknown userid": "this user has no name in /etc/passwd, which buildah needs; run as user 1001",
}
"""What buildah says where the machine refuses, and what a person can do about it."""


@dataclass(frozen=True)
class Engine:
    """How buildah is called.

    `store` stands before the command: where images are kept; empty for the machine's own. `registry` goes with each
    command that reaches one: logins, certificates. Names that begin with one of `plain` are spoken to by plain http.
    """

    store: tuple[str, ...] = ()
    registry: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def reach(self, name: str) -> list[str]:
        """The options of a command that reaches the registry of the image `name`."""
        return [*self.registry, *(["--tls-verify=false"] if self.plain and name.startswith(self.plain) else [])]

    def run(self, *arguments: str, what: str) -> None:
        """Run buildah, its output on stderr for the person who waits. Raises OutsideError, MachineError."""
        argv = ["buildah", *self.store, *arguments]
        last: deque[str] = deque(maxlen=LAST_LINES)
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=self.variables()
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                last.append(line)
                sys.stderr.write(line)
        if process.returncode != 0:
            said = "".join(last)
            if why := next((why for mark, why in REFUSED.items() if mark in said), None):
                raise MachineError(f"{what} failed: {why}")
            raise OutsideError(f"{what} failed: buildah ended with status {process.returncode}; it says why above")

    def output(self, *arguments: str, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run buildah for what it prints. Raises subprocess.TimeoutExpired."""
        argv = ["buildah", *self.store, *arguments]
        return subprocess.run(
            argv,
            capture_output=True, text=True, errors="replace", check=False, timeout=timeout_s, env=self.variables(),
        )  # fmt: skip

    def variables(self) -> dict[str, str]:
        """The environment of buildah."""
        return {**os.environ, **self.environment}


@dataclass(frozen=True)
class Build:
    """One image to build: its name with tag, its Containerfile and the stage of it (empty: the last), the context.

    `lent` is a folder of this user's own that holds pip.conf. `base` is empty for the Containerfile's own default until
    `pin`. An image with `epoch` has no times: the same inputs give the same digest.
    """

    name: str
    file: Path
    context: Path
    lent: Path
    pip: Lent
    engine: Engine = Engine()
    target: str = ""
    base: str = ""
    base_digest: str = ""
    arguments: tuple[str, ...] = ()
    epoch: bool = False

    @property
    def pinned(self) -> str:
        """The base by digest, without tag."""
        name, slash, last = self.base.rpartition("/")
        return f"{name}{slash}{last.partition(':')[0]}@{self.base_digest}"


def needed() -> None:
    """Raise MachineError without buildah."""
    if shutil.which("buildah") is None:
        raise MachineError("buildah: not installed; install it (.ci/run does), or build with another machine")


def pin(build: Build) -> Build:
    """`build` with the name and the digest of its base, which buildah pulls where it has none of the name.

    Raises InputError where the Containerfile does not take its base as BASE_IMAGE, OutsideError where there is no such
    image.
    """
    found = BASE_ARGUMENT.search(build.file.read_text(encoding="utf-8"))
    if found is None:
        raise InputError(f"{build.file.name}: has no line ARG BASE_IMAGE=…, the base to build on (docs/cluster.md)")
    base, _, digest = (build.base or found[1] or "").partition("@")
    if not base:
        raise InputError(f"{build.file.name}: BASE_IMAGE has no default; name the base (param base-image)")
    named = replace(build, base=base, base_digest=digest)
    if not digest:
        build.engine.run("pull", "--quiet", *build.engine.reach(base), base, what=f"pulling {base}")
        asked = build.engine.output("inspect", "--type=image", "--format={{.FromImageDigest}}", base)
        digest = asked.stdout.strip()
    if not digests.is_digest(digest):
        raise OutsideError(f"{base}: its digest is not known ({digest!r}); give the base as NAME@sha256:…")
    say(f"base {base}@{digest}")
    return replace(named, base_digest=digest)


def bud(build: Build) -> list[str]:
    """The arguments of `buildah bud` for a build whose base is pinned."""
    argv = ["bud", "--isolation=chroot", "--layers", "--format=oci", f"--tag={build.name}"]
    argv += [f"--target={build.target}"] if build.target else []
    argv += [f"--file={build.file}", f"--secret=id=pip.conf,src={build.lent / 'pip.conf'}"]
    argv += [f"--secret=id=ca.crt,src={build.pip.ca}"] if build.pip.ca else []
    argv += [f"--volume={folder}:{place}:ro" for place, folder in build.pip.folders.items()]
    argv += [f"--build-arg={one}" for one in build.arguments]
    argv += [f"--build-arg=CONTEXT={sha256_tree(build.context)}", *(EPOCH if build.epoch else ())]
    argv += [f"--build-arg=BASE_IMAGE={build.pinned}"]
    argv += [f"--label={BASE_LABEL}.name={build.base}", f"--label={BASE_LABEL}.digest={build.base_digest}"]
    return [*argv, *build.engine.reach(build.base), str(build.context)]


def push(build: Build, digest: Path) -> str:
    """Push a built image, its digest on the way to the file `digest`; the digest."""
    engine, name = build.engine, build.name
    engine.run("push", *engine.reach(name), f"--digestfile={digest}", name, f"docker://{name}", what=f"pushing {name}")
    return digest.read_text().strip()
