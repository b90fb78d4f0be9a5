"""`nearedge api core`: Pipelines, runs, logs and reports over HTTP."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nearedge.errors import UsageError
from nearedge.program import guarded, new_parser
from scripts import api_engine, api_fleet

if TYPE_CHECKING:
    from nearedge.api.access import Access
    from nearedge.api.core.core_app import Settings
    from nearedge.api.core.engine import Engine

NAME = "api"


class Chosen(NamedTuple):
    """An engine, who may use it, what the API is told beside it, and where its runs are."""

    engine: "Engine"
    access: "Access"
    settings: "Settings"
    runs: str


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = new_parser(NAME, "Serve the core's API: Pipelines, runs, logs and reports over HTTP.")
    options.add_argument("which", choices=["core"], metavar="core", help="the API to serve")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    options.add_argument("--port", type=int, default=8090, help="port to listen on, 0 for a free one (%(default)s)")
    options.add_argument(
        "--tokens", type=Path, metavar="FILE",
        help="lines NAME ROLE TOKEN, ROLE read or manage; without it only this machine is served, and may do all",
    )  # fmt: skip
    options.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain in PEM")
    options.add_argument("--tls-key", type=Path, metavar="FILE", help="its key in PEM")
    options.add_argument(
        "--behind-proxy", action="store_true",
        help="everybody comes by a router: the last address in X-Forwarded-For is theirs",
    )  # fmt: skip
    options.add_argument(
        "--catalog", type=Path, metavar="DIR",
        help="a folder with tasks/ and pipelines/ of your own instead of those that come with the program",
    )  # fmt: skip
    api_engine.add_options(options)
    api_fleet.add_options(options)
    return options


def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises UsageError where it cannot listen, InputError for a damaged tokens file."""
    try:
        from nearedge.api import serve
        from nearedge.api.core.core_app import core_app
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed; pip install 'nearedge[api]'") from error
    api_engine.check(options)
    listening = serve.Listening(options.host, options.port, options.tls_cert, options.tls_key, options.behind_proxy)
    serve.check(listening, tokens=options.tokens is not None or options.engine == "tekton")
    engine, allowed, settings, runs = local(options) if options.engine == "local" else on_cluster(options)
    app = core_app(engine, allowed, settings)
    with serve.bind(listening) as listener:
        print(f"{serve.address(listening, listener)}  (runs in {runs})", flush=True)
        serve.serve(app, listening, listener)


def local(options: argparse.Namespace) -> Chosen:
    """Runs on this machine."""
    from nearedge.api import access
    from nearedge.api.core.core_app import Settings
    from nearedge.api.core.local_engine import LocalEngine

    allowed = access.read(options.tokens)
    engine = LocalEngine(catalog=options.catalog)
    settings = Settings(engine.home, api_fleet.settings(options, engine.home))
    return Chosen(engine, allowed, settings, str(engine.index.root))


def on_cluster(options: argparse.Namespace) -> Chosen:
    """Runs on a cluster, which knows its callers. Raises InputError where none is configured."""
    from nearedge.api.access import Access
    from nearedge.api.core.core_app import Settings
    from nearedge.runner import store

    engine = api_engine.tekton(options)
    home = store.runs_root().parent
    settings = Settings(home, api_fleet.settings(options, home, local=False))
    runs = f"the namespace {engine.reach.namespace} of {engine.reach.cluster.server}"
    return Chosen(engine, Access(engine.reach.judge), settings, runs)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options and serve; `edge` has a program of its own."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["edge"]:
        from scripts import api_edge

        return api_edge.main(given[1:])
    options = parser().parse_args(given)
    return guarded(NAME, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
