"""Starting the image under test (or any sidecar) on one machine, by the best means that this machine has.

With podman where it really runs; else the unpacked image in a chroot, as root; else, for an image of ours, this
environment's own server on the models of the image. The first line of the log says which.
"""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from nearedge.errors import InputError, UnsupportedError, UsageError
from nearedge.files import inside
from nearedge.runner import chroot, layouts, podman
from nearedge.runner.process import Container, Running, environment
from nearedge.runner.process import start as start_process
from nearedge.runner.unpack import lock, unpacked

Backend = Literal["podman", "chroot", "process"]

ORDER: tuple[Backend, ...] = ("podman", "chroot", "process")
ORDER_VARIABLE = "NEAREDGE_SIDECAR_BACKEND_ORDER"
LOOPBACK = {"NEAREDGE_HOST": "127.0.0.1"}
NO_DRAIN = {"NEAREDGE_DRAIN_SECONDS": "0"}  # there is no load balancer that would still send requests
NO_GRPC = {"NEAREDGE_GRPC_PORT": "off"}  # its usual port may be taken on this machine, and nobody asks for it
MODELS_VARIABLE = "NEAREDGE_MODELS"
DIGEST_VARIABLE = "NEAREDGE_IMAGE_DIGEST"
OUR_COMMAND = ("-m", "serving_image")
PLAIN_USER = 1001
PROBE_S = 30


@dataclass(frozen=True)
class Sidecar:
    """A started sidecar, and how it was started."""

    backend: Backend
    running: Running

    def stop(self) -> None:
        """Stop it and everything it started; nothing where it has ended."""
        self.running.stop()


def start(container: Container, order: Sequence[str] | None = None, cache: Path | None = None) -> Sidecar:
    """Start `container` with the first means of `order` that can run it; unpacked images are kept under `cache`.

    `order` is by default what NEAREDGE_SIDECAR_BACKEND_ORDER names (with commas), else podman, chroot, process. A
    server is told to listen on the loopback interface only.

    Raises InputError for a bad or hostile image, OutsideError where podman cannot pull it, UnsupportedError where
    nothing here can run it, UsageError for an unknown name in `order`.
    """
    image = find_layout(container)
    digest = {DIGEST_VARIABLE: image.digest} if image else {}
    container = replace(container, env={**NO_DRAIN, **NO_GRPC, **digest, **container.env, **LOOPBACK})
    reasons = []
    for backend in chosen(order):
        reason = why_not(backend, container, image)
        if reason is None:
            say_which(container, backend, image)
            return Sidecar(backend, start_with(backend, container, image, cache or default_cache()))
        reasons.append(f"{backend}: {reason}")
    raise UnsupportedError(f"{container.image}: nothing on this machine can run it ({'; '.join(reasons)})")


def start_image(
    image: str,
    folders: Sequence[Path],
    args: Sequence[str],
    log: Path,
    backend: Backend | None = None,
    env: Mapping[str, str] | None = None,
) -> Sidecar:
    """Start the server of a serving image: a registry's reference, or `oci:DIR:tag` with DIR in one of `folders`.

    Raises what `start` raises.
    """
    container = Container("serve", image, (), tuple(args), dict(env or {}), None, log, tuple(folders))
    return start(container, (backend,) if backend else None)


def default_cache() -> Path:
    """Where unpacked images are kept: `images` in NEAREDGE_HOME, else in `.nearedge` of the current folder."""
    return (Path(os.environ.get("NEAREDGE_HOME") or ".nearedge") / "images").absolute()


def chosen(order: Sequence[str] | None) -> tuple[Backend, ...]:
    """The means to try, in this order. Raises UsageError."""
    named = order or [name.strip() for name in os.environ.get(ORDER_VARIABLE, "").split(",") if name.strip()] or ORDER
    unknown = set(named) - set(ORDER)
    if unknown:
        raise UsageError(f"no sidecar backend {', '.join(sorted(unknown))}; there are {', '.join(ORDER)}")
    return cast(tuple[Backend, ...], tuple(named))


def find_layout(container: Container) -> layouts.Image | None:
    """The image in a layout on this machine; None for one that only a registry has. Raises InputError.

    An image in a registry may still be in the layout it was pushed from: the digest says so.
    """
    if layouts.is_layout(container.image):
        return layouts.find(container.image, container.folders)
    digest = container.image.partition("@")[2]
    for folder in (place for one in container.folders for place in (one, one / "image")):
        if digest and (folder / "index.json").is_file():
            try:
                return layouts.read(folder, digest=digest)
            except InputError:
                continue
    return None


