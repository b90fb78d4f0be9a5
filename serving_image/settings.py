"""What can be set about the server: options, the environment variables that stand for them, and their defaults."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_image import __version__
from serving_image.logs import LEVELS

MIB = 1 << 20
ACCESS_LEVELS = ("all", "errors", "off")

DESCRIPTION = """\
Serve the models of a folder with the Open Inference Protocol (REST), on the CPU with OpenVINO.

The folder is laid out as MODELS/<name>/<version>/model.xml and model.bin. Beside them may lie release.json, the
release's identity (how to run the model, checksums), and golden.npz, samples with the answers expected of them.
The server is ready once every model is loaded and has repeated its golden samples;
`curl localhost:8080/v2/health/ready` says why it is not.
"""
EPILOG = """\
try it:
  python -m serving_image --models ./models --port 8080
  curl localhost:8080/v2/models/NAME
  curl localhost:8080/v2/models/NAME/infer -d '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0, 1]}]}'

also read from the environment:
  NEAREDGE_CACHE_DIR     folder for compiled models, to start faster the next time; used where it can be written
  NEAREDGE_IMAGE_DIGEST  digest of the image we run in, shown in the metric nearedge_model_info

On SIGTERM the server says it is not ready, goes on answering for --drain-seconds, finishes what it began and exits with 0.
"""  # noqa: E501 - shell lines that a person copies must not be broken


@dataclass(frozen=True)
class Settings:
    """One run of the server. Times are in seconds, sizes in bytes."""

    models: Path
    host: str
    port: int
    drain: float
    timeout: float
    queue: int
    max_body: int
    max_json: int
    access_log: str
    log_level: str
    cache: Path | None
    digest: str


@dataclass(frozen=True)
class Option:
    """An option, and the environment variable NEAREDGE_<NAME> that stands for it."""

    name: str
    default: str
    help: str
    read: Callable[[str], object]

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return "NEAREDGE_" + self.name.upper().replace("-", "_")


def number(low: float, high: float, kind: type[int] | type[float] = float) -> Callable[[str], object]:
    """A reader of numbers from `low` to `high`."""

    def read(text: str) -> object:
        try:
            value = kind(text)
        except ValueError:
            value = kind(low - 1)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}")
        return value

    return read


def one_of(choices: Sequence[str]) -> Callable[[str], object]:
    """A reader of one of `choices`."""

    def read(text: str) -> object:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return read


OPTIONS = (
    Option("models", "/models", "folder that holds the models", Path),
    Option("host", "127.0.0.1", "address to listen on; the image sets 0.0.0.0, all of the pod's", str),
    Option("port", "8080", "port to listen on; 0 takes a free one, which the log names", number(0, 65535, int)),
    Option("drain-seconds", "5", "how long to go on answering after SIGTERM", number(0, 3600)),
    Option("request-timeout-seconds", "30", "longest time for one request, waiting included", number(0.001, 3600)),
    Option("queue", "32", "requests that may wait for each model; more are told 503", number(0, 100000, int)),
    Option("max-body-mib", "64", "largest body of a request", number(0.001, 2047)),
    Option(
        "max-json-mib", "16", "largest JSON part of a body; it takes many times its size in memory", number(0.001, 2047)
    ),
    Option("access-log", "errors", f"requests to log: {', '.join(ACCESS_LEVELS)}", one_of(ACCESS_LEVELS)),
    Option("log-level", "info", f"least level to log: {', '.join(LEVELS)}", one_of(LEVELS)),
)


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """The option parser, with the defaults that `environment` gives."""
    made = argparse.ArgumentParser(
        prog="python -m serving_image",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--version", action="version", version=f"nearedge serving_image {__version__}")
    for option in OPTIONS:
        default = environment.get(option.variable) or option.default
        shown = f"{option.help} (default {option.default}; {option.variable})"
        made.add_argument(f"--{option.name}", type=option.read, default=default, metavar="VALUE", help=shown)
    return made


def parse(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the command line, the environment behind it. Exits with 2 and one line where they are wrong."""
    given = parser(environment).parse_args(argv)
    cache = environment.get("NEAREDGE_CACHE_DIR", "")
    return Settings(
        models=given.models,
        host=given.host,
        port=given.port,
        drain=given.drain_seconds,
        timeout=given.request_timeout_seconds,
        queue=given.queue,
        max_body=int(given.max_body_mib * MIB),
        max_json=int(given.max_json_mib * MIB),
        access_log=given.access_log,
        log_level=given.log_level,
        cache=Path(cache) if cache else None,
        digest=environment.get("NEAREDGE_IMAGE_DIGEST", ""),
    )
