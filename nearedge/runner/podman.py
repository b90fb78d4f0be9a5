"""Running one container with podman, where podman really runs containers on this machine."""

import functools
import ipaddress
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from nearedge.errors import InputError, OutsideError
from nearedge.runner.process import GRACE_S, Container, Running
from nearedge.runner.process import start as start_process

PROBE_S = 30
PULL_S = 1800
# Variables that podman itself or its loader reads: set in its own environment they would change what podman does.
PODMAN_READS = re.compile(
    r"^(PATH|HOME|USER|LOGNAME|TMPDIR|LD_.*|XDG_.*|_?CONTAINER.*|STORAGE_.*|REGISTRY_.*|DOCKER_.*|GO.*|DBUS_.*)$"
)
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


class ContainerRunning(Running):
    """A `podman run` in the foreground. Stopping it stops the container, which is no child of podman's."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, env_file: Path) -> None:
        """Take over the `podman run` of the container `name`, which read its variables from `env_file`."""
        super().__init__(process)
        self.name = name
        self.env_file = env_file

    def wait(self, timeout_s: float | None = None) -> int:
        """The container's exit status; 125 where podman could not start it. Raises subprocess.TimeoutExpired."""
        status = super().wait(timeout_s)
        self.env_file.unlink(missing_ok=True)
        return status

    def stop(self, grace_s: float = GRACE_S) -> int:
        """SIGTERM to the container, SIGKILL after `grace_s` seconds, then podman itself; the exit status."""
        if self.process.poll() is not None:
            return self.wait()
        podman("stop", "--ignore", f"--time={max(0, round(grace_s))}", self.name, timeout_s=grace_s + PROBE_S)
        try:
            return self.wait(1.0)
        except subprocess.TimeoutExpired:  # podman was about to create the container when we told it to stop
            self.remove()
            status = super().stop(1.0)
            self.remove()
            return status

    def clean_up(self) -> None:
        """Kill a container that outlived its `podman run`, which somebody must have killed."""
        if (self.process.poll() or 0) < 0:
            self.remove()

    def remove(self) -> None:
        """Kill and remove the container, where there is one."""
        podman("rm", "--force", "--ignore", "--time=0", self.name, timeout_s=PROBE_S)


def podman(*arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run podman to its end with this process' environment; a time-out or a missing program is a failed run."""
    argv = ["podman", *arguments]
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"no answer in {timeout_s:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(argv, 127, "", str(error))


def works() -> bool:
    """Whether podman can really run a container on this machine. Never pulls; the answer is kept."""
    return why_not() is None


@functools.cache
def why_not() -> str | None:
    """None where podman runs a container here, else the reason in one line.

    The probe runs this machine's own `true`, copied with its shared libraries to a folder, so it needs no image.
    """
    if shutil.which("podman") is None:
        return "podman is not installed"
    with tempfile.TemporaryDirectory(prefix="nearedge-probe.") as folder:
        root = Path(folder)
        try:
            copy_true(root)
        except (OSError, subprocess.SubprocessError) as error:
            return f"the probe could not be assembled: {error}"
        result = podman(
            "run", "--rm", "--network=host", "--security-opt=label=disable", "--rootfs", folder, "/true",
            timeout_s=PROBE_S,
        )  # fmt: skip
    return None if result.returncode == 0 else f"podman cannot run a container: {last_line(result.stderr)}"


def copy_true(root: Path) -> None:
    """Copy `true` to `root/true` and the libraries that ldd names to where it will look for them."""
    program = shutil.which("true") or "/bin/true"
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, timeout=PROBE_S)  # noqa: S607 - ldd has no fixed place
    for library in re.findall(r"(/\S+) \(0x", listing.stdout):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    shutil.copy(program, root / "true")


def start(container: Container, *, hardened: bool = False) -> Running:
    """Start `container` on the host's network, its folders mounted under the same paths, its output in its log.

    A step (anything with folders) runs as the user who started us, since the folders are theirs; `hardened` is for
    images of ours: the image's own user, read-only root, no capability, as on a cluster. Podman pulls the image where
    it is not there; a failed pull is exit status 125 and podman's message in the log.
    """
    name = f"nearedge-{re.sub('[^a-zA-Z0-9_.-]', '-', container.name)}-{secrets.token_hex(4)}"
    by_file, by_name = split_env(container.env)
    handle, env_file = tempfile.mkstemp(prefix="nearedge-env.")  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.writelines(f"{key}={value}\n" for key, value in by_file.items())
    argv = ["podman", "run", "--rm", f"--name={name}", *run_options(container, hardened)]
    argv += [f"--env-file={env_file}", *(f"--env={key}" for key in by_name)]
    argv += [tls_option(container.image)] if tls_option(container.image) else []
    try:
        running = start_process([*argv, *image_and_args(container)], os.environ | dict(by_name), None, container.log)
    except OSError:
        Path(env_file).unlink()
        raise
    return ContainerRunning(running.process, name, Path(env_file))


