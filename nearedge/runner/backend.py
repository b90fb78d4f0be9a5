"""Where a step runs: our images in this environment, foreign ones with podman or, where allowed, on this machine."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from nearedge.errors import UnsupportedError
from nearedge.runner import podman, process
from nearedge.runner.process import Container, Running

OURS = {"core", "onnx", "pytorch", "tensorflow", "build"}


def is_ours(image: str) -> bool:
    """Whether an image is one of our step images: `[registry/...]nearedge/NAME[:tag][@digest]`."""
    path = image.partition("@")[0].split("/")
    if len(path) < 2:
        return False
    return path[-2] == "nearedge" and path[-1].partition(":")[0] in OURS


def check(image: str, on_host: bool, has_command: bool, where: str) -> None:
    """Raise UnsupportedError where a step cannot run on this machine."""
    here = is_ours(image) or on_host
    if here and not has_command:
        raise UnsupportedError(
            f"{where}: has no command and no script; what image {image} starts by itself is not known on this machine"
        )
    if not here and not podman.works():
        raise UnsupportedError(
            f"{where}: image {image} is not ours, and podman does not work on this machine; "
            "run it on this machine itself with --on-host, if you trust it"
        )


def start(container: Container, on_host: bool) -> Running:
    """Start a step. Raises UnsupportedError as `check`, OSError where its program is not there."""
    check(container.image, on_host, bool(container.command), f"step {container.name}")
    if not (on_host or is_ours(container.image)):
        return podman.start(container)
    env = environment(container.env)
    return process.start([*container.command, *container.args], env, container.cwd, container.log)


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process with the step's own on top; PATH begins with the folder of our interpreter."""
    env = process.environment() | dict(own)
    here = str(Path(sys.executable).parent)
    env["PATH"] = os.pathsep.join([here, env.get("PATH", os.defpath)])
    env.setdefault("PYTHONUNBUFFERED", "1")
    # A step's HOME is its own and goes with it; what is kept for the next run (a runtime base) belongs to the person.
    env.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return env


def shebang(script: str) -> list[str]:
    """The interpreter of a script, as the kernel reads its first line: a program and at most one argument.

    A script without one is run by `/bin/sh`, with `set -e` put before it by `script_text`.
    """
    first = script.split("\n", 1)[0]
    if not first.startswith("#!"):
        return ["/bin/sh"]
    return first[2:].strip().split(None, 1) or ["/bin/sh"]


def script_text(script: str) -> str:
    """The script with Tekton's preamble where it has no interpreter line of its own."""
    return script if script.startswith("#!") else f"#!/bin/sh\nset -e\n{script}"
