"""Options of `nearedge api core` that say where releases and sites are known from."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nearedge.program import boolean, optional_path

if TYPE_CHECKING:
    from nearedge.api.core.fleet_source import FleetSettings


def add_options(options: argparse.ArgumentParser) -> None:
    """Add them."""
    group = options.add_argument_group("releases and sites")
    group.add_argument(
        "--git-url",
        default="",
        help="GitOps repository; empty: gitops.git of the newest local run that has one, on a cluster none",
    )
    group.add_argument("--git-branch", default="main", help="its branch (%(default)s)")
    group.add_argument("--author-name", default="nearedge", help="author of promotions and rollbacks (%(default)s)")
    group.add_argument("--author-email", default="nearedge@localhost", help="address of the author (%(default)s)")
    group.add_argument("--basic-auth", type=optional_path, metavar="DIR", help=".gitconfig and .git-credentials")
    group.add_argument("--ssh-directory", type=optional_path, metavar="DIR", help="known_hosts and a private key")
    group.add_argument("--signing-key", type=optional_path, metavar="DIR", help="id_ed25519 or signing.asc")
    group.add_argument("--ca-bundle", type=optional_path, metavar="DIR", help="folder that holds ca-bundle.crt")
    group.add_argument(
        "--check-image", type=boolean, default=False, help="true: ask the registry before sites move (%(default)s)"
    )
    group.add_argument(
        "--registry", default="", metavar="HOST[/PATH]", help="the sites' registry; {site} in it is each site's name"
    )
    group.add_argument("--plain-http", type=boolean, default=False, help="true: speak plain http to the registry")
    group.add_argument("--dockerconfig", type=optional_path, metavar="DIR", help="folder that holds config.json")
    group.add_argument("--prometheus", default="", metavar="URL", help="the core's Prometheus; empty: none")
    group.add_argument("--prometheus-token", type=optional_path, metavar="FILE", help="a bearer token for it")
    group.add_argument(
        "--prometheus-ca", type=optional_path, metavar="FILE", help="certificates to trust there (that of --ca-bundle)"
    )


def settings(given: argparse.Namespace, home: Path, *, local: bool = True) -> "FleetSettings":
    """What they say; `local`: runs are below `home`. Raises UsageError for an author that git does not take."""
    from nearedge.api.core.fleet_source import FleetSettings
    from nearedge.api.core.prometheus import PrometheusPlace
    from nearedge.delivery import git
    from nearedge.delivery.access import Access
    from nearedge.delivery.git_home import CA_FILE
    from nearedge.delivery.gitops.image_check import image_check, unchecked
    from nearedge.delivery.gitops.target import Author

    author = Author(given.author_name, given.author_email)
    author.check()
    registry = Access(given.ca_bundle, given.dockerconfig, given.plain_http)
    check = partial(image_check, given.registry, registry, lambda _: None)
    place = None
    if given.prometheus:
        ca_bundle = given.prometheus_ca or (given.ca_bundle / CA_FILE if given.ca_bundle else None)
        place = PrometheusPlace(given.prometheus, given.prometheus_token, ca_bundle)
    return FleetSettings(
        state=home / "api" / "fleet",
        url=given.git_url,
        branch=given.git_branch,
        access=git.Access(given.basic_auth, given.ssh_directory, given.ca_bundle, given.signing_key),
        author=author,
        new_check=check if given.check_image else lambda: unchecked,
        prometheus=place,
        runs=home / "runs" if local else None,
    )
