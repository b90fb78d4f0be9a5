"""What the edge's API is told when it starts."""

import string
from dataclasses import dataclass, field
from pathlib import Path

from nearedge.delivery import git
from nearedge.delivery.gitops.publish import Target

EVERY_S = 15.0
FIELDS = ("model", "service", "namespace")
"""What the address of a model may be made of."""


@dataclass(frozen=True)
class Settings:
    """`home` is NEAREDGE_HOME; `servers` are model servers besides those that `nearedge serve` started.

    `server_token` is a file with the bearer token that they want, `log_token` one for their log level alone. Without
    `target` nothing is known of git, without `prometheus` availability is what we saw ourselves; `prometheus_token` is
    a file, too, and `ca` one with the certificates to trust there. `every_s`: seconds between two looks. On a cluster,
    `namespace` is that of the models, and `server_address` says where they answer, with {model}, {service} and
    {namespace} filled in; empty: by Service.
    """

    home: Path
    site: str = "local"
    servers: tuple[str, ...] = ()
    server_token: Path | None = None
    log_token: Path | None = None
    target: Target | None = None
    git_access: git.Access = field(default_factory=git.Access)
    prometheus: str = ""
    prometheus_token: Path | None = None
    ca: Path | None = None
    namespace: str = ""
    server_address: str = ""
    every_s: float = EVERY_S
    git_every_s: float = 60.0
    timeout_s: float = 3.0

    @property
    def folder(self) -> Path:
        """What the API keeps."""
        return self.home / "edge"


def is_pattern(text: str) -> bool:
    """Whether an address can be made of a pattern."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        return text.startswith(("http://", "https://")) and all(name in FIELDS for name in names)
    except ValueError:
        return False