def why_not(backend: Backend, container: Container, image: layouts.Image | None) -> str | None:
    """None where `backend` can run the image on this machine, else the reason."""
    if backend == "podman":
        return podman.why_not()
    if image is None:
        return "the image is in a registry, and only podman pulls; use oci:DIR:tag"
    if backend == "chroot":
        return chroot_why_not()
    if not image.ours:
        return f"not an image of ours (label {layouts.OURS})"
    if container.command and container.command[-2:] != OUR_COMMAND:
        return "its command is not the image's server"
    return None


@functools.cache
def chroot_why_not() -> str | None:
    """None where a chroot with its mounts can be made here, else the reason. The answer is kept."""
    if os.geteuid() != 0:
        return "not root"
    argv = [sys.executable, "-I", chroot.__file__, "--probe"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PROBE_S)
    return None if result.returncode == 0 else podman.last_line(result.stderr)


def say_which(container: Container, backend: Backend, image: layouts.Image | None) -> None:
    """Write the log's first line: the image and what runs it."""
    container.log.parent.mkdir(parents=True, exist_ok=True)
    digest = f" ({image.digest})" if image and image.digest not in container.image else ""
    with container.log.open("a") as log:
        log.write(f"nearedge: {container.name}: {container.image}{digest} runs with backend {backend}\n")


def start_with(backend: Backend, container: Container, image: layouts.Image | None, cache: Path) -> Running:
    """Start the container with `backend`, which `why_not` said can run it."""
    if backend == "podman":
        return start_podman(container, image)
    if image is None:  # why_not has refused this
        raise UnsupportedError(f"{container.image}: not in a layout on this machine; use oci:DIR:tag")
    return start_chroot(container, image, cache) if backend == "chroot" else start_server(container, image, cache)


def start_podman(container: Container, image: layouts.Image | None) -> Running:
    """Start it with podman; an image of ours as a cluster would: its own user, read-only, without capabilities."""
    if image is not None:
        found = podman.pull_layout(image.folder, image.tag)
        if found.removeprefix("sha256:") != image.manifest.config.digest.removeprefix("sha256:"):
            raise InputError(f"{container.image}: podman found another image there, {found}; name it by another tag")
    else:
        found = podman.pull(container.image)
    labels = podman.inspect(found).get("Labels")
    ours = isinstance(labels, dict) and labels.get(layouts.OURS) == "1"
    # Our server has no business in the workspace.
    return podman.start(replace(container, image=found, folders=() if ours else container.folders), hardened=ours)


def start_chroot(container: Container, image: layouts.Image, cache: Path) -> Running:
    """Start the image's program in a chroot on the unpacked image, as a plain user."""
    settings = image.settings
    command = container.command or tuple(settings.entrypoint or ())
    args = container.args or (() if container.command else tuple(settings.cmd or ()))
    if not (*command, *args):
        raise InputError(f"{container.image}: the image names no program; give a command")
    place = unpacked(image, cache)
    user, workdir = number(settings.user), str(container.cwd or settings.working_dir or "/")
    argv = [sys.executable, "-I", chroot.__file__, f"--user={user}", f"--workdir={workdir}", f"--lock={lock(place)}"]
    folders = () if image.ours else podman.mounted(container.folders)  # our server has no business in the workspace
    argv += [f"--folder={folder}" for folder in folders]
    env = dict(entry.split("=", 1) for entry in settings.env or () if "=" in entry) | dict(container.env)
    own = {chroot.ENV: json.dumps(env), "LC_ALL": "C.UTF-8"}
    return start_process([*argv, str(place), "--", *command, *args], own, None, container.log)


def number(user: str) -> int:
    """The uid that the image names by number; a plain one where it names root, nobody or somebody by name."""
    name = user.partition(":")[0]
    return int(name) if name.isdecimal() and 0 < int(name) < 1 << 31 else PLAIN_USER


def start_server(container: Container, image: layouts.Image, cache: Path) -> Running:
    """Start this environment's own server on the models of the image. Raises InputError for links that lead out."""
    env = dict(entry.split("=", 1) for entry in image.settings.env or () if "=" in entry)
    path = env.get(MODELS_VARIABLE, "/models").lstrip("/")
    root = unpacked(image, cache, path.split("/")[0]) / "rootfs"
    models = inside(root, path)
    if not models.is_dir():
        raise InputError(f"{container.image}: the image has no folder /{path}; build it again")
    for file in models.rglob("*"):
        inside(models, str(file.relative_to(models)))
    argv = [sys.executable, "-m", "serving_image", f"--models={models}", *container.args]
    return start_process(argv, environment() | dict(container.env), None, container.log)
