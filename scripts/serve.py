"""`nearedge serve`: serve a serving image, a layout or a folder of models on this machine until Ctrl-C."""

import argparse
import contextlib
import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import cast

from nearedge.errors import InputError, MachineError, UsageError
from nearedge.program import guarded, new_parser
from nearedge.progress import say
from nearedge.runner import serving, sidecars
from nearedge.runner.process import Running
from nearedge.runner.process import start as start_process

LOOPBACK = "127.0.0.1"
READY_S = 120.0
PORTS = 65535
POLL_S = 0.1
SHOWN_LINES = 5
SHOWN_BYTES = 600
ENDINGS = (signal.SIGINT, signal.SIGTERM)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = new_parser("serve", "Serve a model on this machine's loopback interface until Ctrl-C.")
    made.add_argument(
        "what",
        metavar="IMAGE|LAYOUT|FOLDER",
        help="registry/name@digest, oci:DIR:tag, a folder that is an OCI layout or holds one as image/ (a release), "
        "or a folder with NAME/VERSION/model.xml",
    )
    made.add_argument("--port", type=int, default=8080, help="port on 127.0.0.1; 0 takes a free one (default 8080)")
    made.add_argument(
        "--grpc-port",
        default="8081",
        help="port for gRPC on 127.0.0.1; 0 takes a free one, off is for none (default 8081)",
    )
    made.add_argument("--backend", choices=sidecars.ORDER, help="how to run an image (default: the first that works)")
    made.add_argument("--log", type=Path, help="file for the server's log (default: serve.log in .nearedge)")
    return made


def run(
    what: str, port: int, backend: sidecars.Backend | None, log: Path, grpc_port: str = "off"
) -> tuple[Running, str, str]:
    """Start the server and wait until it is ready; the running server, its URL, and gRPC's address where it has one.

    Raises InputError for what holds no model, UsageError for what is no port, MachineError where a port is taken or
    the server does not become ready, and what `sidecars.start` raises.
    """
    port = free_port(port)
    grpc = "" if grpc_port == "off" else str(free_port(number(grpc_port), "--grpc-port"))
    args, env = (f"--port={port}",), {"NEAREDGE_GRPC_PORT": grpc or "off"}
    if holds_models(Path(what)):
        running = serve_folder(Path(what), args, log, env)
    else:
        image, folders = reference(what)
        running = sidecars.start_image(image, folders, args, log, backend, env).running
    try:
        wait_ready(running, port, log)
    except BaseException:
        running.stop()
        raise
    return running, f"http://{LOOPBACK}:{port}", f"{LOOPBACK}:{grpc}" if grpc else ""


def number(text: str) -> int:
    """A port from its text. Raises UsageError."""
    if not text.isdecimal():
        raise UsageError(f"port {text!r}: no number and not off; give another with --grpc-port")
    return int(text)


def holds_models(folder: Path) -> bool:
    """Whether `folder` is a folder of models, versions being numbers: a release's `ir/deployed/model.xml` is none."""
    return any(path.parent.name.isdecimal() for path in folder.glob("*/*/model.xml"))


def free_port(port: int, option: str = "--port") -> int:
    """`port`, or a free one for 0. Raises MachineError where it is taken, UsageError where it is none."""
    if not 0 <= port <= PORTS:
        raise UsageError(f"port {port}: not from 0 to {PORTS}; give another with {option}")
    try:
        with socket.create_server((LOOPBACK, port)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        raise MachineError(f"port {port}: cannot be used: {error}; give another with {option}") from error


def reference(what: str) -> tuple[str, tuple[Path, ...]]:
    """The image's reference, and the folder its layout is in. Raises InputError for a folder that is no layout."""
    if what.startswith("oci:"):
        name, at, digest = what.removeprefix("oci:").partition("@")
        directory, _, tag = name.rpartition(":") if ":" in name else (name, "", "")
        layout = Path(directory).absolute()
        return f"oci:{layout}:{tag}{at}{digest}" if tag else f"oci:{layout}{at}{digest}", (layout,)
    folder = Path(what)
    if not folder.exists() and not what.startswith((".", "/")):
        return what, ()
    for layout in (folder.absolute(), folder.absolute() / "image"):
        if (layout / "index.json").is_file():
            return f"oci:{layout}", (layout,)
    raise InputError(f"{what}: neither a layout (index.json) nor NAME/VERSION/model.xml in it; give one, or an image")


def serve_folder(models: Path, args: Sequence[str], log: Path, extra: Mapping[str, str]) -> Running:
    """Start this environment's own server on a folder of models."""
    env = dict(os.environ) | sidecars.NO_DRAIN | sidecars.LOOPBACK | dict(extra)
    argv = [sys.executable, "-m", "serving_image", f"--models={models.absolute()}", *args]
    return start_process(argv, env, None, log)


def wait_ready(running: Running, port: int, log: Path) -> None:
    """Wait until the server says it is ready. Raises MachineError with its last words where it does not."""
    until = time.monotonic() + READY_S
    while (reason := why_not_ready(port)) is not None:
        if running.process.poll() is not None:
            raise MachineError(f"the server ended with status {running.wait()}: {last_words(log)}")
        if time.monotonic() > until:
            raise MachineError(f"the server is not ready after {READY_S:.0f} s: {reason} (see {log})")
        time.sleep(POLL_S)


def why_not_ready(port: int) -> str | None:
    """None where the server answers that it is ready, else what it answers; asked without any proxy."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/v2/health/ready")
            answer = connection.getresponse()
            said = answer.read(SHOWN_BYTES).decode(errors="replace")
            return None if answer.status == http.client.OK else said
        except (OSError, http.client.HTTPException) as error:
            return f"it does not answer: {error}"


def last_words(log: Path) -> str:
    """The end of the log, on one line, and where the rest is."""
    lines = log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
    return f"{' | '.join(lines)} (see {log})"


def end_once(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, and hear no second one: it would leave the server behind that is being stopped."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    signal.default_int_handler(number, frame)


def default_log() -> Path:
    """serve.log beside the kept runs."""
    return sidecars.default_cache().parent / "serve.log"


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C (which is how it ends well) or until the server ends by itself."""
    options = parser().parse_args(argv)

    def action() -> int:
        for ending in ENDINGS:
            signal.signal(ending, end_once)
        log = cast(Path, options.log or default_log())
        running, url, grpc = run(options.what, options.port, options.backend, log, options.grpc_port)
        served = serving.Served(url, grpc, str(log.absolute()), options.what, serving.now())
        try:
            serving.began(served, serving.folder())
            also = f", gRPC at {grpc}" if grpc else ""
            say(f"serving at {url}{also} (log: {log}); stop with Ctrl-C")
            print(url, flush=True)
            status = running.wait()
            serving.ended(served, serving.folder(), status)
            return status
        except BaseException as error:
            running.stop()
            if not isinstance(error, KeyboardInterrupt):
                raise
            serving.forgotten(served, serving.folder())
            return 0

    return guarded("serve", action)


if __name__ == "__main__":
    sys.exit(main())
