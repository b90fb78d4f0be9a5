"""How to reach registries, as the programs' options say it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Access:
    """`ca_bundle` is a folder that holds ca-bundle.crt, `dockerconfig` one that holds config.json.

    Proxies come from the environment. Plain http is spoken to loopback addresses, elsewhere only where `plain_http`
    asks for it.
    """

    ca_bundle: Path | None = None
    dockerconfig: Path | None = None
    plain_http: bool = False
