"""What a person chooses of how a release is deployed; the record and the profile say the rest."""

import re
from dataclasses import dataclass
from typing import Literal

from nearedge.errors import InputError

Flavour = Literal["deployment", "kserve"]
Expose = Literal["route", "ingress", "none"]

LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
HOST = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*")
RUNTIME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
SITE_IN_HOST = "{site}"


@dataclass(frozen=True)
class Choices:
    """`flavour` and `runtime` are of the base, which all sites share; the others are of the sites' overlays.

    In `host` each `{site}` stands for the site's name; where it is empty, OpenShift makes one up for a Route.
    `runtime` names the platform's ServingRuntime, for a modelcar only.
    """

    flavour: Flavour = "deployment"
    expose: Expose = "none"
    host: str = ""
    monitoring: bool = True
    runtime: str = "kserve-ovms"

    def __post_init__(self) -> None:
        """Raise InputError for what does not go together."""
        if self.expose == "ingress" and not self.host:
            raise InputError("expose=ingress: needs a host, such as digits.{site}.example.com; give the param host")
        if self.expose == "none" and self.host:
            raise InputError(
                f"host {self.host!r}: there is nothing to reach by it; give expose=route or ingress as well"
            )
        if not RUNTIME.fullmatch(self.runtime):
            raise InputError(f"serving-runtime {self.runtime!r}: is no name of a ServingRuntime, such as kserve-ovms")

    def host_at(self, site: str) -> str:
        """The host name at one site, empty for none. Raises InputError for what is no host name."""
        host = self.host.replace(SITE_IN_HOST, site)
        if host and not HOST.fullmatch(host):
            raise InputError(f"host {self.host!r}: is {host!r} at site {site}, which is no host name")
        return host

    @property
    def components(self) -> list[str]:
        """The components of the base that a site takes."""
        return sorted({self.expose} - {"none"} | ({"monitoring"} if self.monitoring else set()))


DEFAULT = Choices()
