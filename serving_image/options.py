"""Each setting of the server by name: its default, what it does, and how its text is read."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_image.logs import LEVELS

ACCESS_LEVELS = ("all", "errors", "off")
CONTROLS = ("auto", "open", "off")
NAN_CHOICES = ("accept", "refuse")
VERSIONS = re.compile(r"latest|all|[1-9][0-9]{0,17}(,[1-9][0-9]{0,17})*", re.ASCII)


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


def port_or_off(text: str) -> object:
    """A reader of a port, or None for `off`."""
    return None if text == "off" else number(0, 65535, int)(text)


def one_of(choices: Sequence[str]) -> Callable[[str], object]:
    """A reader of one of `choices`."""

    def read(text: str) -> object:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return read


def access(text: str) -> object:
    """A reader of which requests are logged: the share of those without a fault, None where not even faults are."""
    if text in ACCESS_LEVELS:
        return {"all": 1.0, "errors": 0.0, "off": None}[text]
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(ACCESS_LEVELS)}, and no share from 0 to 1")
    return share


def versions(text: str) -> object:
    """A reader of which versions are served: latest, all, or numbers with commas between them."""
    if not VERSIONS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither latest nor all nor a list such as 1,3")
    return text


def path_or_none(text: str) -> object:
    """A reader of a path that need not be given."""
    return Path(text) if text else None


OPTIONS = (
    Option("models", "/models", "folder that holds the models", Path),
    Option("versions", "all", "versions to serve of each model: latest, all, or a list such as 1,3", versions),
    Option("host", "127.0.0.1", "address to listen on; the image sets 0.0.0.0, all of the pod's", str),
    Option("port", "8080", "port to listen on; 0 takes a free one, which the log names", number(0, 65535, int)),
    Option("grpc-port", "8081", "port for gRPC; 0 takes a free one, off is for none", port_or_off),
    Option("drain-seconds", "5", "how long to go on answering after SIGTERM", number(0, 3600)),
    Option("request-timeout-seconds", "30", "longest time for one request, waiting included", number(0.001, 3600)),
    Option("queue", "32", "requests that may wait for each model; more are told 503", number(0, 100000, int)),
    Option("max-connections", "1000", "open connections; over it idle ones are closed first", number(1, 100000, int)),
    Option("max-body-mib", "64", "largest body of a request, decompressed", number(0.001, 2047)),
    Option(
        "max-json-mib", "16", "largest JSON part of a body; it takes many times its size in memory", number(0.001, 2047)
    ),
    Option(
        "gzip-min-kib", "4", "smallest answer to compress for clients that accept gzip; 0: none", number(0, 1 << 21)
    ),
    Option("nan", "accept", "NaN and infinity in inputs: accept, or refuse with 400", one_of(NAN_CHOICES)),
    Option(
        "access-log",
        "errors",
        "requests to log: all, errors, off, or errors and a share of the others, such as 0.01",
        access,
    ),
    Option("log-level", "info", f"least level to log: {', '.join(LEVELS)}", one_of(LEVELS)),
    Option(
        "log-control",
        "auto",
        "who may change the log level while it runs: auto (who has the token; without one, where --host is this "
        "machine's own address), open, off",
        one_of(CONTROLS),
    ),
    Option(
        "log-token-file",
        "",
        "file with a bearer token that is for that alone, read each time; empty: that of --token-file",
        path_or_none,
    ),
    Option("tls-cert", "", "PEM file of the server's certificate chain; empty: plain http", path_or_none),
    Option("tls-key", "", "PEM file of its key, not encrypted", path_or_none),
    Option("token-file", "", "file with the bearer token that clients must send; empty: none", path_or_none),
)
