"""What can be set about the server: options, the environment variables that stand for them, and their defaults."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_image import __version__
from serving_image.options import OPTIONS

KIB, MIB = 1 << 10, 1 << 20

DESCRIPTION = """\
Serve the models of a folder with the Open Inference Protocol (REST and gRPC), on the CPU with OpenVINO.

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
    """One run of the server. Times are in seconds, sizes in bytes.

    `access_log` is the share of requests without a fault that are logged; None: not even faults are.
    """

    models: Path
    host: str
    port: int
    drain: float
    timeout: float
    queue: int
    max_body: int
    max_json: int
    access_log: float | None
    log_level: str
    cache: Path | None
    digest: str
    grpc_port: int | None = None
    versions: str = "all"
    max_connections: int = 1000
    gzip_min: int = 4 * KIB
    refuse_nan: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    log_control: str = "auto"
    log_token_file: Path | None = None


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
    made = parser(environment)
    given = made.parse_args(argv)
    if (given.tls_cert is None) != (given.tls_key is None):
        made.error("--tls-cert and --tls-key go together: give both or neither")
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
        grpc_port=given.grpc_port,
        versions=given.versions,
        max_connections=given.max_connections,
        gzip_min=int(given.gzip_min_kib * KIB),
        refuse_nan=given.nan == "refuse",
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        token_file=given.token_file,
        log_control=given.log_control,
        log_token_file=given.log_token_file,
    )
