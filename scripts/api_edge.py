"""`nearedge api edge`: the models of a site, how they are doing, and what can be done about it, over HTTP."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nearedge.errors import UsageError
from nearedge.program import guarded, new_parser, optional_path

if TYPE_CHECKING:
    from nearedge.api.access import Access
    from nearedge.api.edge.settings import Settings
    from nearedge.api.edge.site import Site

NAME = "api edge"
PORT = 8092
SOON, RARELY = 1.0, 3600.0


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = new_parser(NAME, "Serve the edge's API: the models that are served on this machine, over HTTP.")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    options.add_argument("--port", type=int, default=PORT, help="port to listen on, 0 for a free one (%(default)s)")
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
    options.add_argument("--site", default="local", help="the site's name, as git has it (%(default)s)")
    options.add_argument(
        "--server", action="append", default=[], metavar="URL",
        help="a model server besides those that nearedge serve started here; may be given several times",
    )  # fmt: skip
    options.add_argument("--server-token", type=optional_path, metavar="FILE", help="the bearer token that they want")
    options.add_argument(
        "--log-token",
        type=optional_path,
        metavar="FILE",
        help="that for their log level, if they have one for it alone",
    )
    options.add_argument("--git-url", default="", help="the site's GitOps repository, or its mirror of it")
    options.add_argument("--git-branch", default="main", help="its branch (%(default)s)")
    options.add_argument("--basic-auth", type=optional_path, help="folder with .gitconfig and .git-credentials")
    options.add_argument("--ssh-directory", type=optional_path, help="folder with known_hosts and a private key")
    options.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder with ca-bundle.crt, for git")
    options.add_argument("--prometheus", default="", metavar="URL", help="the site's Prometheus, for availability")
    options.add_argument("--prometheus-token", type=optional_path, metavar="FILE", help="the bearer token it wants")
    options.add_argument(
        "--ca", type=optional_path, metavar="FILE", help="certificates in PEM to trust there, besides the machine's"
    )
    options.add_argument("--every", type=float, default=15.0, metavar="S", help="seconds between looks (%(default)g)")
    add_cluster(options)
    return options


def add_cluster(options: argparse.ArgumentParser) -> None:
    """Those of a site on a cluster."""
    options.add_argument(
        "--source", choices=("embedded", "cluster"), default="embedded",
        help="embedded: what nearedge serve serves here; cluster: the Deployments of a namespace (%(default)s)",
    )  # fmt: skip
    options.add_argument("--namespace", default="", help="that of the models (the kubeconfig's, or the pod's own)")
    options.add_argument("--kubeconfig", type=optional_path, metavar="FILE", help="else the pod's account, KUBECONFIG")
    options.add_argument("--context", default="", help="of the kubeconfig (its current one)")
    options.add_argument(
        "--argocd-namespace", default="openshift-gitops", metavar="NAME",
        help="that of Argo CD's Applications, which follow git; empty: nothing does (%(default)s)",
    )  # fmt: skip
    options.add_argument(
        "--application", default="nearedge-{model}", metavar="NAME",
        help="how they are named, {model} and {site} filled in; without {model}: one for all (%(default)s)",
    )  # fmt: skip
    options.add_argument(
        "--server-address", default="", metavar="URL",
        help="where models answer, with {model}, {service}, {namespace} (the Service, or a pod that is not ready)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises UsageError where it cannot, InputError for a damaged tokens file."""
    try:
        from nearedge.api import serve
        from nearedge.api.edge.edge_app import edge_app
        from nearedge.api.edge.settings import Settings
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed; pip install 'nearedge[api]'") from error
    from nearedge.delivery import git
    from nearedge.delivery.gitops import target
    from nearedge.runner import serving

    check(options)
    listening = serve.Listening(options.host, options.port, options.tls_cert, options.tls_key, options.behind_proxy)
    on_cluster = options.source == "cluster"
    serve.check(listening, tokens=on_cluster or options.tokens is not None)
    settings = Settings(
        home=serving.home(), site=options.site, servers=tuple(dict.fromkeys(options.server)),
        server_token=options.server_token, log_token=options.log_token,
        prometheus=options.prometheus, every_s=options.every,
        prometheus_token=options.prometheus_token, ca=options.ca, server_address=options.server_address,
        target=target.target_of(options.git_url, options.git_branch, None) if options.git_url else None,
        git_access=git.Access(options.basic_auth, options.ssh_directory, options.ca_bundle),
    )  # fmt: skip
    site, judged = cluster_site(settings, options) if on_cluster else embedded_site(settings, options)
    app = edge_app(site, judged)
    with serve.bind(listening) as listener:
        print(f"{serve.address(listening, listener)}  (site {settings.site})", flush=True)
        serve.serve(app, listening, listener)


def embedded_site(settings: "Settings", options: argparse.Namespace) -> "tuple[Site, Access]":
    """What is served on this machine, and who may see it. Raises InputError for a damaged tokens file."""
    from nearedge.api import access
    from nearedge.api.edge.embedded import EmbeddedSite

    return EmbeddedSite(settings), access.read(options.tokens)


def cluster_site(settings: "Settings", options: argparse.Namespace) -> "tuple[Site, Access]":
    """What a namespace of a cluster serves, and who may see it: as the cluster judges, or a tokens file.

    Raises InputError where no cluster is configured, or for a damaged tokens file.
    """
    from nearedge.api import access
    from nearedge.api.cluster.connection import Cluster
    from nearedge.api.cluster.reviews import AsOurselves, Judge
    from nearedge.api.edge.cluster.cluster_control import Argo, ClusterControl
    from nearedge.api.edge.cluster.cluster_site import ClusterSite, rights

    cluster = Cluster.found(options.kubeconfig, options.context, options.namespace)
    settings = replace(settings, namespace=cluster.namespace)
    site = ClusterSite(settings, cluster)
    argo = Argo(options.argocd_namespace, options.application)
    site.control = ClusterControl(cluster, cluster.namespace, argo, settings.site, site.mirror)
    if options.tokens is not None:
        return site, access.read(options.tokens)
    return site, access.Access(Judge(AsOurselves(cluster), rights(cluster.namespace)))


def check(options: argparse.Namespace) -> None:
    """Raise UsageError for what is no address, no name of a site, or no time."""
    from nearedge.api.edge import settings

    for option, urls in (
        ("--server", options.server),
        ("--prometheus", [options.prometheus] * bool(options.prometheus)),
    ):
        for url in urls:
            if not url.startswith(("http://", "https://")) or any(letter.isspace() for letter in url):
                raise UsageError(f"{option} {url!r}: is no address; write http://HOST:PORT")
    if options.source == "cluster" and options.server:
        raise UsageError("--server: on a cluster the Deployments say where models are served; see --server-address")
    if options.server_address and not settings.is_pattern(options.server_address):
        raise UsageError(f"--server-address {options.server_address!r}: write http://HOST:PORT, perhaps with {{model}}")
    if not options.site or "/" in options.site or options.site.startswith("."):
        raise UsageError(f"--site {options.site!r}: is no name of a site")
    if not SOON <= options.every <= RARELY:
        raise UsageError(f"--every {options.every:g}: is not from {SOON:g} to {RARELY:g} seconds")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options and serve."""
    options = parser().parse_args(argv)
    return guarded(NAME, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