def run_options(container: Container, hardened: bool) -> list[str]:
    """The options of `podman run` that follow from the container."""
    options = ["--network=host", "--http-proxy=false", "--security-opt=label=disable"]
    options += HARDENED if hardened else ("--user=0:0",) if container.folders else ()
    # --mount rather than -v: a path may hold a colon.
    options += [f"--mount=type=bind,source={folder},destination={folder}" for folder in mounted(container.folders)]
    options += [f"--workdir={container.cwd}"] if container.cwd else []
    return options


def mounted(folders: Sequence[Path]) -> list[Path]:
    """The folders without those that lie in another of them. Raises InputError for a path podman cannot mount."""
    chosen: list[Path] = []
    for folder in sorted(set(folders)):
        if "," in str(folder) or not folder.is_absolute():
            raise InputError(f"{folder}: podman cannot mount it; give an absolute path without a comma")
        if not any(folder.is_relative_to(other) for other in chosen):
            chosen.append(folder)
    return chosen


def image_and_args(container: Container) -> list[str]:
    """The end of the command line: the entrypoint where the container has a command, the image, the arguments."""
    entrypoint = [f"--entrypoint={json.dumps(list(container.command))}"] if container.command else []
    return [*entrypoint, "--", container.image, *container.args]


def split_env(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Variables to pass in a file, and those to pass by name through podman's own environment.

    Values never stand in the arguments, which every user of the machine can read. Those that podman reads itself go
    through the file, which holds one line a variable. Raises InputError where such a one has several lines.
    """
    by_file = {key: value for key, value in env.items() if PODMAN_READS.match(key)}
    for key, value in by_file.items():
        if "\n" in value:
            raise InputError(f"env {key}: a value of several lines cannot be handed to podman; give one line")
    return by_file, {key: value for key, value in env.items() if key not in by_file}


def pull(reference: str) -> str:
    """Have podman fetch `reference` (a registry's, or `oci:/absolute/DIR:tag`) if need be; the image's id.

    Raises OutsideError where it cannot be had.
    """
    if not reference.startswith("oci:"):
        known = podman("image", "inspect", "--format={{.Id}}", "--", reference, timeout_s=PROBE_S)
        if known.returncode == 0:
            return known.stdout.strip()
    options = [option for option in ("--quiet", tls_option(reference)) if option]
    result = podman("pull", *options, "--", reference, timeout_s=PULL_S)
    if result.returncode != 0:
        raise OutsideError(f"{reference}: podman cannot pull it: {last_line(result.stderr)}; check the reference")
    return result.stdout.strip().splitlines()[-1]


def pull_layout(layout: Path, tag: str) -> str:
    """Have podman take an image over from an OCI layout; the image's id. Raises OutsideError.

    Podman names the image after the layout's path, and most paths (a capital, a leading dot) are no image names: it is
    given a plain link instead.
    """
    link = Path(tempfile.gettempdir()) / f"nearedge-layout-{secrets.token_hex(8)}"
    link.symlink_to(layout.absolute())
    try:
        return pull(f"oci:{link}{':' + tag if tag else ''}")
    finally:
        link.unlink()


def inspect(image: str) -> dict[str, object]:
    """The config of an image that podman has: Labels, Entrypoint, Env and so on, as podman shows them."""
    result = podman("image", "inspect", "--format={{json .Config}}", "--", image, timeout_s=PROBE_S)
    if result.returncode != 0:
        raise OutsideError(f"{image}: podman does not know it: {last_line(result.stderr)}; pull it first")
    config = json.loads(result.stdout)
    return config if isinstance(config, dict) else {}


def tls_option(reference: str) -> str:
    """The option that lets podman speak plain http with a registry on this machine's loopback, else nothing."""
    return "--tls-verify=false" if on_loopback(reference) else ""


def on_loopback(reference: str) -> bool:
    """Whether the registry of `reference` is on the loopback interface (as docker's default for plain http)."""
    if "/" not in reference or reference.startswith("oci:"):
        return False
    authority = reference.removeprefix("docker://").split("/")[0]
    host = authority[1:].split("]")[0] if authority.startswith("[") else authority.split(":")[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def last_line(text: str) -> str:
    """The last line that says something, shortened: podman says what was wrong there."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no message").removeprefix("Error: ")[:300]
